"""Export a run's trained detector as a folder: its weights, a card for programs, and a page for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchkit.api import Detector
from benchkit.inference.detector import CARD, SCHEMA, WEIGHTS, TrainedDetector
from benchkit.outputs.exports.provenance import code, provenance
from benchkit.outputs.finished_run import FinishedRun, train_of
from benchkit.planning.plan import PlannedCell
from benchkit.report.format_values import percent
from benchkit.store.artifacts import parse_json

#: The threshold if a run has no validation images to choose one.
DEFAULT_THRESHOLD = 0.5


def detector_card(run: FinishedRun, planned: PlannedCell) -> dict[str, Any]:
    """Return facts on a row's detector: its plugin, training, figures on the test set and threshold.

    Raises BenchkitError where the cache does not hold its weights or figures any more.
    """
    assert planned.evaluate is not None
    train = train_of(planned)
    run.require((train, planned.evaluate), run.name(planned))
    facts = parse_json(run.env.store.open(planned.evaluate.key).read("row.json"))
    chosen = facts["threshold"]
    meta = run.env.meta(train)
    spec = train.detector
    return {
        **provenance(run, planned, "detector"),
        "schema": SCHEMA,
        "detector": {"name": spec.name, "params": spec.values, "identity": train.identity},
        "threshold": DEFAULT_THRESHOLD if chosen is None else float(chosen),
        "threshold_from": "no validation images" if chosen is None else "best F1 on validation images",
        "training": {name: meta[name] for name in ("images", "dropped", "prevalence", "config")},
        "test_set": run.states[planned.key].test_set,
        "metrics": facts["row"],
    }


def trained_detector(run: FinishedRun, planned: PlannedCell) -> TrainedDetector:
    """Load a row's detector on the run's device."""
    card = detector_card(run, planned)
    run.plugin(train_of(planned).detector, Detector)  # type: ignore[type-abstract]  # refuses one that has changed
    network = train_of(planned).network(run.env)
    network.requires_grad_(False)
    return TrainedDetector(network.eval(), card["threshold"], card)


def write_detector(run: FinishedRun, planned: PlannedCell, folder: Path) -> None:
    """Write model.safetensors, card.json and README.md into an empty folder."""
    card = detector_card(run, planned)
    data = run.env.store.open(train_of(planned).key).read("weights.safetensors")
    card["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / WEIGHTS).write_bytes(data)
    (folder / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "README.md").write_text(_page(card), "utf-8")


def _page(card: Mapping[str, Any]) -> str:
    training, figures = card["training"], {k: v for k, v in card["metrics"].items() if isinstance(v, int | float)}
    shown = {name: figures[name] for name in ("artifact_iou", "average_precision", "auroc") if name in figures}
    return "\n".join(
        [
            f"# A detector of artifacts: {code(card['detector']['name'])} trained on {code(card['row'])}",
            "",
            f"Trained in benchkit run {code(card['run'])} ({code(card['title'])}), seed {card['seed']}, on",
            f"{training['images']} images ({training['dropped']} more had an empty selection), "
            f"{training['config']['iterations']} iterations.",
            "",
            "```python",
            "import benchkit",
            "",
            'detector = benchkit.load_detector("THIS FOLDER")',
            "(heat,) = detector([image])                    # PIL image -> (H, W) float32 in [0, 1]",
            "reward = -detector.probabilities(batch).mean() # (N, 3, H, W) in [0, 1], with gradients",
            "```",
            "",
            f"- threshold: {card['threshold']:.4f} ({card['threshold_from']})",
            *(f"- {name.replace('_', ' ')}: {percent(value)} %" for name, value in shown.items()),
            f"- measured on: {code(card['test_set'])}",
            f"- parameters: {code(json.dumps(card['detector']['params']))}",
            f"- plugin source: sha256 {code(card['detector']['identity'])}",
            f"- {code(WEIGHTS)}: sha256 {code(card['sha256'])}",
            "",
            f"All figures, and where they come from: {code(CARD)}.",
            "",
            "## Licences",
            "",
            card["licences"],
            "",
        ]
    )
