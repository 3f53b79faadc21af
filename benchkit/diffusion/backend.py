"""The networks of one diffusion checkpoint: encode, decode, predict the noise.

Latents are scaled as the denoiser sees them: z_0 = scaling factor * (posterior mean - shift factor).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor

from benchkit.diffusion import checkpoint, loading
from benchkit.diffusion.attention import replace_attention
from benchkit.diffusion.condition import Condition
from benchkit.diffusion.masked_unet import Evaluation, count_multiply_adds
from benchkit.diffusion.options import ModelOptions, parse_model, public_name
from benchkit.diffusion.schedule import Schedule, compute_alpha_bar, to_epsilon
from benchkit.errors import BenchkitError
from benchkit.specs.training_sets import CHUNK, DECODED_AT_ONCE
from benchkit.system import memory

if TYPE_CHECKING:
    from benchkit.api import Attend
    from benchkit.diffusion.masked_unet import Level, Record

P = ParamSpec("P")
R = TypeVar("R", Tensor, Condition)
Part = Literal["unet", "vae", "text_encoder", "text_encoder_2"]

#: Largest side of the tiles of a tiled autoencoder, in pixels.
TILE = 512


def _inference(
    doing: str,
) -> Callable[[Callable[Concatenate[DiffusionBackend, P], R]], Callable[Concatenate[DiffusionBackend, P], R]]:
    """Run a method under inference_mode and return ordinary tensors, which may enter a training step.

    doing: what the method does, for the message if memory runs out.
    """

    def decorated(
        method: Callable[Concatenate[DiffusionBackend, P], R],
    ) -> Callable[Concatenate[DiffusionBackend, P], R]:
        @wraps(method)
        def run(self: DiffusionBackend, *args: P.args, **kwargs: P.kwargs) -> R:
            # The first argument is a batch: images, captions or latents.
            remedy = partial(self._remedy, len(args[0]) if args else 1)  # type: ignore[arg-type]
            with memory.explain_out_of_memory(f"while {doing}", remedy), torch.inference_mode():
                result = method(self, *args, **kwargs)
            return result.clone()

        return run

    return decorated


class DiffusionBackend:
    """The networks and the schedule of one Stable Diffusion checkpoint; make one with `load`.

    schedule: its DDIM schedule. factor: image pixels per latent pixel along a side. latent_channels: C of a latent.
    network_evaluations: how many images have passed the denoiser so far. location: the text by which another process
    loads the same checkpoint.
    """

    def __init__(
        self,
        pipeline: Any,
        source: checkpoint.Checkpoint,
        schedule: Schedule,
        alphas: Tensor,
        options: ModelOptions,
        location: str,
    ) -> None:
        self.location = location
        self._pipeline, self._source, self.options = pipeline, source, options
        self._unet, self._vae = pipeline.unet, pipeline.vae
        self.schedule, self._alphas = schedule, alphas
        self.factor: int = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self.latent_channels: int = self._vae.config.latent_channels
        self.network_evaluations = 0
        self._multiply_adds: dict[tuple[int, int], list[int]] = {}
        self._states = source.list_states()
        #: Inputs are moved to this device, and results stay there.
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
        sampling: str = "float32",
    ) -> DiffusionBackend:
        """Load a checkpoint: an embedded one by name, a folder, a safetensors file, or a Hugging Face repository.

        A folder has diffusers' layout; a repository is `OWNER/NAME` or `OWNER/NAME@REVISION`. Options may follow:
        `NAME:dtype=float16,vae=tiled,offload=true`. dtype: of the networks, instead of the option; latents and images
        are always float32, and so is SDXL's autoencoder if its config requires it. steps: of the schedule. sampling:
        format of the denoiser and the decoder alone. Raises BenchkitError in one line if the checkpoint cannot be used
        or does not fit into memory.
        """
        _, options = parse_model(name_or_path)
        if dtype is not None:
            options = replace(options, dtype=str(dtype).removeprefix("torch."))
        source = checkpoint.find(name_or_path)
        try:
            with loading.quiet():
                config = loading.read_ddim_config(source)  # first: it may refuse the checkpoint
                schedule = Schedule.from_scheduler(config, steps)
                pipeline = loading.load_pipeline(source, getattr(torch, options.dtype))
                if sampling != "float32":
                    _use_half_precision(pipeline, source, getattr(torch, sampling), torch.device(device))
            location = checkpoint.locate_again(name_or_path, source, options)
            backend = cls(pipeline, source.make_absolute(), schedule, compute_alpha_bar(config), options, location)
            with memory.explain_out_of_memory("while loading", backend._remedy):
                backend._place(torch.device(device))
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            # torch raises NotImplementedError if the files have no values for some weight.
            missing = isinstance(error, NotImplementedError)
            reason = "weights are missing from its files" if missing else str(error).strip().partition("\n")[0]
            raise BenchkitError(f"{source.place} cannot be loaded by diffusers: {reason}") from error
        return backend

    def __repr__(self) -> str:
        steps = f"{self.schedule.steps} inference steps"
        return f"<DiffusionBackend: {public_name(self.location)}, {steps}, {self.options.dtype} on {self.device}>"

    @cached_property
    def identity(self) -> str:
        """sha256 of the checkpoint's content (configs, tokenizer, weights), independent of its place.

        Raises BenchkitError if its files were changed or removed after they were loaded.
        """
        try:
            if self._source.list_states() == self._states:
                return self._source.identity
        except OSError:
            pass  # a file was removed
        raise BenchkitError(f"checkpoint {self._source.place} has changed since it was loaded: load it again")

    @property
    def denoiser_config(self) -> Mapping[str, Any]:
        """The config of the denoiser, as diffusers reads it."""
        return self._unet.config

    def count_multiply_adds(self, shape: tuple[int, int]) -> list[int]:
        """Return the multiply-adds of an evaluation on every level of the denoiser, for latents of a shape (h, w)."""
        if shape not in self._multiply_adds:
            self._multiply_adds[shape] = count_multiply_adds(self.denoiser_config, shape)
        return self._multiply_adds[shape]

    def is_on(self, device: str) -> bool:
        """Return whether it lies on the device of this name; "cuda" means the current GPU."""
        return self.device == torch.empty(0, device=device).device

    @_inference("encoding")
    def encode(self, images: Tensor) -> Tensor:
        """Return z_0 of images (N, 3, H, W) in [0, 1]: (N, C, H / factor, W / factor) float32, the posterior's mean.

        Raises BenchkitError for sizes that `factor` does not divide.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % self.factor or images.shape[3] % self.factor:
            raise BenchkitError(
                f"images of shape {tuple(images.shape)}: expected (N, 3, H, W) with sides divisible by {self.factor}"
            )
        vae = self._at_work("vae")
        dtype = vae.encoder.conv_in.weight.dtype  # the decoder may have another
        posterior = vae.encode(2 * images.to(self.device, dtype) - 1).latent_dist
        # Contiguous, because the memory layout changes the last bits of later results.
        z_0 = (self._scale * (posterior.mean.float() - self._shift)).contiguous()
        return _check_finite(z_0, "the autoencoder's latents", dtype)

    @_inference("decoding")
    def decode(self, z_0: Tensor) -> Tensor:
        """Return images (N, 3, H, W) float32, clamped to [0, 1], of clean latents (N, C, h, w)."""
        vae = self._at_work("vae")
        dtype = vae.decoder.conv_in.weight.dtype
        plain = z_0.to(self.device).float() / self._scale + self._shift
        pieces = [
            vae.decode(piece.to(dtype)).sample.float().contiguous()
            for piece in plain.split(self._decoded_at_once(len(z_0)))
        ]
        return _check_finite((torch.cat(pieces) / 2 + 0.5).clamp(0, 1), "the autoencoder's images", dtype)

    def _decoded_at_once(self, count: int) -> int:
        """Return how many of so many images to decode at once; a chunk of CHUNK whole, as every version has done."""
        return DECODED_AT_ONCE if count > CHUNK and self.device.type == "cpu" else max(1, count)

    def autoencode(self, images: Tensor) -> Tensor:
        """Return images after one pass through the autoencoder, which every image of a comparison takes once."""
        return self.decode(self.encode(images))

    @_inference("embedding captions")
    def embed(self, captions: Sequence[str | None]) -> Condition:
        """Return text conditions, one row per caption, float32; None is the empty caption.

        Long captions are truncated to the text encoders' length. For SDXL, the condition has the second-to-last layer
        of both encoders, concatenated, and the pooled vector of the second one.
        """
        if not self._source.is_xl:
            return Condition(self._encode_text("text_encoder", captions)[0].float())
        first = self._encode_text("text_encoder", captions, output_hidden_states=True)
        second = self._encode_text("text_encoder_2", captions, output_hidden_states=True)
        text = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return Condition(text.float(), second.text_embeds.float())

    def _encode_text(self, part: Part, captions: Sequence[str | None], **wanted: bool) -> Any:
        """Return the output of one text encoder."""
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
        self,
        z: Tensor,
        t: int,
        condition: Condition,
        attend: Attend | None = None,
        mask: Tensor | None = None,
        partial_evaluation: tuple[Sequence[Level], Record] | None = None,
    ) -> Tensor:
        """Return eps_theta(z, t, c) of latents z (N, C, h, w) at training timestep t, float32, without guidance.

        Other types of prediction are converted to eps. condition: N rows from `embed`. attend: computes self-attention
        inside the mask, (N, 1, h, w) bool. partial_evaluation: of one latent, the levels and the record of
        `benchkit.diffusion.masked_unet`. Counts N network evaluations.
        """
        if len(condition) != len(z):
            raise BenchkitError(f"{len(condition)} text conditions for {len(z)} latents")
        z = z.to(self.device).float()
        self.network_evaluations += len(z)
        unet = self._at_work("unet")
        inside = nullcontext() if attend is None or mask is None else replace_attention(unet, attend, mask.to(z.device))
        text = condition.text.to(self.device, unet.dtype)
        more = {"encoder_hidden_states": text, **self._added_conditions(z, condition)}
        if partial_evaluation is not None:
            output = Evaluation(unet, *partial_evaluation)(z.to(unet.dtype), t, **more)
        else:
            with inside:
                output = unet(z.to(unet.dtype), t, **more).sample
        # Contiguous, because plugins are shown it, and its layout decides the last bits of their results.
        eps = to_epsilon(output.float().contiguous(), z, float(self._alphas[t]), self.schedule.prediction)
        return _check_finite(eps, "the denoiser's predictions", unet.dtype)

    def _added_conditions(self, z: Tensor, condition: Condition) -> dict[str, Any]:
        """Return SDXL's further conditions: the pooled caption, and the size of the uncropped image."""
        if condition.pooled is None:
            return {}
        height, width = (self.factor * side for side in z.shape[-2:])
        # float32, because bfloat16 rounds most numbers above 256.
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(z), dtype=torch.float32, device=self.device)
        pooled = condition.pooled.to(self.device, self._unet.dtype)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}

    def _place(self, device: torch.device) -> None:
        """Move the networks to the device; with offloading, they stay in main memory until they are used."""
        # A tensor shows the number of the GPU that "cuda" means.
        self.device = torch.empty(0, device=device).device
        for part in self._source.parts:
            network = getattr(self._pipeline, part).eval().requires_grad_(False)
            network.to("cpu" if self.options.offload else self.device)

    def _at_work(self, part: Part) -> Any:
        """Return a network on the device; with offloading, first move the previous one away."""
        network = getattr(self._pipeline, part)
        if self.options.offload and self._resident != part:
            # Weights that were moved under inference_mode could not be moved again.
            with torch.inference_mode(False):
                if self._resident is not None:
                    getattr(self._pipeline, self._resident).to("cpu")
                self._resident = part
                network.to(self.device)
        return network

    def _remedy(self, images: int = 1) -> str:
        """Return what needs less memory. images: how many were processed at once."""
        networks = (getattr(self._pipeline, part) for part in self._source.parts)
        parameters = sum(p.numel() for network in networks for p in network.parameters())
        return memory.suggest_savings(self.options, parameters, images)

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
    """Return statistics of the latents in an autoencoder's config, (1, C, 1, 1), if it has them."""
    both = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if any(values is None for values in both):
        return None
    return torch.tensor(getattr(vae.config, key), dtype=torch.float32, device=device).view(1, -1, 1, 1)


def _use_half_precision(pipeline: Any, source: checkpoint.Checkpoint, dtype: torch.dtype, device: torch.device) -> None:
    """Bring the denoiser and the decoder into a half format, and on CUDA into the layout that its units read fastest.

    On a processor that layout makes an evaluation of the embedded denoiser a sixth slower in bfloat16
    (benchmarks/networks.py, with its variants).
    """
    parts = [pipeline.unet]
    if not loading.wants_float32(source):
        # A checkpoint may do without the first of them.
        parts += [part for part in (pipeline.vae.post_quant_conv, pipeline.vae.decoder) if part is not None]
    for part in parts:
        part.to(dtype)
        if device.type == "cuda":
            part.to(memory_format=torch.channels_last)


def _save_memory(vae: Any, options: ModelOptions) -> None:
    """Let the autoencoder process one image or one tile at a time, if the options say so."""
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


def _check_finite(result: Tensor, what: str, dtype: torch.dtype) -> Tensor:
    """Return the result; raise BenchkitError if float16 overflowed, which would give black images."""
    if dtype == torch.float16 and not bool(torch.isfinite(result).all()):
        raise BenchkitError(
            f"{what} are not finite in float16: use bfloat16 or float32 for this checkpoint (`dtype` behind its name, "
            "or sampling.precision)"
        )
    return result


def timesteps_of(location: str, steps: int) -> tuple[int, ...]:
    """Return the timesteps of a checkpoint's schedule, clean end first, without loading its networks."""
    source = checkpoint.find(location)
    with loading.quiet():
        return Schedule.from_scheduler(loading.read_ddim_config(source), steps).timesteps
