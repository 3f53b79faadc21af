"""Deliberately broken plugins: each is named by the check made for it, with what was expected and what came."""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_corruptors import ALSO, BROKEN, SOUND
from broken_others import BROKEN_OTHERS, SOUND_OTHERS
from PIL import Image

from benchkit.registry import Registry
from benchkit.testing import Report, assert_conforms, reports_on

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
    assert failed[check].expected and failed[check].came
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


@pytest.mark.parametrize("mistake", ["not a number", "mutates its input", "neighbours", "changes nothing"])
def test_a_failure_about_images_has_a_picture_of_three(tmp_path: Path, mistake: str) -> None:
    old, new, check = BROKEN[mistake]
    found = report(tmp_path, changed(SOUND, old, new))
    (failure,) = (finding for finding in found.failures if finding.check.name == check)
    assert failure.picture is not None and str(failure.picture) in found.text()
    width, height = Image.open(failure.picture).size
    assert width > 3 * 190 and height >= 190


def test_an_assertion_carries_the_report(tmp_path: Path) -> None:
    from benchkit.loading import import_file

    (tmp_path / "mine.py").write_text(SOUND.replace("at.z_t + self.share * at.noise()", "at.z_t"))
    cls = import_file(tmp_path / "mine.py").Mine
    with pytest.raises(AssertionError, match="a change inside the mask"):
        assert_conforms(cls, pictures=tmp_path)
    (tmp_path / "mine.py").write_text(SOUND)
    assert_conforms(import_file(tmp_path / "mine.py").Mine, share=0.25)
