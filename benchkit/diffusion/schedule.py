"""The noise schedule of a checkpoint and its deterministic DDIM steps (Song et al. 2021, eta = 0).

Steps are counted from the clean end: step 0 is clean, step k is the k-th timestep. Everything comes from the
checkpoint's own scheduler config, which is read without diffusers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import torch

from benchkit.errors import ArgumentValueError, BenchkitError

if TYPE_CHECKING:
    from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "sample"]
#: eps(z, t) for (N, C, h, w) latents, the captions already bound.
Predict = Callable[["Tensor", int], "Tensor"]


def to_epsilon(output: Tensor, z_t: Tensor, alpha_bar: float, prediction: Prediction) -> Tensor:
    """Return the noise that a network's output stands for, whatever the network was trained to predict.

    output, z_t: (N, C, h, w). alpha_bar: in [0, 1), of the timestep of the prediction.
    """
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    if prediction == "epsilon":
        return output
    if prediction == "v_prediction":
        return signal * output + noise * z_t
    return (z_t - signal * output) / noise


@dataclass(frozen=True)
class Schedule:
    """The S noise levels of one sampling schedule.

    timesteps: S training timesteps, clean end first. alpha_bar: S + 1 cumulative alphas in [0, 1]; alpha_bar[0] is
    the clean end's (the scheduler's final_alpha_cumprod), alpha_bar[k] that of timesteps[k - 1]. prediction: what
    the network's output means.
    """

    timesteps: tuple[int, ...]
    alpha_bar: tuple[float, ...]
    prediction: Prediction

    @property
    def steps(self) -> int:
        """S, the number of steps."""
        return len(self.timesteps)

    def t(self, k: int) -> int:
        """Return the training timestep of step k, 1 <= k <= S."""
        return self.timesteps[self.check_steps(k, at_least=1) - 1]

    def coefficients(self, k: int) -> tuple[float, float]:
        """Return phi and psi of the DDIM step between step k - 1 (s) and step k (t), 1 <= k <= S (eq. 2 and 6).

        phi = sqrt(alpha_bar_s / alpha_bar_t), psi = sqrt(1 - alpha_bar_s) - phi sqrt(1 - alpha_bar_t).
        """
        self.check_steps(k, at_least=1)
        if self.alpha_bar[k] <= 0:
            raise BenchkitError(
                f"step {k} (timestep {self.t(k)}) carries no signal (rescale_betas_zero_snr): stay below {k} steps"
            )
        alpha_bar_s, alpha_bar_t = self.alpha_bar[k - 1 : k + 1]
        phi = math.sqrt(alpha_bar_s / alpha_bar_t)
        return phi, math.sqrt(1 - alpha_bar_s) - phi * math.sqrt(1 - alpha_bar_t)

    def check_steps(self, k: int, at_least: int = 0) -> int:
        """Return k; raise ArgumentValueError if the schedule has no such step."""
        if not at_least <= k <= self.steps:
            raise ArgumentValueError(f"steps={k} is outside this schedule: choose {at_least} to {self.steps}")
        return k

    @classmethod
    def from_scheduler(cls, scheduler: Any, steps: int = 50) -> Schedule:
        """Return the schedule of `steps` DDIM steps of a diffusers scheduler, or of its complete config as a mapping.

        Only the config is read. A missing key has DDIMScheduler's default, except that without a clipping key nothing
        is clipped. s is the timestep before t in the schedule; diffusers subtracts a constant instead, which differs
        for timesteps that are not evenly spaced (linspace, or trailing where `steps` does not divide their number).
        Raises BenchkitError naming the key for clipping, thresholding and unknown values.
        """
        config = getattr(scheduler, "config", scheduler)
        _check_config(config)
        alphas = compute_alpha_bar(config)
        timesteps = _compute_timesteps(config, steps, len(alphas))
        final = 1.0 if config.get("set_alpha_to_one", True) else float(alphas[0])
        alphas_at = tuple(float(alphas[t]) for t in timesteps)
        return cls(timesteps, (final, *alphas_at), cast("Prediction", config.get("prediction_type", "epsilon")))


def _check_config(config: Mapping[str, Any]) -> None:
    for key in ("clip_sample", "thresholding"):
        if config.get(key, False):
            raise BenchkitError(
                f"the scheduler's '{key}' is on: a step that alters z_0 cannot be inverted; "
                f"set '{key}' to false in scheduler/scheduler_config.json"
            )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in get_args(Prediction):
        raise BenchkitError(f"the scheduler's prediction_type '{prediction}' is not one of {get_args(Prediction)}")


def compute_alpha_bar(config: Mapping[str, Any]) -> Tensor:
    """Return the cumulative alphas of a scheduler config, one per training timestep, (T,) float64 in [0, 1]."""
    betas = _compute_betas(config)
    alphas = torch.cumprod(1 - betas, dim=0)
    if config.get("rescale_betas_zero_snr", False):
        # Lin et al. 2023, algorithm 1: shift the roots so that the last is zero, scale so that the first stays.
        root = alphas.sqrt()
        alphas = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return alphas


def _compute_betas(config: Mapping[str, Any]) -> Tensor:
    if config.get("trained_betas") is not None:
        return torch.as_tensor(np.asarray(config["trained_betas"]), dtype=torch.float64)
    count = int(config.get("num_train_timesteps", 1000))
    first, last = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return torch.linspace(first, last, count, dtype=torch.float64)
    if kind == "scaled_linear":
        return torch.linspace(math.sqrt(first), math.sqrt(last), count, dtype=torch.float64) ** 2
    if kind == "squaredcos_cap_v2":
        cosine = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
        betas = [min(1 - cosine[i + 1] / cosine[i], 0.999) for i in range(count)]
        return torch.tensor(betas, dtype=torch.float64)
    raise BenchkitError(f"the scheduler's beta_schedule '{kind}' is unknown: linear, scaled_linear, squaredcos_cap_v2")


def _compute_timesteps(config: Mapping[str, Any], steps: int, count: int) -> tuple[int, ...]:
    """Return the training timesteps, clean end first, rounded as diffusers rounds them."""
    if not 1 <= steps <= count:
        raise BenchkitError(f"a schedule of {steps} steps: choose 1 to {count} (num_train_timesteps)")
    spacing = config.get("timestep_spacing", "leading")
    timesteps: np.ndarray
    if spacing == "leading":
        timesteps = np.arange(steps) * (count // steps) + int(config.get("steps_offset", 0))
    elif spacing == "trailing":
        # A range of floats can have one element too many at its end.
        timesteps = np.round(np.arange(count, 0, -count / steps))[:steps][::-1] - 1
    elif spacing == "linspace":
        timesteps = np.linspace(0, count - 1, steps).round()
    else:
        raise BenchkitError(f"the scheduler's timestep_spacing '{spacing}' is unknown: leading, trailing, linspace")
    if timesteps[-1] >= count:
        raise BenchkitError(
            f"{steps} steps with steps_offset {config.get('steps_offset')} end at timestep {int(timesteps[-1])}, "
            f"beyond the last of {count}: ask for fewer steps"
        )
    return tuple(int(t) for t in timesteps)
