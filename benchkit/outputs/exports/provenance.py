"""The origin of an exported training set, as plain data and as a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchkit.diffusion.options import public_name
from benchkit.outputs.finished_run import FinishedRun, train_of
from benchkit.planning.plan import PlannedCell
from benchkit.report.format_values import one_line
from benchkit.runs.provenance import get_package_versions
from benchkit.specs.training_sets import Corrupted, Labelled, Pseudo

#: Version of provenance.json.
SCHEMA = 1
LICENCES = (
    "benchkit adds no terms of its own. The images derive from those of the datasets named here, and what was changed "
    "in them was drawn by the checkpoint named here: the licences of both hold for what you do with them."
)


def provenance(run: FinishedRun, planned: PlannedCell, form: str) -> dict[str, Any]:
    """Return the run, row, corruptor, selector, seed and checkpoint of a training set."""
    cell, train, model = planned.cell, train_of(planned), run.model(planned)
    parts = [_part(part, run) for part in cell.training.parts]
    return {
        "schema": SCHEMA,
        "format": form,
        "run": run.id,
        "begun": run.info.created,
        "title": run.grid.title,
        "row": run.name(planned),
        "role": cell.role,
        "seed": cell.seed,
        "detector": str(cell.detector),
        "shown": dict(run.info.config.get("shown") or {}),
        "training_set": parts,
        "checkpoint": {"name": public_name(model.location), "identity": model.identity},
        "num_inference_steps": model.steps,
        "trained_stage": train.key,
        "licences": LICENCES,
        "written_by": get_package_versions(),
        "computed_with": dict(run.info.environment),
    }


def _part(part: Labelled | Pseudo | Corrupted, run: FinishedRun) -> dict[str, Any]:
    """Return one part of a training set; `identity` is the sha256 of the plugin's source and of what it reads."""
    images = part.images
    found: dict[str, Any] = {"is": type(part).__name__.lower()}
    found |= {"dataset": str(images.dataset), "split": images.split, "images": len(images.indices)}
    for spec in (part.selector, part.corruptor, part.inverter):
        if spec is not None:
            found[spec.kind] = {"spec": str(spec), "identity": run.identity(spec)}
    if isinstance(part, Corrupted):
        found |= {"label": part.label, "paste_background": part.paste_background}
    return found


def card(facts: Mapping[str, Any], count: int, reading: str, head: str = "") -> str:
    """Return README.md of an export: what it is, its origin, how to read it. head: the first lines."""
    shown = facts.get("shown") or {}
    detector = code(shown.get(facts["detector"], facts["detector"]))
    parts = [line for part in facts["training_set"] for line in _lines(part, shown)]
    return "\n".join(
        [
            *([head] if head else []),
            f"# Images with marked artifacts: {code(facts['row'])}",
            "",
            f"{count} images with a mask of their artifacts each, the training set of one row of a benchkit comparison",
            f"({code(facts['title'])}, run {code(facts['run'])}, seed {facts['seed']}, detector",
            f"{detector}). Every image is as the detector was shown it; those whose selection was empty",
            "are skipped, as in training.",
            "",
            *parts,
            f"- checkpoint: {code(facts['checkpoint']['name'])}, sha256 {code(facts['checkpoint']['identity'])}",
            f"- schedule: {facts['num_inference_steps']} steps",
            "",
            "## Files",
            "",
            reading,
            "",
            "`manifest.jsonl` has a line for each image: `name` (of its files), `id`, `split` and `caption` (the",
            "dataset's), `part` (`corrupted`, `pseudo` or `labelled`), `width`, `height`, `marked` (fraction of "
            "pixels).",
            "`provenance.json` says the above, plugins by the sha256 of their source, and the versions of everything.",
            "",
            "## Licences",
            "",
            facts["licences"],
            "",
        ]
    )


def code(text: object) -> str:
    """Return foreign text as Markdown code, so that none of it is markup."""
    return f"`{one_line(text).replace('`', chr(39))}`"


def _lines(part: Mapping[str, Any], shown: Mapping[str, str]) -> list[str]:
    lines = []
    if "dataset" in part:
        words = {"labelled": "labelled by people", "pseudo": "not corrupted, the selection for a label"}
        what = words.get(part["is"], "corrupted inside the selection")
        dataset = code(shown.get(part["dataset"], part["dataset"]))
        lines.append(f"- dataset: {dataset}, split {code(part['split'])}, {part['images']} images; {what}")
    specs = {kind: part[kind]["spec"] for kind in ("selector", "corruptor", "inverter") if kind in part}
    lines += [f"- {kind}: {code(shown.get(spec, spec))}" for kind, spec in specs.items()]
    if "label" in part:
        lines.append(f"- label: the {part['label']}'s mask; composite: {'yes' if part['paste_background'] else 'no'}")
    return lines
