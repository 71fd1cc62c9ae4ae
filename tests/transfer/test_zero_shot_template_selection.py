"""Templates are chosen as spelled out, and not for luck."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight import load
from wordsight.errors import CapacityError, InputError
from wordsight.transfer import template_selection
from wordsight.transfer.template_selection import prompt_embeddings, select_templates


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def world(
    seed: int, *, templates: int, n: int, good: int = 0, classes: int = 4, width: int = 12
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts of which the first `good` templates are nearer to the pictures than the others."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(classes, width)))
    noise = np.where(np.arange(templates) < good, 0.2, 1.2)[None, :, None]
    prompts = centres[:, None] + noise * rng.normal(size=(classes, templates, width))
    truth = rng.integers(classes, size=n)
    images = centres[truth] + 0.35 * rng.normal(size=(n, width))
    return unit(prompts).astype(np.float32), unit(images).astype(np.float32), truth


def correct(prompts, images, truth, chosen) -> np.ndarray:
    vectors = unit(prompts[:, list(chosen)].astype(np.float64).mean(axis=1))
    return (images @ vectors.T).argmax(axis=1) == truth


def greedy(prompts, images, truth, largest) -> list[int]:
    chosen, ensembles = [], []
    while len(chosen) < min(largest, prompts.shape[1]):
        counts = {
            place: correct(prompts, images, truth, [*chosen, place]).sum()
            for place in range(prompts.shape[1])
            if place not in chosen
        }
        best = max(counts, key=lambda place: (counts[place], -place))
        chosen.append(best)
        ensembles.append((counts[best], len(chosen)))
    return chosen[: max(ensembles)[1]]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), templates=st.integers(1, 6), n=st.integers(5, 60))
def test_the_search_is_the_one_spelled_out(seed: int, templates: int, n: int):
    prompts, images, truth = world(seed, templates=templates, n=n, good=1)
    found = select_templates(prompts, images, truth, largest=3, folds=3, seed=seed)
    assert list(found.found) == greedy(prompts, images, truth, 3)
    fold = np.random.default_rng(seed).permutation(n) % 3
    usual = correct(prompts, images, truth, range(templates)).astype(float)
    difference = np.zeros(n)
    for part in range(3):
        out = fold == part
        taken = greedy(prompts, images[~out], truth[~out], 3)
        difference[out] = correct(prompts, images, truth, taken)[out] - usual[out]
    assert found.gain.value == pytest.approx(difference.mean())
    assert found.chosen == (found.found if found.is_certain else tuple(range(templates)))


def test_better_templates_are_found_and_worth_it():
    prompts, images, truth = world(0, templates=12, n=400, good=2)
    found = select_templates(prompts, images, truth)
    assert found.is_certain
    assert found.chosen[0] in (0, 1)
    _, fresh, answers = world(0, templates=12, n=400, good=2)
    gained = correct(prompts, fresh, answers, found.chosen).mean()
    assert gained > correct(prompts, fresh, answers, range(12)).mean() + 0.02


def test_templates_that_are_alike_are_not_chosen_for_luck():
    taken = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        prompts, images, _ = world(seed, templates=8, n=60)
        truth = rng.integers(4, size=60)  # no template can help
        taken += select_templates(prompts, images, truth, largest=3, seed=seed).is_certain
    assert taken <= 8  # 2.5 % of 80 are 2


def test_eighty_templates_take_seconds():
    prompts, images, truth = world(0, templates=80, n=400, good=5, classes=20, width=32)
    begun = time.process_time()
    select_templates(prompts, images, truth)
    assert time.process_time() - begun < 12


def test_a_baseline_of_ones_own_is_compared_with():
    prompts, images, truth = world(0, templates=6, n=200, good=2)
    found = select_templates(prompts, images, truth, baseline=[0])
    assert found.chosen in ((0,), found.found)
    assert not select_templates(prompts, images, truth, baseline=found.found).is_certain


def test_prompts_are_every_name_in_every_template(tiny: Path):
    model = load(tiny / "tiny", engine="onnxruntime")
    found = prompt_embeddings(model, ["red circle", "blue square"], ["a {}.", "{}", "the {}"])
    assert found.shape == (2, 3, model.embed_dim)
    np.testing.assert_allclose(found[1, 2], model.encode_text(["the blue square"])[0], atol=1e-6)
    with pytest.raises(InputError, match="must hold"):
        prompt_embeddings(model, ["a"], ["no place"])
    with pytest.raises(InputError, match="got 1 and 0"):
        prompt_embeddings(model, ["a"], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.ones((9, 5))}, "expected prompts"),
        ({"prompts": np.ones((4, 12))}, "expected prompts"),
        ({"truth_index": np.zeros(8, int)}, "a column for each of 9"),
        ({"truth_index": np.zeros(9)}, "a column for each of 9"),
        ({"truth_index": np.full(9, 4)}, "within 0..3"),
        ({"folds": 1}, "2 folds or more"),
        ({"folds": 10}, "2 folds or more"),
        ({"largest": 0}, "largest must be 1 or more"),
        ({"baseline": []}, "baseline must name"),
        ({"baseline": [6]}, "within 0..5"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    prompts, images, truth = world(0, templates=6, n=9)
    given = {"prompts": prompts, "images": images, "truth_index": truth, **change}
    with pytest.raises(InputError, match=message):
        select_templates(**given)


def test_too_many_cosines_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch):
    prompts, images, truth = world(0, templates=6, n=9)
    monkeypatch.setattr(template_selection, "LARGEST_TABLE", 9 * 6 * 4 - 1)
    with pytest.raises(CapacityError, match="216 cosines"):
        select_templates(prompts, images, truth)
