"""One diffusion checkpoint: encode, decode, predict the noise. The only file that imports diffusers.

Latents are scaled as the denoiser sees them: z_0 = scaling factor * (posterior mean - shift factor).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import torch
from torch import Tensor

from benchkit.diffusion import checkpoint
from benchkit.diffusion.attention import attending
from benchkit.diffusion.schedule import Schedule, alphas_cumprod, to_epsilon
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.api import Attend

P = ParamSpec("P")


def _inference(
    method: Callable[Concatenate[DiffusionBackend, P], Tensor],
) -> Callable[Concatenate[DiffusionBackend, P], Tensor]:
    """Run a method under inference_mode and hand out an ordinary tensor, one that may enter a training step."""

    @wraps(method)
    def run(self: DiffusionBackend, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        with torch.inference_mode():
            result = method(self, *args, **kwargs)
        return result.clone()

    return run


class DiffusionBackend:
    """The networks and the schedule of one Stable Diffusion checkpoint; make one with `load`.

    schedule: its DDIM noise levels. factor: image pixels per latent cell along a side. latent_channels: C of a latent.
    forwards: images that have passed the denoiser so far.
    """

    def __init__(self, pipeline: Any, source: checkpoint.Checkpoint, steps: int) -> None:
        self._pipeline = pipeline
        self._source = source
        self._unet, self._vae = pipeline.unet, pipeline.vae
        with _quiet():
            config = _ddim_config(source)
        self._alphas = alphas_cumprod(config)
        self.schedule = Schedule.from_scheduler(config, steps)
        self.factor: int = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self.latent_channels: int = self._vae.config.latent_channels
        self.forwards = 0
        if self._unet.config.in_channels != self.latent_channels:
            raise BenchkitError(
                f"{source.folder}: its denoiser takes {self._unet.config.in_channels} channels where its latents "
                f"have {self.latent_channels} (an inpainting model?); use a text-to-image checkpoint"
            )

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        steps: int = 50,
    ) -> DiffusionBackend:
        """Load an embedded checkpoint by name, a folder in diffusers' layout, or a Hugging Face repo id.

        dtype: of the networks, whatever their files hold; latents and images are float32 on every path. steps: of
        the schedule. Raises BenchkitError in one line when the checkpoint cannot be used.
        """
        source = checkpoint.find(name_or_path)
        try:
            with _quiet():
                pipeline = _load_pipeline(source, dtype)
                for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
                    part.to(device).eval().requires_grad_(False)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            # NotImplementedError is torch's way of saying that the files hold no values for some weight.
            missing = isinstance(error, NotImplementedError)
            reason = "weights are missing from its files" if missing else str(error).strip().partition("\n")[0]
            raise BenchkitError(f"{source.folder} cannot be loaded by diffusers: {reason}") from error
        return cls(pipeline, source, steps)

    @cached_property
    def identity(self) -> str:
        """sha256 of the checkpoint's content: configs, tokenizer and weights, not the place they lie in."""
        return self._source.identity

    @property
    def device(self) -> torch.device:
        """Where the networks are; inputs may come from anywhere, results stay there."""
        return self._unet.device

    @_inference
    def encode(self, images: Tensor) -> Tensor:
        """z_0 of images (N, 3, H, W) in [0, 1]: (N, C, H / factor, W / factor) float32, the posterior's mean.

        Raises BenchkitError for sizes that factor does not divide.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % self.factor or images.shape[3] % self.factor:
            raise BenchkitError(
                f"images of shape {tuple(images.shape)}: (N, 3, H, W) with sides divisible by {self.factor} are wanted"
            )
        posterior = self._vae.encode(2 * images.to(self.device, self._vae.dtype) - 1).latent_dist
        # Its memory layout would show in the last bits of everything computed from it.
        return (self._scale * (posterior.mean.float() - self._shift)).contiguous()

    @_inference
    def decode(self, z_0: Tensor) -> Tensor:
        """Images (N, 3, H, W) float32, clamped to [0, 1], of clean latents (N, C, h, w)."""
        plain = z_0.to(self.device).float() / self._scale + self._shift
        return (self._vae.decode(plain.to(self._vae.dtype)).sample.float() / 2 + 0.5).clamp(0, 1)

    def autoencode(self, images: Tensor) -> Tensor:
        """Images after one pass through the autoencoder: what every image meets once before a detector sees it."""
        return self.decode(self.encode(images))

    @_inference
    def embed(self, captions: Sequence[str | None]) -> Tensor:
        """Text conditions (N, tokens, width) float32, one row a caption; None is the empty caption.

        Long captions are cut to the text encoder's length.
        """
        tokenizer, encoder = self._pipeline.tokenizer, self._pipeline.text_encoder
        tokens = tokenizer(
            [caption or "" for caption in captions],
            padding="max_length",
            max_length=min(tokenizer.model_max_length, encoder.config.max_position_embeddings),
            truncation=True,
            return_tensors="pt",
        )
        mask = tokens.attention_mask.to(self.device) if getattr(encoder.config, "use_attention_mask", False) else None
        return encoder(tokens.input_ids.to(self.device), attention_mask=mask)[0].float()

    @_inference
    def predict(
        self, z: Tensor, t: int, condition: Tensor, attend: Attend | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """eps at training timestep t of latents (N, C, h, w), float32, whatever the checkpoint predicts; no guidance.

        condition: (N, tokens, width), from `embed`. attend: what self-attention returns inside the mask, (N, 1, h, w)
        bool. Counts N forwards.
        """
        if len(condition) != len(z):
            raise BenchkitError(f"{len(condition)} text conditions for {len(z)} latents")
        z = z.to(self.device).float()
        self.forwards += len(z)
        dtype = self._unet.dtype
        inside = nullcontext() if attend is None or mask is None else attending(self._unet, attend, mask.to(z.device))
        with inside:
            output = self._unet(z.to(dtype), t, encoder_hidden_states=condition.to(self.device, dtype)).sample
        return to_epsilon(output.float(), z, float(self._alphas[t]), self.schedule.prediction)

    @property
    def _scale(self) -> float:
        return float(self._vae.config.scaling_factor)

    @property
    def _shift(self) -> float:
        return float(getattr(self._vae.config, "shift_factor", None) or 0.0)


def _load_pipeline(source: checkpoint.Checkpoint, dtype: torch.dtype) -> Any:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    # By itself, because only so transformers tells of missing weights; a pipeline would draw them at random.
    text_encoder, report = CLIPTextModel.from_pretrained(
        source.folder / "text_encoder",
        variant=source.variant,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise ValueError(f"text_encoder/ lacks weights, such as {min(report['missing_keys'])}")
    return StableDiffusionPipeline.from_pretrained(
        source.folder,
        text_encoder=text_encoder.to(dtype),
        torch_dtype=dtype,
        variant=source.variant,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
        feature_extractor=None,
        image_encoder=None,
        local_files_only=True,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor remarks about parts that are not used here; errors are raised all the same."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    logs = [(log, log.get_verbosity()) for log in (diffusers_log, transformers_log)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            for log, _ in logs:
                log.set_verbosity_error()
                log.disable_progress_bar()
            yield
        finally:
            for log, verbosity in logs:
                log.set_verbosity(verbosity)
                log.enable_progress_bar()


def _ddim_config(source: checkpoint.Checkpoint) -> dict[str, Any]:
    """The checkpoint's scheduler as a complete DDIM config.

    Read from the file, not from the loaded pipeline: that one has silently set steps_offset to 1 and clip_sample to
    false. A scheduler class that has no clipping has none here either, although DDIM's own default is to clip.
    """
    import diffusers

    config = source.scheduler_config()
    name = str(config.get("_class_name"))
    scheduler = getattr(diffusers, name, None)
    if scheduler is None or not hasattr(scheduler, "from_config"):
        raise BenchkitError(f"{source.folder}: scheduler '{name}' is unknown to diffusers {diffusers.__version__}")
    # Asked of the class, because a scheduler's config also keeps the keys it was given and does not know.
    if "beta_schedule" not in inspect.signature(scheduler.__init__).parameters:
        raise BenchkitError(f"{source.folder}: scheduler '{name}' has no beta schedule, so no DDIM steps to invert")
    own = scheduler.from_config(config).config
    clipping = {key: bool(own.get(key, False)) for key in ("clip_sample", "thresholding")}
    return {**diffusers.DDIMScheduler.from_config(own).config, **clipping}


def timesteps_of(location: str, steps: int) -> tuple[int, ...]:
    """The timesteps of a checkpoint's schedule, clean end first, without loading its networks."""
    source = checkpoint.find(location)
    with _quiet():
        return Schedule.from_scheduler(_ddim_config(source), steps).timesteps
