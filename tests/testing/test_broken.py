"""Deliberately broken plugins: each is named by the check made for it, with what was expected and what actual."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchkit.plugin.registry import Registry
from benchkit.testing import Report, assert_conforms, reports_on
from tests.testing.broken_corruptors import ALSO, BROKEN, SOUND
from tests.testing.broken_others import BROKEN_OTHERS, SOUND_OTHERS

REGISTRY = Registry.load()


def report(folder: Path, source: str) -> Report:
    (folder / "mine.py").write_text(source)
    (only,) = reports_on(str(folder / "mine.py"), REGISTRY, folder / "pictures")
    return only


def changed(sound: str, old: str, new: str) -> str:
    assert old in sound
    return sound.replace(old, new)


def test_the_sound_one_passes(tmp_path: Path) -> None:
    found = report(tmp_path, SOUND)
    assert found.ok, found.text()
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_corruptor_is_named_by_the_right_check(
    tmp_path: Path, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tighter limit than the suite's, so that to be too dear takes no seconds.
    monkeypatch.setattr("benchkit.testing.corruptors._reference", lambda: ("gaussian:steps=0", 50.0))
    old, new, check = BROKEN[mistake]
    found = report(tmp_path, changed(SOUND, old, new))
    failed = {finding.check.name: finding for finding in found.failures}
    assert check in failed, found.text()
    assert set(failed) <= {check} | ALSO.get(mistake, set()), found.text()
    assert failed[check].expected and failed[check].actual
    assert "FAIL" in found.text() and "expected:" in found.text()


@pytest.mark.parametrize("kind", SOUND_OTHERS)
def test_the_sound_others_pass(tmp_path: Path, kind: str) -> None:
    found = report(tmp_path, SOUND_OTHERS[kind])
    assert found.ok, found.text()


@pytest.mark.parametrize(("kind", "mistake"), [(kind, m) for kind, all_ in BROKEN_OTHERS.items() for m in all_])
def test_other_broken_plugins_are_named_by_the_right_check(tmp_path: Path, kind: str, mistake: str) -> None:
    old, new, check = BROKEN_OTHERS[kind][mistake]
    found = report(tmp_path, changed(SOUND_OTHERS[kind], old, new))
    assert check in {finding.check.name for finding in found.failures}, found.text()


@pytest.mark.parametrize("mistake", ["not a number", "mutates its input", "neighbours"])
def test_a_failure_about_images_has_a_picture_of_three(tmp_path: Path, mistake: str) -> None:
    old, new, check = BROKEN[mistake]
    found = report(tmp_path, changed(SOUND, old, new))
    (failure,) = (finding for finding in found.failures if finding.check.name == check)
    assert failure.picture is not None and str(failure.picture) in found.text()
    width, height = Image.open(failure.picture).size
    assert width > 3 * 190 and height >= 190


def test_an_assertion_carries_the_report(tmp_path: Path) -> None:
    from benchkit.plugin.loading import import_file

    (tmp_path / "mine.py").write_text(SOUND.replace("at.z_t + self.fraction * at.noise()", "at.z_t * float('nan')"))
    cls = import_file(tmp_path / "mine.py").Mine
    with pytest.raises(AssertionError, match="finite values inside the mask"):
        assert_conforms(cls, pictures=tmp_path)
    (tmp_path / "mine.py").write_text(SOUND)
    assert_conforms(import_file(tmp_path / "mine.py").Mine, fraction=0.25)


def test_a_corruptor_that_changes_nothing_passes_with_a_remark(tmp_path: Path) -> None:
    found = report(tmp_path, changed(SOUND, "at.z_t + self.fraction * at.noise()", "at.z_t"))
    (inside,) = (finding for finding in found.findings if finding.check.name == "inside")
    assert (inside.state, inside.detail) == ("passed", "changes nothing; this is right for a control only")


def failure(found: Report, check: str) -> str:
    """What came of one failed check."""
    (only,) = (one for one in found.failures if one.check.name == check)
    return only.actual


def test_what_raises_is_named_with_its_line(tmp_path: Path) -> None:
    result = "return at.z_t + self.fraction * at.noise()"
    broken = changed(SOUND, result, "value = at.z_t\n        return value.no_such_thing()")
    number = broken.splitlines().index("        return value.no_such_thing()") + 1
    actual = failure(report(tmp_path, broken), "runs")
    assert actual.startswith("AttributeError: ")
    assert actual.endswith(f"(mine.py:{number}: return value.no_such_thing())")
    at_an_end = changed(SOUND, result, "return at.z_t if self.fraction < 1 else at.z_t.no_such_thing()")
    (ranges,) = (f for f in report(tmp_path, at_an_end).failures if f.check.name == "ranges")
    assert ranges.expected == "a result with fraction=1.0" and "(mine.py:" in ranges.actual
    last = len(SOUND.splitlines()) + 1
    for line, message in (("1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit(0)", "SystemExit: 0")):
        assert failure(report(tmp_path, f"{SOUND}{line}\n"), "imports") == f"{message} (mine.py:{last}: {line})"
    leaves = changed(SOUND, result, "raise SystemExit(0)")
    assert failure(report(tmp_path, leaves), "runs").startswith("SystemExit: 0 (mine.py:")


def test_too_many_network_evaluations_are_counted(tmp_path: Path) -> None:
    old, new, check = BROKEN_OTHERS["resampling"]["predicts oftener than it says"]
    actual = failure(report(tmp_path, changed(SOUND_OTHERS["resampling"], old, new)), check)
    assert "evaluates the network 2 times at step" in actual and "network_evaluations() says (1)" in actual
    assert "(mine.py:" in actual


def test_ranges_that_were_tried_are_told(tmp_path: Path) -> None:
    source = changed(SOUND, "ge=0, le=1, doc", "gt=0, lt=1, doc")
    (ranges,) = (f for f in report(tmp_path, source).findings if f.check.name == "ranges")
    assert (ranges.state, ranges.detail) == ("passed", "steps=0, fraction=0.001, fraction=0.999")


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ("at.noise()", "no draw is the same at two steps"),
        ("at.noise('mine')", "no draw is the same at two steps"),
        ("at.rng.uniform((4, 1, 1)).to(eps)", "no draw is the same at two steps"),
        ("at.start.rng.normal((1, 1, 1), stream=f'{at.step}').to(eps)", "no draw is the same at two steps"),
        ("at.start.noise()", "is the same at 3 steps: for new noise at every step, use at.noise()"),
        ("at.start.rng.uniform((1, 1, 1), 'a').to(eps)", "uniform((1, 1, 1), stream='a') is the same at 3 steps"),
    ],
)
def test_a_draw_that_repeats_is_remarked_on(tmp_path: Path, drawn: str, message: str) -> None:
    source = changed(SOUND_OTHERS["resampling"], "return at.solve(eps)", f"return at.solve(eps) + 0.1 * {drawn}")
    found = report(tmp_path, source)
    (fresh,) = (f for f in found.findings if f.check.name == "fresh-noise")
    assert fresh.state == "noted" and message in fresh.detail, fresh.detail
    assert found.ok, found.text()
