"""Write the card of the embedded checkpoint: gates from figures, and README.md from a template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Card = dict[str, Any]

TEMPLATE = """# The embedded checkpoint `portraits`

A small latent-diffusion checkpoint in the layout of Stable Diffusion 1.x. It was trained on renders of benchkit's
procedural dataset `portraits` (version {world}): 128x128 pictures of drawn people. With it, a whole benchmark runs on
any machine. It can draw nothing else. `diffusers.StableDiffusionPipeline.from_pretrained(folder)` opens it. Licence:
Apache-2.0, as the rest of the project. `card.json` contains the figures in machine-readable form. `recipes/gates.py`
writes both files.

Identity (sha256 of configs, tokenizer and weights): `{identity}`

## Gates

A gate is a minimum quality that was required of the checkpoint. Measured with the float16 weights of this folder,
computed in float32, on scenes of the split `heldout`, which was not used in training. PSNR is averaged over images.

| gate | wanted | measured | |
|---|---|---|---|
{gates}

{missed}

## What it is

- **AutoencoderKL**, 8x, {latent_channels} latent channels, channels 16-32-64-96, no attention, scaling factor
  {scaling} (one over the standard deviation of all latents).
- **UNet2DConditionModel** on 16x16 latents, channels 64-128-192, 10.8 M weights, epsilon prediction; 1000 timesteps,
  scaled-linear 0.00085-0.012; DDIMScheduler as SD 1.x.
- **CLIPTextModel**, 2 layers of 96, trained together with the UNet. It has its own **CLIPTokenizer**: every word of the
  closed vocabulary of the captions is one token; a caption has 48 tokens.
- {megabytes} MB, float16 safetensors.

## Data and training

- Data: clean scenes of the split `train`, an unlimited stream that is disjoint from all other splits by construction.
  A scene is a pure function of dataset version, split and index. Captions come from `portraits.caption`. No photograph
  and no external data was used.
{training}
- Scripts: `recipes/autoencoder.py`, `recipes/denoiser.py`, `recipes/export.py`, `recipes/gates.py`. Both trainings
  can be resumed, and draw every iteration from its own seed. On another machine, or with another number of threads,
  sums of floats differ.

## Autoencoder
{autoencoder}

## Noise prediction

Mean squared error of epsilon by timestep, for {eps_images} images and one draw per bin. An error of 1 corresponds to
predicting zero.

| timesteps | captions | empty caption |
|---|---|---|
{bins}

Mean over all timesteps {eps_mean}, below 400 {eps_low}; without captions {eps_empty} ({eps_empty_images} images).

## Inversion and back

Round trip: each image is encoded, inverted by N of 50 steps, resampled by N steps, and decoded; without mask and
guidance, with the scene's own caption. *Lost* is the loss of PSNR against the original, compared with the autoencoder
alone on the same images. *To autoencoded* is the PSNR between the result and the autoencoded image.

| inverter | images | denoiser evaluations to 20 | lost at 10 | at 20 | to autoencoded at 10 | at 20 |
|---|---|---|---|---|---|---|
{trips}

`docs/images/checkpoint.png` shows original, autoencoded and round-trip images.

## Samples

Samples of 50-step DDIM from pure noise with held-out captions, without guidance: `docs/images/samples.png`. A small
convolutional letter classifier (trained on raw renders, `recipes/letters.py`) searches the sign: the three places in
a row with the highest probability of *any* letter. Then it classifies the letters. The same classifier on renders of
the same captions' scenes shows its own errors. Chance is 4 %.

| | signs found | letters as in the caption | whole signs |
|---|---|---|---|
{samples}

Letters at their known places: {raw} % right on raw renders.

## Visual inspection

{remarks}
"""

AUTOENCODER = """
- PSNR {psnr_db} dB on {images} clean scenes (lowest {psnr_db_lowest}), {psnr_db_artifact_scenes} dB on the same scenes
  with one to three artifacts.
- On the pixels that the artifacts changed: {psnr_db_changed_pixels_artifact} dB with artifacts,
  {psnr_db_changed_pixels_clean} dB on the same pixels of the clean scenes.
- {letters} letters at their known places: {letter_accuracy_raw_percent} % are classified correctly on raw renders,
  {letter_accuracy_autoencoded_percent} % after the autoencoder."""

TRAINING = """\
- Autoencoder: trained in several sessions: {auto_sittings}, each with 8 random 64x64 crops, AdamW, and a learning rate
  that falls to 0. Loss: L1 + squared error + L1 of image gradients + L1 of the mean colour of each latent pixel + 1e-6
  KL. Averaged weights (0.999); {auto_hours:.2f} h, {auto[threads]} thread(s). In the first session squared error had
  weight 1 (8 afterwards). The first 5,000 iterations ran without the colour term; it was added because one colour axis
  was not learned. The planned length was changed twice. So the script makes a similar training, not exactly this one.
- UNet and text encoder: {denoiser_sittings}, each with {denoiser[arg_batch]} latents from {denoiser[arg_images]}
  scenes, AdamW, a learning rate that falls to 0, plain squared error, half of the samples below t = 400, a tenth with
  the empty caption, averaged weights (0.999); {denoiser_hours:.2f} h, {denoiser[arg_threads]} thread(s). Each session
  used the latents of the best autoencoder at that time.
- A later session starts from the shipped float16 weights of the session before, with a new optimiser.
- Seeds: iteration i draws from (1, i) for the autoencoder and from (2, i) for the denoiser; initial weights use seed 0.
- Rounding to float16 changes little: decoded images differ by a PSNR of {rounded[image_psnr_db]} dB from those of the
  unrounded weights, and the predicted epsilon differs by {rounded_percent:.2f} %."""

GATES = (
    # name, wanted, path into the figures, comparison, limit, format
    ("autoencoder PSNR on clean scenes", ">= 27 dB", ("autoencoder", "psnr_db"), "least", 27.0, "{:.2f} dB"),
    ("lost on scenes with artifacts", "<= 1 dB", ("autoencoder", "artifact_loss_db"), "most", 1.0, "{:.2f} dB"),
    (
        "letters read on autoencoded signs",
        ">= 90 %",
        ("autoencoder", "letter_accuracy_autoencoded"),
        "least",
        0.9,
        "{:.1%}",
    ),
    (
        "lost by ReNoise, 10 steps and back",
        "<= 0.5 dB",
        ("round_trip", "renoise", "steps_10", "loss_db"),
        "most",
        0.5,
        "{:.3f} dB",
    ),
    ("size", "<= 40 MB", ("megabytes",), "most", 40.0, "{:.1f} MB"),
)


def at(figures: Any, path: tuple[str, ...]) -> float | None:
    """Return the figure at a path, or None if it was not measured."""
    for key in path:
        if not isinstance(figures, dict) or key not in figures:
            return None
        figures = figures[key]
    return float(figures)


def gates(figures: Card) -> list[Card]:
    """Return every gate with its measured value and whether it holds (None: not measured)."""
    found = []
    for name, wanted, path, comparison, limit, form in GATES:
        value = at(figures, path)
        held = None if value is None else value >= limit if comparison == "least" else value <= limit
        found.append(
            {
                "gate": name,
                "wanted": wanted,
                "measured": "not measured" if value is None else form.format(value),
                "held": held,
            }
        )
    return found


def write(folder: Path, card: Card) -> None:
    """Write card.json and README.md of a checkpoint folder."""
    card = {**card, "gates": gates(card["figures"])}
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    (folder / "README.md").write_text(page(card))


def read(folder: Path, identity: str) -> Card:
    """Read the existing card; return an empty one if it belongs to other weights."""
    path = folder / "card.json"
    card: Card = json.loads(path.read_text()) if path.exists() else {}
    return card if card.get("identity") == identity else {"identity": identity, "figures": {}}


def page(card: Card) -> str:
    """README.md."""
    figures = card["figures"]
    eps = figures.get("noise_prediction", {})
    auto = figures.get("autoencoder", {})
    missed = [f"{g['gate']} ({g['measured']}, wanted {g['wanted']})" for g in card["gates"] if g["held"] is False]
    words = {True: "held", False: "**missed**", None: "?"}
    return TEMPLATE.format(
        world=card["world"],
        identity=card["identity"],
        gates=rows([g["gate"], g["wanted"], g["measured"], words[g["held"]]] for g in card["gates"]),
        missed=f"**Missed:** {'; '.join(missed)}." if missed else "No measured gate is missed.",
        latent_channels=card["latent_channels"],
        scaling=card["scaling"],
        megabytes=figures["megabytes"],
        training=training(card.get("training", {})),
        autoencoder=autoencoder(auto),
        raw=percent(auto.get("letter_accuracy_raw")),
        bins=rows([t, eps["bins"][t], eps["bins_empty"][t]] for t in eps.get("bins", {})),
        eps_images=eps.get("images", 0),
        eps_empty_images=eps.get("images_empty", 0),
        eps_mean=eps.get("mean", "?"),
        eps_low=eps.get("mean_below_400", "?"),
        eps_empty=eps.get("mean_empty", "?"),
        trips=rows(trip(name, found) for name, found in figures.get("round_trip", {}).items()),
        samples=rows(
            [name.replace("_", " "), *(percent(found[key]) + " %" for key in SIGN_KEYS)]
            for name, found in figures.get("samples", {}).items()
        ),
        remarks=card.get("remarks", "The sheets have not been described yet."),
    )


SIGN_KEYS = ("signs_found", "letter_accuracy", "sign_accuracy")


def rows(lines: Any) -> str:
    """Return the rows of a Markdown table."""
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) or "| not measured |"


def percent(fraction: float | None) -> str:
    return "?" if fraction is None else f"{100 * fraction:.1f}"


def trip(name: str, found: Card) -> list[Any]:
    ten, twenty = found["steps_10"], found["steps_20"]
    return [
        name,
        found["images"],
        found["evaluations_an_image_to_20"],
        *(f"{steps['loss_db']} dB" for steps in (ten, twenty)),
        *(f"{steps['psnr_to_autoencoded_db']} dB" for steps in (ten, twenty)),
    ]


def autoencoder(auto: Card) -> str:
    if not auto:
        return "\nNot measured."
    letters = {f"{key}_percent": percent(auto[key]) for key in auto if key.startswith("letter_")}
    return AUTOENCODER.format(**auto, **letters)


def training(facts: Card) -> str:
    """Return how the two networks were trained, as list items."""
    if "denoiser" not in facts:
        return "- **This checkpoint is not finished:** at least its denoiser has not been trained."
    auto, denoiser, rounded = facts["autoencoder"], facts["denoiser"], facts["float16"]
    return TRAINING.format(
        auto=auto,
        denoiser=denoiser,
        rounded=rounded,
        auto_sittings=sittings(auto),
        auto_hours=hours(auto),
        denoiser_sittings=sittings(denoiser),
        denoiser_hours=hours(denoiser),
        rounded_percent=100 * rounded["eps_relative_rms"],
    )


def sittings(facts: Card) -> str:
    """Return the iterations of every training session and its peak learning rate."""
    lines = [f"{s['iteration']:,} iterations at {s.get('lr') or s.get('arg_lr') or 1.5e-3}" for s in every(facts)]
    return ", then ".join(lines)


def hours(facts: Card) -> float:
    return sum(float(s["seconds"]) for s in every(facts)) / 3600


def every(facts: Card) -> list[Card]:
    """Return all training sessions of a network, oldest first."""
    return [*facts.get("earlier", []), facts]
