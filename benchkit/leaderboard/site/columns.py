"""The columns of the site's table: what each shows and means. The page's script draws them from these records alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["text", "link", "percent", "interval", "rank", "tier", "delta", "number", "count", "seeds", "badge"]


@dataclass(frozen=True)
class Column:
    """key: the field of a row that it shows and sorts by. shown: whether it is shown before anybody chooses.

    kind: how a value is written. interval, rank and delta also read KEY_low and KEY_high, delta also KEY_verdict. best:
    whether the greatest (1), the least (-1) or no value is best; the first click sorts the best to the top.
    """

    key: str
    header: str
    meaning: str
    kind: Kind = "number"
    shown: bool = False
    best: int = 0


#: Columns of fresh figures, which a season gives.
FRESH = ("rank_fresh", "rank_fresh_ap", "fresh", "fresh_ap", "lead", "lead_ap")
COLUMNS = (
    Column(
        "rank",
        "Rank, IoU",
        "Place by artifact IoU among the rows that are ranked together, and the simultaneous "
        "interval of all places it can have.",
        "rank",
        True,
        -1,
    ),
    Column(
        "rank_fresh",
        "Fresh rank, IoU",
        "Place by artifact IoU on the images of a season, which nobody knew before, among the rows that were scored.",
        "rank",
        best=-1,
    ),
    Column("rank_ap", "Rank, AP", "Place by average precision, and its interval.", "rank", True, -1),
    Column("rank_fresh_ap", "Fresh rank, AP", "The same by average precision.", "rank", best=-1),
    Column(
        "name",
        "Method",
        "What the detector was trained on: a corruptor with its parameters, or a baseline.",
        "link",
        True,
    ),
    Column("selector", "Selector", "What chose the regions that were corrupted or labelled.", "text", True),
    Column("detector", "Detector", "The network that was trained. Headings name it while ranks are sorted.", "link"),
    Column(
        "iou",
        "Artifact IoU, %",
        "Intersection over union of the artifact class at threshold 0.5, pooled over all test "
        "images, in per cent, with its 95 % interval.",
        "interval",
        True,
        1,
    ),
    Column("fresh", "Fresh IoU, %", "Artifact IoU on the images of a season, with its interval.", "interval", best=1),
    Column(
        "ap",
        "AP, %",
        "Average precision over pixels, in per cent, with its 95 % interval. It depends on no threshold.",
        "interval",
        True,
        1,
    ),
    Column("fresh_ap", "Fresh AP, %", "Average precision on the images of a season.", "interval", best=1),
    Column(
        "pseudo",
        "Δ to pseudo, IoU, points",
        "Paired difference of IoU to the same masks without corruption, in points, with interval and verdict.",
        "delta",
        True,
        1,
    ),
    Column("pseudo_ap", "Δ to pseudo, AP, points", "The same difference of AP.", "delta", True, 1),
    Column(
        "lead",
        "Lead change, IoU, points",
        "Change of the difference to pseudo from public to fresh images, in points of IoU. Behind: the row lost beyond "
        "chance, a sign that it was fitted to the public images.",
        "delta",
        best=1,
    ),
    Column("lead_ap", "Lead change, AP, points", "The same change of AP.", "delta", best=1),
    Column("badge", "Badge", "What stands behind the row: reported, recomputed, re-run or differs.", "badge", True),
    Column(
        "tier", "Tier, IoU", "Rows that the leader of their tier does not beat beyond chance, by IoU.", "tier", best=-1
    ),
    Column("tier_ap", "Tier, AP", "The same by average precision.", "tier", best=-1),
    Column(
        "human",
        "Δ to human, IoU, points",
        "Paired difference of IoU to training on the labelled images alone, in points.",
        "delta",
        best=1,
    ),
    Column("human_ap", "Δ to human, AP, points", "The same difference of AP.", "delta", best=1),
    Column(
        "iou_validation",
        "IoU at validation, %",
        "Artifact IoU at the threshold with the best F1 on validation images.",
        "percent",
        best=1,
    ),
    Column("auroc", "AUROC, %", "Area under the pixel ROC curve, in per cent.", "percent", best=1),
    Column("f1", "F1, %", "Pixel F1 at threshold 0.5, in per cent.", "percent", best=1),
    Column("iou_per_image", "IoU per image, %", "Artifact IoU, mean over images, in per cent.", "percent", best=1),
    Column(
        "inside",
        "Change inside, %",
        "Mean absolute change inside the mask against the round trip, in per cent of the colour range.",
        "percent",
        best=1,
    ),
    Column(
        "outside",
        "Outside, dB",
        "PSNR outside the mask against the round trip: higher is less disturbed.",
        "number",
        best=1,
    ),
    Column("steps", "Steps", "Inversion steps from the clean end, out of the schedule's.", "count"),
    Column(
        "evaluations",
        "Network evaluations",
        "Network evaluations of the diffusion model for one corrupted image: inversion "
        "and resampling, as the plugins declare them.",
        "count",
        best=-1,
    ),
    Column(
        "seconds",
        "Seconds",
        "Seconds that the row's cells took, all seeds; stages from the cache take none.",
        "number",
        best=-1,
    ),
    Column("seeds", "Seeds", "Seeds that the figures are the mean of, and the standard deviation of IoU.", "seeds"),
    Column("iterations", "Iterations", "Training iterations of the detector.", "count"),
    Column("train_images", "Training images", "Images the detector was trained on, mean over seeds.", "number"),
    Column("role", "Role", "human, pseudo, oracle, corrupted, mixed or trivial.", "text"),
    Column("source", "Source", "The clean images that were corrupted.", "text"),
    Column("inverter", "Inverter", "What mapped clean latents to noisier ones.", "text"),
    Column("dataset", "Dataset", "The test images.", "link"),
    Column("board", "Submission", "The run or submission that the row is from.", "link"),
)


def column_records(seasons: bool) -> list[dict[str, Any]]:
    """Return the columns as plain data for the page; those of fresh figures only where there are seasons."""
    return [asdict(column) for column in COLUMNS if seasons or column.key not in FRESH]
