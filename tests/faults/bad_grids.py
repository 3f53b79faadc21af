"""Grid files that are no grid."""

from __future__ import annotations

from tests.faults.bad_world import Bad, bad, compared_file, compared_text, deep

LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))

CASES: dict[str, Bad] = {
    "empty": bad(compared_text(""), "mine.yaml", "found no mapping"),
    "a list": bad(compared_text("- a\n- b\n"), "mine.yaml", "found no mapping"),
    "two documents": bad(compared_text("a: 1\n---\nb: 2\n"), "mine.yaml", "not YAML"),
    "UTF-16": bad(compared_text("title: x".encode("utf-16")), "mine.yaml"),
    "a null byte": bad(compared_text(b"title: \0"), "mine.yaml", "not YAML"),
    "a Python object": bad(compared_text("title: !!python/object/apply:os.system [id]\n"), "mine.yaml", "not YAML"),
    "an impossible date": bad(compared_text("title: 2020-13-45\n"), "mine.yaml", "not YAML"),
    "an endless number": bad(compared_text(f"labelled: {'9' * 5000}\n"), "mine.yaml"),
    "nested too deep": bad(compared_text(f"title: {deep(5000)}\n"), "mine.yaml", "nested"),
    "a billion laughs": bad(compared_text(LAUGHS), "mine.yaml", "alias"),
    "an alias of itself": bad(compared_text("title: &a [*a]\n"), "mine.yaml", "alias"),
    "a mapping of itself": bad(compared_text("&a\ntitle: *a\n"), "mine.yaml"),
    "a list as a key": bad(compared_text("? [a, b]\n: 1\n"), "mine.yaml", "not YAML"),
    "a number as a key": bad(compared_text("1: 2\n"), "mine.yaml"),
    "a key twice": bad(compared_file("labelled: 4", "labelled: 4\nlabelled: 5"), "mine.yaml, line 6", "twice"),
    "a key twice inside": bad(compared_file("{split: test, size: 4}", "{split: test, size: 4, size: 5}"), "twice"),
    "a tab": bad(compared_text("title:\n\t- a\n"), "mine.yaml, line 2", "not YAML"),
    "extends a list": bad(compared_text("extends: [quick]\n"), "mine.yaml, line 1", "unknown preset"),
    "extends a number": bad(compared_text("extends: 1\n"), "mine.yaml, line 1", "unknown preset '1'"),
    "extends nothing": bad(compared_text("extends: quik\n"), "line 1", "did you mean 'quick'?"),
    "extends and wrong on_dataset": bad(compared_text("extends: quick\non_dataset: 3\n"), "line 2", "on_dataset"),
    "on_dataset of numbers": bad(compared_text("extends: quick\non_dataset: {a: 3}\n"), "line 2", "on_dataset.a"),
    "source and sources": bad(compared_file("labelled: 4", "labelled: 4\nsources: []"), "exclude each other: keep one"),
    "sources of one name": bad(
        compared_file("source: {split: clean, size: 4}", "sources: [{split: clean}, {split: clean}]"),
        "two are called 'clean'",
    ),
    "a source's name with markup": bad(
        compared_file("source: {split: clean, size: 4}", 'sources: [{split: clean, name: "<b>"}]'), "sources.0.name"
    ),
    "a source that is a list": bad(compared_file("source: {split: clean, size: 4}", "source: [1]"), "source"),
    "a detector that is a list": bad(compared_file("detectors: [dot]", "detectors: [[dot]]"), "detectors.0"),
    "corruptors as one text": bad(
        compared_file('corruptors: ["none:steps=1", "gaussian:steps=1"]', "corruptors: gaussian"), "corruptors"
    ),
    "seeds below zero": bad(compared_file("seeds: [0]", "seeds: [-1]"), "seeds.0"),
    "seeds too large": bad(compared_file("seeds: [0]", "seeds: [4294967296]"), "seeds.0"),
    "an empty list of seeds": bad(compared_file("seeds: [0]", "seeds: []"), "seeds"),
    "no schedule": bad(compared_file("num_inference_steps: 10", "num_inference_steps: 0"), "num_inference_steps"),
    "learning rate nan": bad(compared_file("iterations: 2,", "iterations: 2, lr: .nan,"), "lr"),
    "learning rate infinite": bad(compared_file("iterations: 2,", "iterations: 2, lr: .inf,"), "lr"),
    "weight decay infinite": bad(compared_file("iterations: 2,", "iterations: 2, weight_decay: .inf,"), "weight_decay"),
    "resize upside down": bad(compared_file("iterations: 2,", "iterations: 2, resize: [2, 1],"), "resize"),
    "an unknown precision": bad(compared_file("iterations: 2,", "iterations: 2, precision: float16,"), "'bfloat16'"),
    "a precision that the device does not have": bad(
        compared_file("iterations: 2,", "iterations: 2, precision: tf32,"), "device 'cpu' has no tf32", "float32"
    ),
    "positive crop without a crop": bad(
        compared_file("iterations: 2,", "iterations: 2, positive_crop: 0.5,"), "positive_crop needs a crop"
    ),
    "a baseline that is none": bad(compared_file("[human, pseudo]", "[human, speudo]"), "baselines.1"),
    "iterations of none": bad(compared_file("iterations: 2,", "iterations: null,"), "iterations"),
    "a title that is a list": bad(compared_file("title: A tiny comparison", "title: [a]"), "title"),
    "no such key": bad(compared_file("detectors:", "detektors:"), "line 13: unknown key 'detektors': did you mean"),
    "no such key inside": bad(compared_file("{split: clean,", "{splitt: clean,"), "line 6: unknown key 'splitt'"),
    "a word for a number": bad(compared_file("labelled: 4", "labelled: few"), "line 5: labelled: "),
    "a wrong name in a list": bad(compared_file('"gaussian:steps=1"]', '"gaussian:steps"]'), "line 11: corruptors.1: "),
    "no such corruptor": bad(compared_file('"gaussian:steps=1"]', "blurr]"), "mine.yaml, line 11: unknown corruptor"),
    "no such parameter": bad(
        compared_file('gaussian:steps=1"]', 'gaussian:step=1"]'), "line 11: corruptor 'gaussian': "
    ),
    "no such detector": bad(compared_file("detectors: [dot]", "detectors: [dott]"), "line 13: unknown detector 'dott'"),
    "no such selector": bad(compared_file("[random-boxes]", "[boxes]"), "line 10: unknown selector 'boxes'"),
    "no such inverter": bad(compared_file("inverter: ddim", "inverter: ddm"), "line 12: unknown inverter 'ddm'"),
    "no such dataset": bad(compared_file("dataset: shapes", "dataset: shaped"), "line 2: unknown dataset 'shaped'"),
    "no such split": bad(
        compared_file("split: test", "split: tset"), "line 7: test: dataset 'shapes' has no split 'tset'"
    ),
    "more than there is": bad(
        compared_file("clean, size: 4", "clean, size: 99"), "line 6: source: split 'clean' of dataset"
    ),
}
