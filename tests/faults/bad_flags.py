"""Flags and Spec texts that are no use."""

from __future__ import annotations

from tests.faults.bad_world import PLUGINS, Arguments, Bad, bad, compared, encoded, grey, noise

LONG = "x" * 5000


def ablated(vary: str, *more: object) -> Arguments:
    return lambda w: ("ablate", w.grid, "--plugin", PLUGINS, "--dry-run", "--vary", vary, *more)


def tuned(*options: object) -> Arguments:
    return lambda w: (
        *("tune", "gaussian", w.yaml("baselines:", "validation: {split: wild, size: 4}\nbaselines:")),
        *("--plugin", PLUGINS, "--dry-run", *options),
    )


def corrupted(*options: object) -> Arguments:
    return lambda w: (
        *("corrupt", w.file("a.png", encoded(noise())), "--mask", w.file("m.png", encoded(grey(255)))),
        *("--out", w.folder / "o.png", "--model", w.checkpoint, "--device", "cpu", *options),
    )


def detected(*options: object) -> Arguments:
    return lambda w: ("detect", "none", w.file("a.png", encoded(noise())), "--out", w.out, *options)


def prepared(*options: object) -> Arguments:
    usual = {"--records": lambda w: w.folder, "--images": lambda w: w.folder, "--out": lambda w: w.out}
    given = [(name, value) for name, value in usual.items() if name not in options]
    return lambda w: ("data", "prepare", "richhf-18k", *(x for name, of in given for x in (name, of(w))), *options)


CASES: dict[str, Bad] = {
    "address of no cluster": bad(compared("--executor", "ray", "--address", "127.0.0.1:9"), "no Ray cluster answers"),
    "address without port": bad(compared("--executor", "ray", "--address", "nowhere"), "write HOST:PORT"),
    "address of this process": bad(compared("--address", "auto"), "--address auto: --executor auto has no address"),
    "two addresses": bad(
        compared("--executor", "ray:address=10.0.0.1:6379", "--address", "10.0.0.2:6379"), "names another"
    ),
    "tune on no device": bad(tuned("--device", "gpu"), "unknown device 'gpu'"),
    "tune into a file": bad(lambda w: tuned("--out", w.file("note", b"") / "x")(w), "cannot write to '"),
    "parameter called name": bad(compared("--corruptor", "gaussian:name=x"), "gaussian", "'name'"),
    "parameter called kind": bad(compared("--corruptor", "gaussian:kind=x"), "gaussian", "'kind'"),
    "parameter called cls": bad(compared("--corruptor", "gaussian:cls=x"), "gaussian", "'cls'"),
    "impossible date": bad(compared("--corruptor", "gaussian:steps=2020-13-45"), "gaussian", "steps"),
    "number without end": bad(compared("--corruptor", f"gaussian:steps={'9' * 5000}"), "steps=999", "a whole number"),
    "not a number": bad(compared("--corruptor", "blur:sigma=.nan"), "blur", "sigma"),
    "nan in words": bad(compared("--corruptor", "blur:sigma=nan"), "blur", "sigma"),
    "infinite": bad(compared("--corruptor", "blur:sigma=.inf"), "blur", "sigma"),
    "a list": bad(compared("--corruptor", "blur:sigma=[1]"), "sigma=[1]", "must be a number"),
    "brackets without end": bad(compared("--corruptor", f"blur:sigma={'[' * 5000}"), "blur", "sigma"),
    "a sweep of billions": bad(
        compared("--corruptor", "blur:" + ",".join(f"k{i}=1|2|3|4" for i in range(20))), "blur", "alternatives"
    ),
    "empty corruptor": bad(compared("--corruptor", ""), "has no name"),
    "empty detector": bad(compared("--detector", ":a=1"), "has no name"),
    "twice the same": bad(compared("--corruptor", "gaussian:steps=1,steps=2"), "'steps' is given twice"),
    "preset without end": bad(lambda w: ("compare", LONG), "preset"),
    "preset with a null": bad(lambda w: ("compare", "qu\0ick"), "unknown preset"),
    "dataset without root": bad(lambda w: ("compare", w.grid, "--dataset", "folder", "--dry-run"), "folder:root=PATH"),
    "seeds below zero": bad(compared("--seeds", "-1"), "--seeds '-1'"),
    "seed beyond 32 bits": bad(compared("--seeds", "99999999999999999999"), "seeds"),
    "seeds of other digits": bad(compared("--seeds", "²"), "--seeds '²'"),
    "no seeds": bad(compared("--seeds", ""), "--seeds ''"),
    "time limit nan": bad(compared("--time-limit", "nan"), "--time-limit nan"),
    "time limit for ever": bad(compared("--time-limit", "inf"), "--time-limit inf"),
    "scale nan": bad(compared("--scale", "nan"), "--scale nan"),
    "scale above one": bad(compared("--scale", "1.5"), "--scale 1.5"),
    "scale in words": bad(compared("--scale", "half"), "--scale"),
    "unknown device": bad(compared("--device", "cuda:x"), "device"),
    "set without value": bad(compared("--set", "training.iterations"), "--set 'training.iterations'", "KEY=VALUE"),
    "set of nothing": bad(compared("--set", "=3"), "KEY=VALUE"),
    "set unknown": bad(compared("--set", "trainig.iterations=3"), "trainig"),
    "set too deep": bad(compared("--set", "title.a.b=3"), "--set title.a.b=3", "no 'title.a'"),
    "set a place that is not": bad(compared("--set", "corruptors.9=blur"), "no 'corruptors.9'"),
    "set an impossible date": bad(compared("--set", "seeds=[2020-13-45]"), "--set", "seeds"),
    "set YAML that is none": bad(compared("--set", "seeds=[1"), "--set seeds=[1"),
    "set brackets": bad(compared("--set", "seeds=" + "[" * 5000), "--set seeds"),
    "set a whole budget to text": bad(compared("--set", "training=fast"), "--set: training"),
    "set size below one": bad(compared("--set", "test.size=0"), "--set: test.size"),
    "store of another kind": bad(compared("--store", "mysql://host/x"), "mysql"),
    "store that is no URL": bad(compared("--store", "postgresql://[::1/x"), "URL"),
    "store is a folder": bad(lambda w: (*compared()(w), "--store", w.folder), "result store"),
    "unknown flag": bad(compared("--colour"), "--colour"),
    "vary nothing": bad(ablated("corruptor.steps"), "--vary 'corruptor.steps'"),
    "vary an empty value": bad(ablated("corruptor.steps=1,"), "--vary"),
    "vary what is not": bad(ablated("corruptr.steps=1"), "corruptr"),
    "vary what is measured": bad(ablated("test=1"), "'test' defines what is measured"),
    "vary with an impossible date": bad(ablated("labelled=2020-13-45"), "--vary labelled"),
    "vary with nan": bad(ablated("training.lr=nan"), "--vary training.lr=nan"),
    "vary a key of a Spec": bad(ablated("corruptor.kind=1"), "corruptor.kind"),
    "vary nothing at all": bad(lambda w: ("ablate", w.grid, "--plugin", PLUGINS), "give --vary AXIS=VALUE"),
    "vary an unknown parameter": bad(ablated("corruptor.stepz=2"), "did you mean 'corruptor.steps'?"),
    "vary with a word for a number": bad(ablated("corruptor.steps=many"), "--vary corruptor.steps=many: "),
    "vary beyond the schedule": bad(ablated("corruptor.steps=99", "--corruptor", "none"), "steps must lie in 0"),
    "vary what no row has": bad(ablated("selector.tau=0.3"), "applies to no row"),
    "vary beyond the images": bad(ablated("source.size=99"), "--vary source.size=99: source: split 'clean'"),
    "vary and an unknown setting": bad(ablated("source.size=2", "--set", "sauce.size=2"), "did you mean 'source'?"),
    "crossed without end": bad(
        ablated("labelled=" + ",".join(map(str, range(1, 500))), "--crossed", "--vary", "source.size=" + ",".join(
            map(str, range(1, 500)))), "--vary", "variants",
    ),
    "space without a range": bad(tuned("--space", "steps"), "--space 'steps'"),
    "space upside down": bad(tuned("--space", "steps=9..1"), "--space steps=9..1"),
    "space of an unknown key": bad(tuned("--space", "stepz=1..2"), "stepz"),
    "space with a date": bad(tuned("--space", "steps=2020-13-45..3"), "--space steps"),
    "space with nan": bad(tuned("--space", "steps=nan..3"), "--space steps"),
    "space beyond the schedule": bad(tuned("--space", "steps=1..99"), "--space steps=1..99: steps must lie in 0...10"),
    "tune an unknown setting": bad(tuned("--set", "trainings.lr=1"), "did you mean 'training'?"),
    "tune with an unknown executor": bad(tuned("--executor", "process"), "did you mean 'processes'"),
    "tune with an unknown selector": bad(tuned("--selector", "lerned"), "did you mean 'learned'?"),
    "tune what is set already": bad(
        lambda w: ("tune", "gaussian:steps=2", w.yaml("baselines:", "validation: {split: wild, size: 4}\nbaselines:"),
                   "--plugin", PLUGINS), "nothing to search",
    ),
    "no trials": bad(tuned("--trials", 0), "--trials 0"),
    "sampler seed below zero": bad(tuned("--sampler-seed", -1), "--sampler-seed -1"),
    "corrupt: seed below zero": bad(corrupted("--corruptor", "none", "--seed", -1), "--seed"),
    "corrupt: caption with a null": bad(corrupted("--corruptor", "gausian", "--caption", "a\0b"), "gausian"),
    "corrupt: model with unknown options": bad(
        corrupted("--corruptor", "none", "--model", "portraits:dtype=int8"), "dtype=int8"
    ),
    "corrupt: model option that is no option": bad(
        corrupted("--corruptor", "none", "--model", "portraits:kind=1"), "'kind'"
    ),
    "corrupt: model with a null": bad(corrupted("--corruptor", "none", "--model", "a\0b"), "is not a path", "null"),
    "detect: threshold nan": bad(detected("--threshold", "nan"), "--threshold"),
    "detect: bits": bad(detected("--bits", 12), "--bits 12"),
    "detect: tiny tile": bad(detected("--tile", 1), "--tile"),
    "detect: no detector": bad(detected(), "no run 'none'"),
    "detect: source without end": bad(
        lambda w: ("detect", LONG, w.file("a.png", encoded(noise())), "--out", w.out), "no run"
    ),
    "figure of another number": bad(lambda w: ("figure", 9, "run"), "4|5|6|7|8"),
    "figure: depths": bad(lambda w: ("figure", 6, "run", "--steps", "5,x", "--out", w.folder / "f.png"), "--steps"),
    "figure: format": bad(lambda w: ("figure", 4, "run", "--format", "gif", "--out", w.folder / "f.png"), "gif"),
    "export: split that is a path": bad(
        lambda w: ("export", "run", "--row", "human", "--format", "coco", "--out", w.out, "--split", "../x"),
        "--split '../x'",
    ),
    "prune: age": bad(lambda w: ("cache", "prune", "--older-than", "soon", "--cache", w.folder), "--older-than 'soon'"),
    "prune: size": bad(lambda w: ("cache", "prune", "--max-size", "-1G", "--cache", w.folder), "--max-size '-1G'"),
    "model in the home of nobody": bad(compared("--model", "~nobody-of-that-name/x", "--dry-run"), "is not a path"),
    "dataset in the home of nobody": bad(
        compared("--dataset", "folder:root=~nobody-of-that-name/x", "--dry-run"), "is not a path"
    ),
    "cache that is not": bad(lambda w: ("cache", "ls", "--cache", w.folder / "none"), "none does not exist"),
    "leaderboard format": bad(lambda w: ("leaderboard", "show", "x", "--format", "pdf"), "pdf"),
    "leaderboard lines that are none": bad(
        lambda w: ("leaderboard", "show", "--paper", w.file("rows.jsonl", "[1]")), "rows.jsonl, line 1"
    ),
    "leaderboard of nothing": bad(lambda w: ("leaderboard", "show", "x"), "no run 'x'"),
    "leaderboard name without end": bad(lambda w: ("leaderboard", "show", LONG), "no run"),
    "data: count below one": bad(
        lambda w: ("data", "export", "portraits", "--split", "test", "--out", w.out, "--count", 0), "--count"
    ),
    "data: unknown split": bad(
        lambda w: ("data", "export", "portraits", "--split", "tset", "--out", w.out), "'tset': did you mean 'test'?"
    ),
    "rule: nan": bad(prepared("--rule", "all:fraction=nan"), "--rule: fraction=nan"),
    "rule: unknown": bad(prepared("--rule", "two"), "rule 'two'"),
    "rule: unknown key": bad(prepared("--rule", "all:need=2"), "did you mean 'needed'?"),
    "rule: more than there are": bad(prepared("--rule", "all:needed=4"), "needed=4 of annotators=3"),
    "rule: no number": bad(prepared("--rule", "all:needed=x"), "needed=x: give a whole number from 0 to 255"),
    "no such records": bad(prepared("--records", "nowhere"), "--records 'nowhere' does not exist"),
    "rule: a key of a Spec": bad(prepared("--rule", "all:kind=1"), "'kind'"),
    "plugins show: unknown kind": bad(lambda w: ("plugins", "show", "blur", "--kind", "corupter"), "corupter"),
    "no such preset": bad(lambda w: ("compare", "quik"), "unknown preset 'quik': did you mean 'quick'?"),
    "no such grid file": bad(lambda w: ("compare", w.folder / "no.yaml"), "no.yaml': "),
    "no such corruptor": bad(compared("--corruptor", "gausian"), "'gausian': did you mean 'gaussian'?"),
    "no such selector": bad(compared("--selector", "learnt"), "unknown selector 'learnt': did you mean 'learned'?"),
    "no such detector": bad(compared("--detector", "dott"), "unknown detector 'dott': did you mean 'dot'?"),
    "no such dataset": bad(compared("--dataset", "shape"), "unknown dataset 'shape': did you mean 'shapes'?"),
    "no such inverter": bad(compared("--inverter", "renois"), "unknown inverter 'renois': did you mean 'renoise'?"),
    "no such model": bad(compared("--model", "sd"), "unknown checkpoint 'sd'"),
    "no such parameter": bad(compared("--corruptor", "gaussian:step=1"), "'step': did you mean 'steps'?"),
    "no such choice": bad(compared("--corruptor", "rotation:extent=all"), "choose from image, component"),
    "no such plugin file": bad(compared("--plugin", "none.py"), "plugin file 'none.py' does not exist"),
    "no such plugin folder": bad(compared("--plugin-folder", "none"), "plugin folder 'none' does not exist"),
    "half a parameter": bad(compared("--corruptor", "gaussian:steps"), "'steps' is not key=value"),
    "an empty alternative": bad(compared("--corruptor", "gaussian:steps=1|"), "has an empty alternative"),
    "a sweep of datasets": bad(compared("--dataset", "shapes:a=1|2"), "names 2 of them where one is wanted"),
    "more steps than the schedule has": bad(compared("--corruptor", "gaussian:steps=11"), "steps must lie in 0"),
    "time limit of nothing": bad(compared("--time-limit", "0"), "--time-limit 0: give a number of seconds above 0"),
    "report below a file": bad(lambda w: compared("--out", w.file("note", "") / "x")(w), "cannot write to '"),
    "labels of pasted images": bad(compared("--set", "label=latent", "--set", "paste_background=true"), "--set"),
    "weights below zero": bad(compared("--set", "training.class_weights=[-1,2]"), "--set: training.class_weights.0: "),
    "corrupt: a sweep": bad(corrupted("--corruptor", "gaussian:steps=1|2"), "names 2 of them where one is wanted"),
    "corrupt: too many steps": bad(corrupted("--corruptor", "gaussian:steps=51"), "choose 0 to 50"),
    "corrupt: seed too large": bad(corrupted("--corruptor", "none", "--seed", "9" * 20), "Invalid value for '--seed'"),
    "corrupt: no such label": bad(corrupted("--corruptor", "none", "--label", "pixels"), "choose image or latent"),
    "corrupt: no format": bad(lambda w: corrupted("--corruptor", "none", "--out", w.folder / "x.txt")(w), "image file"),
    "corrupt: no such folder": bad(
        lambda w: corrupted("--corruptor", "none", "--out", w.folder / "no" / "x.png")(w), "there is no folder"
    ),
    "corrupt: onto a folder": bad(
        lambda w: corrupted("--corruptor", "none", "--out", w.file("d.png/words", "").parent)(w), "is a folder"
    ),
    "corrupt: onto the image": bad(
        lambda w: corrupted("--corruptor", "none", "--out", w.folder / "a.png")(w), "would replace the image"
    ),
    "corrupt: sheet onto the mask": bad(
        lambda w: corrupted("--corruptor", "none", "--sheet", w.folder / "m.png")(w), "would replace the mask"
    ),
    "corrupt: sheet onto the result": bad(
        lambda w: corrupted("--corruptor", "none", "--sheet", w.folder / "o.png")(w), "are the same file"
    ),
    "detect: no such image": bad(lambda w: ("detect", "none", w.folder / "no.png", "--out", w.out), "there is no file"),
}  # fmt: skip
