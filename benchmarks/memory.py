"""Is peak memory flat? Comparisons of 1,000, 3,000 and 10,000 images, each in a process of its own.

    python benchmarks/memory.py [--sizes 1000 3000 10000] [--tests 500] [--small]

So many labelled and source images of 32 x 32 pixels (`_noise_images.py`), and at most --tests test images, pass every
kind of stage that reads a whole set: encoding, features, selection by a learned selector, corruption of pixels,
confinement, training and scoring of a head on a frozen trunk. Linux only: after each stage the process's peak memory is
read and set back. So each kind of stage has the most that one of its stages added to the memory before it. What is
recorded of a finished row counts to the stage after it. A small comparison comes first, so that loading programs and
networks does not count. A row compares a kind with itself at the first size.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

from _record import Row, describe_machine, describe_settings, make_parser, measure, parse, run_child, write_result

SIZES = (1_000, 3_000, 10_000)
TOTAL = "the whole process"
WARM_UP = 64
DETECTOR = "frozen-convnext"
TRAINING = {"iterations": 20, "batch": 8, "lr": 1e-3, "prior_bias": True, "flip": False}


def run_comparison(images: int, tests: int, out: Path) -> None:
    """Run one comparison in this process, and write what each kind of stage adds to its memory, in MiB."""
    from _stages import KINDS, PLANNING, REPORT, run_grid

    from benchkit.config.grid import Grid, load_grid
    from benchkit.plugin.registry import Registry
    from benchkit.stages.base import Stage

    registry = Registry.load(files=[Path(__file__).with_name("_noise_images.py")])

    def make_grid(number: int) -> Grid:
        return load_grid("quick").replaced(
            dataset="noise-images",
            labelled=number,
            source={"split": "clean", "size": number},
            test={"split": "test", "size": min(number, tests)},
            validation=None,
            baselines=["human"],
            trivial=[],
            selectors=["learned"],
            corruptors=["pixel-blur"],
            detectors=[DETECTOR],
            seeds=[0],
            on_detector={},
            training=TRAINING,
            selector_training=TRAINING,
        )

    run_grid(make_grid(WARM_UP), registry)  # loads programs and networks, whose memory is not of interest
    added: dict[str, float] = {}
    whole, (_, before) = 0.0, take_peak()

    def note(name: str) -> None:
        nonlocal whole, before
        peak, now = take_peak()
        added[name] = max(added.get(name, 0.0), peak - before)
        whole, before = max(whole, peak), now

    def note_stage(stage: Stage) -> None:
        note(KINDS[type(stage).__name__])

    run_grid(make_grid(images), registry, note_stage, lambda: note(PLANNING))
    note(REPORT)
    out.write_text(json.dumps({**added, TOTAL: whole}))


def take_peak() -> tuple[float, float]:
    """Return the peak memory of this process since the last call, and its memory now, in MiB."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    peak, now = (re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmHWM", "VmRSS"))
    assert peak is not None and now is not None
    return int(peak[1]) / 1024, int(now[1]) / 1024


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--tests", type=int, default=10_000, help="at most so many test images")
    parser.add_argument("--child", type=Path, help="run the first size in this process, and write its figures here")
    asked = parse(parser)
    if asked.child:
        run_comparison(asked.sizes[0], asked.tests, asked.child)
        return
    if asked.small:
        asked.sizes = [32, 64]
    if not sys.platform.startswith("linux"):
        raise SystemExit("memory.py reads /proc/self, which only Linux has: nothing measured")
    machine, peaks, costs = describe_machine(), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for images in asked.sizes:
            out = Path(folder) / f"{images}.json"
            own = [sys.executable, __file__, "--sizes", str(images), "--tests", str(asked.tests), "--child", str(out)]
            costs[images] = measure(partial(run_child, own))
            peaks[images] = json.loads(out.read_text())
            print(f"{images} images: {costs[images].cpu:.0f} CPU s", flush=True)
    first = asked.sizes[0]
    rows = [
        Row(
            what=f"{'peak memory of' if kind == TOTAL else 'memory that is added by'} {kind}, {images} images",
            cost=peaks[images][kind],
            unit="MiB",
            against=f"{first} images" if peaks[first][kind] else "",
            other=peaks[first][kind] or None,
        )
        for kind in peaks[first]
        for images in asked.sizes[1:]
    ]
    rows += [Row(f"comparison of {images} images", cost.cpu, "CPU s") for images, cost in costs.items()]
    settings = {key: value for key, value in describe_settings(asked).items() if key != "child"}
    write_result("memory", rows, settings, machine, asked.results)


if __name__ == "__main__":
    main()
