"""The losses are the papers' equations, spelled out in float64; so are their gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.model.losses import class_distillation, info_nce

sizes = st.integers(1, 9)


def unit_rows(rows: int, width: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1).to(dtype)


def log_softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    total = math.log(sum(math.exp(s - top) for s in scores)) + top
    return [s - total for s in scores]


def spelled_out(
    images: np.ndarray, texts: np.ndarray, scale: float, positives: np.ndarray
) -> float:
    """Both directions, one picture or sentence at a time, in float64."""

    def one_way(rows: np.ndarray, columns: np.ndarray, relation: np.ndarray) -> float:
        losses = []
        for i, row in enumerate(rows):
            matching = np.flatnonzero(relation[i])
            if not len(matching):
                continue
            logs = log_softmax([scale * float(row @ column) for column in columns])
            losses.append(-sum(logs[j] for j in matching) / len(matching))
        return sum(losses) / len(losses)

    return (one_way(images, texts, positives) + one_way(texts, images, positives.T)) / 2


@settings(max_examples=80, deadline=None)
@given(
    rows=sizes,
    columns=sizes,
    width=sizes,
    log_scale=st.floats(-2, 4.6),
    seed=st.integers(0, 2**16),
)
def test_info_nce_is_the_equation_with_any_positives(
    rows: int, columns: int, width: int, log_scale: float, seed: int
):
    images, texts = unit_rows(rows, width, seed), unit_rows(columns, width, seed + 1)
    rng = np.random.default_rng(seed)
    positives = rng.random((rows, columns)) < 0.4
    positives[rng.integers(rows), rng.integers(columns)] = True
    loss = info_nce(images, texts, torch.tensor(log_scale), positives=torch.from_numpy(positives))
    expected = spelled_out(
        images.double().numpy(), texts.double().numpy(), math.exp(log_scale), positives
    )
    assert float(loss) == pytest.approx(expected, rel=2e-5, abs=2e-5)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 12), width=sizes, seed=st.integers(0, 2**16))
def test_without_positives_it_is_the_papers_cross_entropy(rows: int, width: int, seed: int):
    images, texts = unit_rows(rows, width, seed), unit_rows(rows, width, seed + 1)
    logits = (math.exp(2.0) * images @ texts.T).double()  # figure 3 of the paper
    labels = torch.arange(rows)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2
    loss = info_nce(images, texts, torch.tensor(2.0))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_info_nces_gradients_are_those_of_the_equation(rows: int, columns: int, seed: int):
    rng = np.random.default_rng(seed)
    positives = rng.random((rows, columns)) < 0.5
    positives[0, 0] = True
    values = [
        unit_rows(rows, 4, seed),
        unit_rows(columns, 4, seed + 1),
        torch.tensor(rng.uniform(0, 3), dtype=torch.float32),
    ]
    for value in values:
        value.requires_grad_()
    loss = info_nce(*values, positives=torch.from_numpy(positives))
    gradients = torch.autograd.grad(loss, values)
    # central differences of the float64 reference
    step = 1e-6
    for value, gradient in zip(values, gradients, strict=True):
        flat = value.detach().double().numpy()
        for place in np.ndindex(flat.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.detach().double().numpy().copy() for v in values]
                index = next(i for i, v in enumerate(values) if v is value)
                moved[index][place] += sign * step
                ends.append(spelled_out(moved[0], moved[1], math.exp(moved[2]), positives))
            expected = (ends[0] - ends[1]) / (2 * step)
            assert float(gradient[place]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_info_nce_passes_torchs_own_gradient_check():
    values = [unit_rows(4, 3, 0, torch.float64), unit_rows(5, 3, 1, torch.float64)]
    values.append(torch.tensor(1.0, dtype=torch.float64))
    positives = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    for value in values:
        value.requires_grad_()
    # the loss computes in float32 on purpose, so the differences are taken with wide steps
    assert torch.autograd.gradcheck(
        lambda i, t, s: info_nce(i, t, s, positives=positives).double(),
        values,
        eps=1e-2,
        atol=1e-2,
        rtol=1e-2,
        check_batched_grad=False,
    )


def test_two_pictures_of_one_sentence_do_not_repel_each_other():
    picture = unit_rows(1, 8, 0).repeat(2, 1)
    texts = unit_rows(2, 8, 1)
    texts[0] = picture[0]
    positives = torch.tensor([[True, False], [True, False]])
    as_pairs = info_nce(picture, texts[[0, 0]], torch.tensor(4.6))
    as_relation = info_nce(picture, texts, torch.tensor(4.6), positives=positives)
    assert float(as_pairs) > 0.6  # log 2: told apart though they are the same
    assert float(as_relation) < 0.4


def test_the_loss_stays_finite_at_the_largest_scale():
    images = unit_rows(64, 4, 0).half()
    loss = info_nce(images, -images, torch.tensor(math.log(100)))
    assert torch.isfinite(loss)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("rows", "columns", "positives", "message"),
    [
        (3, 4, None, "3 pictures and 4 texts are not pairs"),
        (2, 2, torch.ones(3, 2, dtype=torch.bool), r"positives are \(3, 2\)"),
        (2, 2, torch.zeros(2, 2, dtype=torch.bool), "no picture has a matching text"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    rows: int, columns: int, positives: torch.Tensor | None, message: str
):
    with pytest.raises(ValueError, match=message):
        info_nce(
            unit_rows(rows, 3, 0), unit_rows(columns, 3, 1), torch.zeros(()), positives=positives
        )


@settings(max_examples=50, deadline=None)
@given(rows=sizes, classes=sizes, width=sizes, seed=st.integers(0, 2**16))
def test_class_distillation_is_a_cross_entropy_with_the_teacher(
    rows: int, classes: int, width: int, seed: int
):
    images, names = unit_rows(rows, width, seed), unit_rows(classes, width, seed + 1)
    rng = np.random.default_rng(seed)
    teacher = rng.dirichlet(np.ones(classes), rows)
    loss = class_distillation(images, names, torch.from_numpy(teacher), torch.tensor(1.5))
    total = 0.0
    for i in range(rows):
        scores = [
            math.exp(1.5) * float(images[i].double() @ names[k].double()) for k in range(classes)
        ]
        total -= sum(p * log for p, log in zip(teacher[i], log_softmax(scores), strict=True))
    assert float(loss) == pytest.approx(total / rows, rel=1e-5, abs=1e-5)


def test_class_distillation_passes_torchs_gradient_check():
    values = [unit_rows(3, 4, 0, torch.float64), unit_rows(5, 4, 1, torch.float64)]
    teacher = torch.softmax(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    for value in values:
        value.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, t, s: class_distillation(i, t, teacher, s).double(),
        (*values, scale),
        eps=1e-2,
        atol=1e-2,
        rtol=1e-2,
    )


def test_distillation_is_least_where_the_student_agrees():
    names = torch.eye(4)
    right = torch.eye(4)
    teacher = torch.eye(4)
    agreeing = class_distillation(right, names, teacher, torch.tensor(3.0))
    wrong = class_distillation(right.roll(1, 0), names, teacher, torch.tensor(3.0))
    assert float(agreeing) < 0.01 < float(wrong)
