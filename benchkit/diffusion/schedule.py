"""The noise levels of one checkpoint and the DDIM step between two of them (Song et al. 2021, eta = 0).

Step 0 is the clean end; step k stands at the k-th timestep counted from there. Everything comes from the
checkpoint's own scheduler config; diffusers is not needed to read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import torch

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "sample"]
#: eps(z, t) for (N, C, h, w) latents, the captions already bound.
Predict = Callable[["Tensor", int], "Tensor"]


def ddim_coefficients(alpha_bar_s: float, alpha_bar_t: float) -> tuple[float, float]:
    """phi and psi of the deterministic DDIM step between alpha_bar_t and its cleaner neighbour alpha_bar_s (eq. 6)."""
    phi = math.sqrt(alpha_bar_s / alpha_bar_t)
    return phi, math.sqrt(1 - alpha_bar_s) - phi * math.sqrt(1 - alpha_bar_t)


def ddim_step(z_t: Tensor, eps: Tensor, phi: float, psi: float) -> Tensor:
    """z_s = phi z_t + psi eps: one resampling step towards the clean end (eq. 6)."""
    return phi * z_t + psi * eps


def to_epsilon(output: Tensor, z_t: Tensor, alpha_bar: float, prediction: Prediction) -> Tensor:
    """The noise that a network's output stands for, whatever the network was trained to predict.

    output, z_t: (N, C, h, w). alpha_bar: in [0, 1), of the timestep the output was predicted at.
    """
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    if prediction == "epsilon":
        return output
    if prediction == "v_prediction":
        return signal * output + noise * z_t
    return (z_t - signal * output) / noise


@dataclass(frozen=True)
class Schedule:
    """The S noise levels of a sampling run.

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
        """The training timestep of step k, 1 <= k <= S."""
        return self.timesteps[self.check_steps(k, at_least=1) - 1]

    def coefficients(self, k: int) -> tuple[float, float]:
        """phi and psi of the step between step k - 1 (s) and step k (t), 1 <= k <= S (eq. 2 and 6)."""
        self.check_steps(k, at_least=1)
        if self.alpha_bar[k] <= 0:
            raise BenchkitError(
                f"step {k} (timestep {self.t(k)}) carries no signal (rescale_betas_zero_snr): stay below {k} steps"
            )
        return ddim_coefficients(self.alpha_bar[k - 1], self.alpha_bar[k])

    def check_steps(self, k: int, at_least: int = 0) -> int:
        """Return k; raise BenchkitError if the schedule has no such step."""
        if not at_least <= k <= self.steps:
            raise BenchkitError(f"steps={k} is outside this schedule: choose {at_least} to {self.steps}")
        return k

    @classmethod
    def from_scheduler(cls, scheduler: Any, steps: int = 50) -> Schedule:
        """The schedule of `steps` DDIM steps of a diffusers scheduler, or of its complete config as a mapping.

        Only the config is read: a key that is absent has DDIMScheduler's default, except that a scheduler whose
        config knows no clipping does not clip. Predecessors are those of the schedule itself; for timesteps that are
        not evenly spaced (linspace, or trailing with a ragged ratio) diffusers subtracts a constant instead.
        Raises BenchkitError naming the key for clipping, thresholding and unknown values.
        """
        config = _checked(getattr(scheduler, "config", scheduler))
        alphas = alphas_cumprod(config)
        timesteps = _timesteps(config, steps, len(alphas))
        final = 1.0 if config.get("set_alpha_to_one", True) else float(alphas[0])
        alphas_at = tuple(float(alphas[t]) for t in timesteps)
        return cls(timesteps, (final, *alphas_at), cast("Prediction", config.get("prediction_type", "epsilon")))


def _checked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("clip_sample", "thresholding"):
        if config.get(key, False):
            raise BenchkitError(
                f"the scheduler's '{key}' is on: a step that alters z_0 cannot be inverted; "
                f"set '{key}' to false in scheduler/scheduler_config.json"
            )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in get_args(Prediction):
        raise BenchkitError(f"the scheduler's prediction_type '{prediction}' is not one of {get_args(Prediction)}")
    return config


def alphas_cumprod(config: Mapping[str, Any]) -> Tensor:
    """The cumulative alphas of a scheduler config, one per training timestep, (T,) float64 falling in [0, 1]."""
    betas = _betas(config)
    alphas = torch.cumprod(1 - betas, dim=0)
    if config.get("rescale_betas_zero_snr", False):
        # Lin et al. 2023, algorithm 1: shift the roots so that the last is zero, scale so that the first stays.
        root = alphas.sqrt()
        alphas = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return alphas


def _betas(config: Mapping[str, Any]) -> Tensor:
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


def _timesteps(config: Mapping[str, Any], steps: int, count: int) -> tuple[int, ...]:
    """Training timesteps, clean end first, rounded as diffusers rounds them."""
    if not 1 <= steps <= count:
        raise BenchkitError(f"a schedule of {steps} steps: choose 1 to {count} (num_train_timesteps)")
    spacing = config.get("timestep_spacing", "leading")
    timesteps: np.ndarray
    if spacing == "leading":
        timesteps = np.arange(steps) * (count // steps) + int(config.get("steps_offset", 0))
    elif spacing == "trailing":
        # A float range may come out one longer than asked for; its head is right.
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
