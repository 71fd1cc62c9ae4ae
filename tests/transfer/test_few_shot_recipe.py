"""The measurement of the few-shot methods splits fairly and computes its numbers rightly."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "few_shot"


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"few_shot_recipe_{name}", RECIPE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pictures, tables = recipe("pictures"), recipe("tables")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 6), st.integers(4, 40))
def test_groups_lie_on_one_side_and_every_class_on_both(seed: int, classes: int, groups: int):
    rng = np.random.default_rng(seed)
    names = [f"tile {n}" for n in range(groups * classes) for _ in range(rng.integers(1, 4))]
    labels = [f"class {int(name.split()[1]) % classes}" for name in names]
    tested = pictures.test_groups(labels, names, 2)
    for label in set(labels):
        own = {name for name, each in zip(names, labels, strict=True) if each == label}
        assert abs(len(own & tested) - len(own - tested)) <= 1


def test_the_real_tiles_never_lie_on_both_sides(shared: Path):
    found = pictures.read_pictures(shared / "data", "magnetic_tile")
    sides = {}
    for group, is_test in zip(found.groups, found.is_test, strict=True):
        assert sides.setdefault(group, is_test) == is_test
    for label in set(found.labels):
        own = [t for each, t in zip(found.labels, found.is_test, strict=True) if each == label]
        assert min(sum(own), len(own) - sum(own)) >= 10


def test_the_score_is_the_mean_over_the_classes():
    result = {"truth": ["a"] * 8 + ["b"] * 2, "1 auto": {"right": ["1111000010", "1111111100"]}}
    values = tables.scores(result, 1, "auto")
    np.testing.assert_allclose(values.mean(axis=1), [(4 / 8 + 1 / 2) / 2, (1 + 0) / 2])


@pytest.mark.parametrize("grouped", [False, True])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(grouped: bool):
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        kind = rng.random(60) < 0.7
        hits = np.repeat(kind, 5) if grouped else rng.random(300) < 0.7
        names = np.repeat(np.arange(60), 5) if grouped else np.arange(300)
        values = np.tile(hits.astype(float), (5, 1))
        found = tables.estimate(values, [str(name) for name in names])
        inside += found.low <= 0.7 <= found.high
    assert 0.9 <= inside / 60 <= 1.0


def test_a_real_gain_is_found_and_no_gain_is_not():
    rng = np.random.default_rng(1)
    truth = ["a", "b"] * 200
    row = "".join("01"[int(x)] for x in rng.random(400) < 0.6)
    better = "".join("1" if rng.random() < 0.3 else mark for mark in row)
    result = {
        "truth": truth,
        "groups": [str(n) for n in range(400)],
        "1 auto": {"right": [better] * 2},
        "1 zero_shot": {"right": [row] * 2},
        "1 nearest": {"right": [better] * 2},
    }
    ((_, _, gain, p),) = tables.compare({"x": result}, "zero_shot")
    assert gain > 0.05
    assert p < 0.01
    ((_, _, same, p),) = tables.compare({"x": result}, "nearest")
    assert same == 0
    assert p == 1.0
