"""One diffusion checkpoint: encode, decode, predict the noise.

Latents are scaled as the denoiser sees them: z_0 = scaling factor * (posterior mean - shift factor).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor

from benchkit.diffusion import checkpoint, loading
from benchkit.diffusion.attention import attending
from benchkit.diffusion.condition import Condition
from benchkit.diffusion.options import ModelOptions, parse_model
from benchkit.diffusion.schedule import Schedule, compute_alpha_bar, to_epsilon
from benchkit.errors import BenchkitError
from benchkit.system import memory

if TYPE_CHECKING:
    from benchkit.api import Attend

P = ParamSpec("P")
R = TypeVar("R", Tensor, Condition)
Part = Literal["unet", "vae", "text_encoder", "text_encoder_2"]

#: Side in pixels of the tiles of a tiled autoencoder, for checkpoints whose own are larger.
TILE = 512


def _inference(
    doing: str,
) -> Callable[[Callable[Concatenate[DiffusionBackend, P], R]], Callable[Concatenate[DiffusionBackend, P], R]]:
    """Run a method under inference_mode and hand out ordinary tensors, which may enter a training step.

    doing: what the method does, for the message where memory runs out.
    """

    def decorated(
        method: Callable[Concatenate[DiffusionBackend, P], R],
    ) -> Callable[Concatenate[DiffusionBackend, P], R]:
        @wraps(method)
        def run(self: DiffusionBackend, *args: P.args, **kwargs: P.kwargs) -> R:
            with memory.explain_out_of_memory(f"while {doing}", self._remedy), torch.inference_mode():
                result = method(self, *args, **kwargs)
            return result.clone()

        return run

    return decorated


class DiffusionBackend:
    """The networks and the schedule of one Stable Diffusion checkpoint; make one with `load`.

    schedule: its DDIM noise levels. factor: image pixels per latent cell along a side. latent_channels: C of a latent.
    network_evaluations: images that have passed the denoiser so far.
    """

    def __init__(
        self, pipeline: Any, source: checkpoint.Checkpoint, schedule: Schedule, alphas: Tensor, options: ModelOptions
    ) -> None:
        self._pipeline, self._source, self.options = pipeline, source, options
        self._unet, self._vae = pipeline.unet, pipeline.vae
        self.schedule, self._alphas = schedule, alphas
        self.factor: int = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self.latent_channels: int = self._vae.config.latent_channels
        self.network_evaluations = 0
        #: Where inputs are brought to and results stay.
        self.device: torch.device = self._unet.device
        self._resident: Part | None = None
        _save_memory(self._vae, options)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        steps: int = 50,
    ) -> DiffusionBackend:
        """Load an embedded checkpoint by name, a folder in diffusers' layout, a single safetensors file, or a
        Hugging Face repository, `OWNER/NAME` or `OWNER/NAME@REVISION`.

        Behind it may stand options: `NAME:dtype=float16,vae=tiled,offload=true`. dtype: of the networks, in the
        place of the option, whatever their files hold; latents and images are float32 on every path, and so is
        SDXL's autoencoder where its config demands it. steps: of the schedule. Raises BenchkitError in one line when
        the checkpoint cannot be used or does not fit into memory.
        """
        _, options = parse_model(name_or_path)
        if dtype is not None:
            options = replace(options, dtype=str(dtype).removeprefix("torch."))
        source = checkpoint.find(name_or_path)
        try:
            with loading.quiet():
                config = loading.ddim_config(source)  # first: what it refuses needs no network
                schedule = Schedule.from_scheduler(config, steps)
                pipeline = loading.load_pipeline(source, getattr(torch, options.dtype))
            backend = cls(pipeline, source, schedule, compute_alpha_bar(config), options)
            with memory.explain_out_of_memory("while loading", backend._remedy):
                backend._place(torch.device(device))
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            # NotImplementedError is torch's way of saying that the files hold no values for some weight.
            missing = isinstance(error, NotImplementedError)
            reason = "weights are missing from its files" if missing else str(error).strip().partition("\n")[0]
            raise BenchkitError(f"{source.place} cannot be loaded by diffusers: {reason}") from error
        return backend

    @cached_property
    def identity(self) -> str:
        """sha256 of the checkpoint's content: configs, tokenizer and weights, not the place they lie in."""
        return self._source.identity

    @_inference("encoding")
    def encode(self, images: Tensor) -> Tensor:
        """z_0 of images (N, 3, H, W) in [0, 1]: (N, C, H / factor, W / factor) float32, the posterior's mean.

        Raises BenchkitError for sizes that factor does not divide.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % self.factor or images.shape[3] % self.factor:
            raise BenchkitError(
                f"images of shape {tuple(images.shape)}: (N, 3, H, W) with sides divisible by {self.factor} are wanted"
            )
        vae = self._at_work("vae")
        posterior = vae.encode(2 * images.to(self.device, vae.dtype) - 1).latent_dist
        # Its memory layout would show in the last bits of everything computed from it.
        z_0 = (self._scale * (posterior.mean.float() - self._shift)).contiguous()
        return _finite(z_0, "the autoencoder's latents", vae)

    @_inference("decoding")
    def decode(self, z_0: Tensor) -> Tensor:
        """Images (N, 3, H, W) float32, clamped to [0, 1], of clean latents (N, C, h, w)."""
        vae = self._at_work("vae")
        plain = z_0.to(self.device).float() / self._scale + self._shift
        images = (vae.decode(plain.to(vae.dtype)).sample.float() / 2 + 0.5).clamp(0, 1)
        return _finite(images, "the autoencoder's images", vae)

    def autoencode(self, images: Tensor) -> Tensor:
        """Images after one pass through the autoencoder: what every image meets once before a detector sees it."""
        return self.decode(self.encode(images))

    @_inference("embedding captions")
    def embed(self, captions: Sequence[str | None]) -> Condition:
        """Text conditions, one row a caption, float32; None is the empty caption.

        Long captions are cut to the text encoders' length. SDXL's encoders give their last layer but one, side by
        side, and the second one its pooled vector.
        """
        if not self._source.is_xl:
            return Condition(self._encoded("text_encoder", captions)[0].float())
        first = self._encoded("text_encoder", captions, output_hidden_states=True)
        second = self._encoded("text_encoder_2", captions, output_hidden_states=True)
        text = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return Condition(text.float(), second.text_embeds.float())

    def _encoded(self, part: Part, captions: Sequence[str | None], **wanted: bool) -> Any:
        """What one text encoder returns."""
        tokenizer = getattr(self._pipeline, part.replace("text_encoder", "tokenizer"))
        encoder = self._at_work(part)
        tokens = tokenizer(
            [caption or "" for caption in captions],
            padding="max_length",
            max_length=min(tokenizer.model_max_length, encoder.config.max_position_embeddings),
            truncation=True,
            return_tensors="pt",
        )
        masked = getattr(encoder.config, "use_attention_mask", False) and not self._source.is_xl
        mask = tokens.attention_mask.to(self.device) if masked else None
        return encoder(tokens.input_ids.to(self.device), attention_mask=mask, **wanted)

    @_inference("predicting noise")
    def predict(
        self, z: Tensor, t: int, condition: Condition, attend: Attend | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """eps at training timestep t of latents (N, C, h, w), float32, whatever the checkpoint predicts; no guidance.

        condition: N rows from `embed`; SDXL is also told the latents' size in pixels, uncropped. attend: what
        self-attention returns inside the mask, (N, 1, h, w) bool. Counts N network evaluations.
        """
        if len(condition) != len(z):
            raise BenchkitError(f"{len(condition)} text conditions for {len(z)} latents")
        z = z.to(self.device).float()
        self.network_evaluations += len(z)
        unet = self._at_work("unet")
        inside = nullcontext() if attend is None or mask is None else attending(unet, attend, mask.to(z.device))
        text = condition.text.to(self.device, unet.dtype)
        with inside:
            output = unet(z.to(unet.dtype), t, encoder_hidden_states=text, **self._added(z, condition)).sample
        eps = to_epsilon(output.float(), z, float(self._alphas[t]), self.schedule.prediction)
        return _finite(eps, "the denoiser's predictions", unet)

    def _added(self, z: Tensor, condition: Condition) -> dict[str, Any]:
        """What SDXL is told besides the text: the pooled caption, and the size, at which nothing is cropped."""
        if condition.pooled is None:
            return {}
        height, width = (self.factor * side for side in z.shape[-2:])
        # In float32: bfloat16 would round most numbers above 256.
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(z), dtype=torch.float32, device=self.device)
        pooled = condition.pooled.to(self.device, self._unet.dtype)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}

    def _place(self, device: torch.device) -> None:
        """Bring the networks where they compute; with offloading, they wait in main memory."""
        # A tensor tells which GPU "cuda" is.
        self.device = torch.empty(0, device=device).device
        for part in self._source.parts:
            network = getattr(self._pipeline, part).eval().requires_grad_(False)
            network.to("cpu" if self.options.offload else self.device)

    def _at_work(self, part: Part) -> Any:
        """A network, on the device; with offloading, the one that worked before it leaves."""
        network = getattr(self._pipeline, part)
        if self.options.offload and self._resident != part:
            # Weights that were moved under inference_mode could not be moved back.
            with torch.inference_mode(False):
                if self._resident is not None:
                    getattr(self._pipeline, self._resident).to("cpu")
                self._resident = part
                network.to(self.device)
        return network

    def _remedy(self) -> str:
        networks = (getattr(self._pipeline, part) for part in self._source.parts)
        return memory.suggest_savings(
            self.options, sum(p.numel() for network in networks for p in network.parameters())
        )

    @property
    def _scale(self) -> float | Tensor:
        scale = float(self._vae.config.scaling_factor)
        deviation = _per_channel(self._vae, "latents_std", self.device)
        return scale if deviation is None else scale / deviation

    @property
    def _shift(self) -> float | Tensor:
        mean = _per_channel(self._vae, "latents_mean", self.device)
        return float(getattr(self._vae.config, "shift_factor", None) or 0.0) if mean is None else mean


def _per_channel(vae: Any, key: str, device: torch.device) -> Tensor | None:
    """Statistics of the latents in an autoencoder's config, (1, C, 1, 1), where it has them."""
    both = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if any(values is None for values in both):
        return None
    return torch.tensor(getattr(vae.config, key), dtype=torch.float32, device=device).view(1, -1, 1, 1)


def _save_memory(vae: Any, options: ModelOptions) -> None:
    """Let the autoencoder work on an image, or on a tile, at a time, if that is wanted."""
    if options.vae in ("sliced", "tiled"):
        vae.enable_slicing()
    if options.vae != "tiled":
        return
    vae.enable_tiling()
    # diffusers has no call for the side of a tile.
    sides = vae.config.sample_size
    side = min(TILE, sides if isinstance(sides, int) else max(sides))
    vae.tile_sample_min_size = side
    vae.tile_latent_min_size = side // 2 ** (len(vae.config.block_out_channels) - 1)


def _finite(result: Tensor, what: str, network: Any) -> Tensor:
    """The result; float16 overflows where float32 and bfloat16 do not, and would show as black images."""
    if network.dtype == torch.float16 and not bool(torch.isfinite(result).all()):
        raise BenchkitError(
            f"{what} are not finite in float16: use dtype=bfloat16 or dtype=float32 for this checkpoint"
        )
    return result


def timesteps_of(location: str, steps: int) -> tuple[int, ...]:
    """The timesteps of a checkpoint's schedule, clean end first, without loading its networks."""
    source = checkpoint.find(location)
    with loading.quiet():
        return Schedule.from_scheduler(loading.ddim_config(source), steps).timesteps
