"""No option is ignored: given twice, not used, said twice, or of another form, it is refused or remarked on."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchkit.cli import options
from benchkit.cli.common import with_flags
from benchkit.cli.main import main
from benchkit.config.grid import load_grid
from benchkit.config.overrides import apply_settings, find_idle_settings
from benchkit.errors import BenchkitError
from benchkit.search.variants import Axis
from tests.helpers.small_comparison import PLUGINS, Finished, Run

QUICK = load_grid("quick")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("compare", "quick", "--seeds", "0", "--seeds", "1"), "--seeds"),
        (("compare", "quick", "--out", "a", "--out", "a"), "--out"),
        (("compare", "quick", "--dry-run", "--dry-run"), "--dry-run"),
        (("figure", "4", "run", "--count", "1", "--count", "2"), "--count"),
        (("data", "export", "portraits", "--split", "test", "--out", "x", "--split", "pool"), "--split"),
        (("data", "prepare", "dalle3-hq", "--shards", "x", "--seed", "1", "--seed", "1"), "--seed"),
        (("plugins", "show", "gaussian", "--kind", "corruptor", "--kind", "selector"), "--kind"),
        (("leaderboard", "list", "--cache", "a", "--cache", "b"), "--cache"),
        (("doctor", "--json", "--json"), "--json"),
    ],
)
def test_an_option_of_one_value_is_given_once(
    words: tuple[str, ...], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert f"error: {flag}: given twice; give it once (see 'benchkit" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("figure", "4", "run", "--steps", "5,10"), "--steps: not used here: only figure 6 has steps"),
        (
            ("export", "run", "--row", "human", "--format", "detector", "--out", "x", "--split", "train"),
            "--split: not used here: --format detector writes no images",
        ),
        (
            ("data", "prepare", "dalle3-hq", "--shards", "x", "--cleanest-of", "9", "--device", "cpu"),
            "--cleanest-of, --device: not used here: also name a detector with --cleanest-by",
        ),
        (
            ("corrupt", "a.png", "--mask", "m.png", "--corruptor", "none", "--out", "o.png", "--label", "latent"),
            "--label: not used here: it chooses the mask of the sheet; add --sheet SHEET.png",
        ),
        (("figure", "4", "run", "--format", "png|pdf"), "--format 'png|pdf': formats are separated by commas: png,pdf"),
        (
            ("compare", "quick", "--set", "labelled=5,training.lr=0.1"),
            "--set labelled=5,training.lr=0.1: give each setting by itself",
        ),
        (("compare", "quick", "--dataset", "a|b"), "dataset 'a|b' is several: write each by itself, a and b"),
        (
            ("ablate", "quick", "--vary", "ddim|sdedit"),
            "--vary 'ddim|sdedit': write AXIS=VALUE,VALUE, such as corruptor.steps=5,10; name what is varied: AXIS=",
        ),
        (
            ("tune", "gaussian", "quick", "--space", "a|b"),
            "--space 'a|b': write KEY=LOW..HIGH or KEY=A|B|C; name the parameter: KEY=a|b",
        ),
        (("tune", "gaussian", "quick", "--set", "test.size=9"), "--set test.size=9: not used here: a trial"),
        (("tune", "gaussian", "quick", "--set", "corruptors=[blur]"), "--set corruptors=[blur]: not used here"),
        (
            ("compare", "quick", "--seeds", "1", "--set", "seeds=[2]"),
            "--set seeds=[2]: --seeds sets the same; give one of the two",
        ),
        (
            ("compare", "quick", "--corruptor", "blur", "--set", "corruptors.0=none"),
            "--set corruptors.0=none: --corruptor sets the same; give one of the two",
        ),
        (
            ("compare", "quick", "--inverter", "ddim", "--set", "inverter=sdedit"),
            "--set inverter=sdedit: --inverter sets the same; give one of the two",
        ),
        (
            ("compare", "quick", "--set", "labelled=5", "--set", "labelled=6"),
            "--set labelled=6: replaces what another one says; give 'labelled' once",
        ),
        (
            ("compare", "quick", "--set", "training.lr=1e-3", "--set", "training={iterations: 5}"),
            "--set training={iterations: 5}: replaces what another one says; give 'training' once",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert (result.code, result.out) == (2, "")
    assert f"error: {message}" in result.err
    assert result.err.count("\n") == 1


def test_what_is_chosen_of_a_run_is_refused_for_a_detector(shown: Finished, run: Run, tmp_path: Path) -> None:
    own = ("--cache", shown.cache, "--plugin", PLUGINS)
    made = run("export", shown.out, "--row", "human", "--format", "detector", "--out", tmp_path / "detector", *own)
    assert made.code == 0, made.err
    asked = ("detect", tmp_path / "detector", tmp_path / "x.png", "--out", tmp_path / "o", "--plugin", PLUGINS)
    result = run(*asked, "--row", "nonsense", "--seed", 9)
    assert result.code == 2
    assert "error: --row, --seed: not used here: " in result.err
    assert "is the folder of one detector" in result.err


def test_an_option_that_changes_nothing_is_said(run: Run, grid: Path) -> None:
    dry = ("compare", grid, "--plugin", PLUGINS, "--dry-run", "--json")
    assert "note: --scale 1 changes nothing" in run(*dry, "--scale", 1).err
    assert "note:" not in run(*dry, "--scale", 0.5).err
    pixels = ("--corruptor", "pixel-blur", "--inverter", "ddim")
    assert "note: --inverter changes nothing: no corruptor of this comparison" in run(*dry, *pixels).err
    assert "note:" not in run(*dry, "--inverter", "ddim").err
    crossed = run("ablate", grid, "--plugin", PLUGINS, "--dry-run", "--vary", "training.lr=1e-3", "--crossed")
    assert "note: --crossed changes nothing: there is one axis" in crossed.err


def test_more_images_than_there_are_is_said(run: Run, shown: Finished, tmp_path: Path) -> None:
    asked = ("figure", 4, shown.out, "--cache", shown.cache, "--plugin", PLUGINS, "--out", tmp_path / "f.png")
    result = run(*asked, "--count", 40)
    assert result.code == 0, result.err
    assert "note: --count 40: there are " in result.err
    assert "note" not in run(*asked, "--count", 2, "--force").err


def test_a_training_setting_that_a_detector_does_not_follow_is_remarked_on(run: Run, tmp_path: Path) -> None:
    asked = ("compare", "quick", "--dry-run", "--cache", tmp_path / "cache", "--set", "training.iterations=7")
    remark = "--set training.iterations does not change detector 'upernet-convnext': write on_detector.upernet-convnext"
    assert remark in run(*asked).err
    assert remark not in run(*asked, "--detector", "frozen-convnext").err


WARMED = apply_settings(QUICK, ["training.schedule=linear-warmup-poly", "training.warmup=20"])


def test_settings_of_a_training_without_effect_are_remarked_on() -> None:
    def message(*settings: str) -> list[str]:
        return list(find_idle_settings(apply_settings(WARMED, settings)))

    assert message() == []
    assert message("training.iterations=5") == [
        "training.warmup=20 is not shorter than training.iterations=5: the learning rate never reaches lr"
    ]
    assert message("training.schedule=poly") == [
        "training.warmup=20 has no effect: only 'schedule: linear-warmup-poly' has a warm-up"
    ]
    assert message("oracle={split: wild, size: 4}") == ["oracle has no effect: 'baselines' has no row 'oracle'"]
    assert message("source.fraction=0.5") == ["fraction=0.5 of source 'clean' has no effect: it has a size"]
    constant = ("training.schedule=constant", "training.warmup=0", "training.power=2")
    assert message(*constant) == ["training.power=2 has no effect: 'schedule: constant' has no polynomial"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0|1", "0,1"), ("0-4", "0,1,2,3,4"), ("0..2", "0,1,2"), ("3:5", "3,4,5"), ("0 1 2", "0,1,2"),
        ("[0, 1]", "0,1"), ("0;1", "0,1"), ("5,", "5"), ("-1", "0,1,2"), ("1.5", "0,1,2"), ("a", "0,1,2"),
    ],
)  # fmt: skip
def test_the_right_form_of_a_list_of_numbers_is_shown(text: str, expected: str) -> None:
    with pytest.raises(BenchkitError, match=rf"separated by commas, such as {expected}$"):
        options.parse_numbers("--seeds", text)
    assert options.parse_numbers("--seeds", expected)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"corruptors": ["gaussian|blur:steps=1,sigma=1"]}, "--corruptor gaussian --corruptor blur:steps=1,sigma=1"),
        ({"detectors": ["dot,dot2"]}, "--detector dot --detector dot2"),
        ({"inverters": ["ddim|sdedit"]}, "--inverter ddim --inverter sdedit"),
    ],
)
def test_the_right_form_of_several_plugins_is_shown(lists: dict, expected: str) -> None:
    with pytest.raises(BenchkitError, match=f"give one plugin per option: write {expected}$"):
        for field, texts in lists.items():
            options.check_single_plugins(field, texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("corruptor.steps=5|10", "corruptor.steps=5,10"),
        ("corruptor=blur:steps=5|10", "corruptor=blur:steps=5,blur:steps=10"),
        ("corruptor=(blur:sigma=1,steps=5|10)", "'corruptor=(blur:sigma=1,steps=5),(blur:sigma=1,steps=10)'"),
    ],
)
def test_the_right_form_of_an_axis_is_shown(text: str, expected: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        Axis.parse(text)
    assert str(caught.value).endswith(f"values are separated by ',': write `vary` {expected}")
    (again,) = shlex.split(expected)
    assert str(Axis.parse(again)) == again


def test_settings_in_messages_are_printed_as_flags(run: Run, grid: Path) -> None:
    large = run("compare", grid, "--plugin", PLUGINS, "--scale", 2, "--dry-run")
    assert "error: --scale 2: give a factor" in large.err and "`" not in large.err
    several = run("compare", grid, "--plugin", PLUGINS, "--set", "labelled", "--dry-run")
    assert "error: --set 'labelled': write KEY=VALUE" in several.err


def test_a_setting_that_the_command_has_not_keeps_its_name(run: Run) -> None:
    run("doctor", "--json")
    assert with_flags("`cache`, `device` and `selectors`") == "--cache, `device` and `selectors`"
