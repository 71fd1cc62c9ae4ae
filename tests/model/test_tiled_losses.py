"""Tile by tile, over any number of processes, the losses are the dense ones of float64."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.model.losses import distillation, feature_distillation, info_nce, sigmoid

sizes = st.integers(1, 13)
seeds = st.integers(0, 2**16)


def rows_of(count: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=generator), dim=-1)


def chance(rows: int, columns: int, share: float, seed: int) -> torch.Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share


def dense_info_nce(images, texts, log_scale, positives, ignored, smoothing):
    """Cross-entropy with a target per row and column, written out on whole matrices."""
    logits = log_scale.exp() * images @ texts.mT

    def one_way(logits, positives, ignored):
        used = positives.any(dim=1)
        logits, positives, kept = logits[used], positives[used], ~ignored[used]
        logs = logits.masked_fill(~kept, -math.inf).log_softmax(dim=1).masked_fill(~kept, 0.0)
        target = (1 - smoothing) * positives / positives.sum(dim=1, keepdim=True)
        target = target + smoothing * kept / kept.sum(dim=1, keepdim=True)
        return -(target * logs).sum(dim=1).mean()

    return (one_way(logits, positives, ignored) + one_way(logits.mT, positives.mT, ignored.mT)) / 2


def dense_sigmoid(images, texts, log_scale, bias, positives):
    """Equation 1 of the SigLIP paper on whole matrices."""
    logits = log_scale.exp() * images @ texts.mT + bias
    signs = torch.where(positives, 1.0, -1.0)
    return -F.logsigmoid(signs * logits).sum() / len(images)


def value_and_gradients(loss, values):
    leaves = [value.detach().clone().requires_grad_() for value in values]
    result = loss(*leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves)]


def assert_equal(ours, reference, log_scale):
    """The scale counts twice: it makes a rounded cosine a logit, and a probability a gradient."""
    rounding = math.exp(2 * log_scale) * torch.finfo(torch.float32).eps
    for place, (mine, exact) in enumerate(zip(ours, reference, strict=True)):
        bound = (1e-6 if place == 0 else 1e-5) * max(1.0, float(exact.abs().max()))
        assert (mine.double() - exact).abs().max() <= bound + (rounding if place else 0.0)


@settings(max_examples=150, deadline=None)
@given(
    num_images=sizes,
    num_texts=sizes,
    width=sizes,
    tile=sizes,
    log_scale=st.floats(-1, 3.5),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    share_ignored=st.sampled_from([0.0, 0.3]),
    seed=seeds,
)
def test_info_nce_equals_the_dense_loss_in_value_and_every_gradient(
    num_images, num_texts, width, tile, log_scale, smoothing, share_ignored, seed
):
    positives = chance(num_images, num_texts, 0.4, seed)
    positives[seed % num_images, seed % num_texts] = True
    ignored = chance(num_images, num_texts, share_ignored, seed + 1) & ~positives
    values = [rows_of(num_images, width, seed), rows_of(num_texts, width, seed + 1)]
    values.append(torch.tensor(log_scale))
    ours = value_and_gradients(
        lambda *v: info_nce(
            *v, positives=positives, ignored=ignored, smoothing=smoothing, tile=tile
        ),
        values,
    )
    exact = value_and_gradients(
        lambda *v: dense_info_nce(*v, positives, ignored, smoothing),
        [value.double() for value in values],
    )
    assert_equal(ours, exact, log_scale)


@settings(max_examples=80, deadline=None)
@given(count=sizes, width=sizes, tile=sizes, seed=seeds, bias=st.floats(-12, 3))
def test_sigmoid_equals_the_papers_equation_in_value_and_every_gradient(
    count, width, tile, seed, bias
):
    values = [rows_of(count, width, seed), rows_of(count, width, seed + 1)]
    values += [torch.tensor(2.3), torch.tensor(bias)]
    ours = value_and_gradients(lambda *v: sigmoid(*v, tile=tile), values)
    exact = value_and_gradients(
        lambda *v: dense_sigmoid(*v, torch.eye(count, dtype=torch.bool)),
        [value.double() for value in values],
    )
    assert_equal(ours, exact, log_scale=2.3)


@settings(max_examples=40, deadline=None)
@given(num_images=sizes, num_texts=sizes, tile=sizes, seed=seeds)
def test_sigmoid_takes_any_relation(num_images, num_texts, tile, seed):
    positives = chance(num_images, num_texts, 0.4, seed)
    values = [rows_of(num_images, 5, seed), rows_of(num_texts, 5, seed + 1)]
    values += [torch.tensor(2.3), torch.tensor(-3.0)]
    ours = value_and_gradients(lambda *v: sigmoid(*v, positives=positives, tile=tile), values)
    exact = value_and_gradients(
        lambda *v: dense_sigmoid(*v, positives), [value.double() for value in values]
    )
    assert_equal(ours, exact, log_scale=2.3)


def dense_distillation(images, texts, log_scale, teacher):
    """Cross-entropy with the teacher's softmax as target, over rows and over columns."""
    logits = log_scale.exp() * images @ texts.mT
    theirs = teacher[2].exp() * teacher[0] @ teacher[1].mT
    both = [-(theirs.softmax(dim) * logits.log_softmax(dim)).sum(dim).mean() for dim in (0, 1)]
    return sum(both) / 2


def a_teacher(count: int, width: int, seed: int) -> tuple[torch.Tensor, ...]:
    return rows_of(count, width, seed + 2), rows_of(count, width, seed + 3), torch.tensor(2.7)


@settings(max_examples=60, deadline=None)
@given(
    count=sizes,
    width=sizes,
    teacher_width=sizes,
    tile=sizes,
    log_scale=st.floats(-1, 3),
    seed=seeds,
)
def test_distillation_equals_the_dense_one_in_value_and_every_gradient(
    count, width, teacher_width, tile, log_scale, seed
):
    teacher = a_teacher(count, teacher_width, seed)
    values = [rows_of(count, width, seed), rows_of(count, width, seed + 1), torch.tensor(log_scale)]
    ours = value_and_gradients(lambda *v: distillation(*v, teacher=teacher, tile=tile), values)
    exact_teacher = [value.double() for value in teacher]
    exact = value_and_gradients(
        lambda *v: dense_distillation(*v, exact_teacher), [value.double() for value in values]
    )
    assert_equal(ours, exact, log_scale)


def test_the_best_copy_of_a_teacher_is_the_teacher():
    teacher = a_teacher(9, 5, 0)
    at_teacher = value_and_gradients(lambda *v: distillation(*v, teacher=teacher), list(teacher))
    assert all(gradient.abs().max() < 1e-6 for gradient in at_teacher[1:])
    assert float(feature_distillation(teacher[0], teacher[0])) == pytest.approx(0.0, abs=1e-6)
    assert float(feature_distillation(teacher[0], -teacher[0])) == pytest.approx(2.0, abs=1e-6)


def test_a_teacher_of_another_batch_or_width_is_refused():
    vectors = rows_of(4, 3, 0)
    with pytest.raises(ValueError, match="the teacher speaks of 5 pictures"):
        distillation(vectors, vectors, torch.tensor(1.0), teacher=a_teacher(5, 3, 0))
    with pytest.raises(ValueError, match="the teacher's"):
        feature_distillation(vectors, rows_of(4, 6, 0))


def test_more_sentences_than_pictures_are_hard_negatives():
    images, texts = rows_of(4, 8, 0), rows_of(9, 8, 1)
    positives = torch.eye(4, 9, dtype=torch.bool)
    loss = info_nce(images, texts, torch.tensor(1.0), positives=positives, tile=3)
    logits = math.e * images.double() @ texts.double().mT
    labels = torch.arange(4)
    expected = F.cross_entropy(logits, labels) + F.cross_entropy(logits.mT[:4], labels)
    assert float(loss) == pytest.approx(float(expected / 2), abs=1e-6)


def test_a_mask_may_be_a_function_that_is_only_asked_for_tiles():
    asked = []

    def matches(rows: slice, columns: slice) -> torch.Tensor:
        asked.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return torch.arange(rows.start, rows.stop)[:, None] // 2 == (
            torch.arange(columns.start, columns.stop) // 2
        )

    images, texts = rows_of(10, 4, 0), rows_of(10, 4, 1)
    whole = torch.arange(10)[:, None] // 2 == torch.arange(10) // 2
    loss = info_nce(images, texts, torch.tensor(1.0), positives=matches, tile=4)
    assert max(asked) <= 16
    exact = info_nce(images, texts, torch.tensor(1.0), positives=whole)
    assert float(loss) == pytest.approx(float(exact), abs=1e-6)


KINDS = ("pairs", "shared", "sigmoid", "distilled")


def _one_of_two(rank: int, folder: str) -> None:
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    images, texts = rows_of(12, 6, 0), rows_of(12, 6, 1)
    group = torch.distributed.group.WORLD
    for kind in KINDS:
        values = [images[rank * 6 :][:6], texts[rank * 6 :][:6], torch.tensor(1.5)]
        if kind == "sigmoid":
            values.append(torch.tensor(-2.0))
            found = value_and_gradients(lambda *v: sigmoid(*v, tile=4, group=group), values)
        elif kind == "distilled":
            whole = a_teacher(12, 4, 0)
            own = whole[0][rank * 6 :][:6], whole[1][rank * 6 :][:6], whole[2]
            found = value_and_gradients(
                partial(distillation, teacher=own, tile=4, group=group), values
            )
        else:
            options = {"smoothing": 0.1, "tile": 4, "group": group}
            if kind == "shared":
                options["positives"] = chance(12, 12, 0.3, 5)
            found = value_and_gradients(partial(info_nce, **options), values)
        torch.save(found, f"{folder}/{kind}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each of two processes found; new ones, since torch cannot learn in every fork."""
    folder = tmp_path_factory.mktemp("two")
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=_one_of_two, args=(r, str(folder))) for r in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_gradients_of_one(kind: str, two_processes: Path):
    first, second = (torch.load(two_processes / f"{kind}-{rank}.pt") for rank in (0, 1))
    values = [rows_of(12, 6, 0).double(), rows_of(12, 6, 1).double()]
    values.append(torch.tensor(1.5, dtype=torch.float64))
    eye = torch.eye(12, dtype=torch.bool)
    if kind == "sigmoid":
        values.append(torch.tensor(-2.0, dtype=torch.float64))
        exact = value_and_gradients(lambda *v: dense_sigmoid(*v, eye), values)
    elif kind == "distilled":
        teacher = [value.double() for value in a_teacher(12, 4, 0)]
        exact = value_and_gradients(lambda *v: dense_distillation(*v, teacher), values)
    else:
        positives = chance(12, 12, 0.3, 5) if kind == "shared" else eye
        none = torch.zeros_like(eye)
        exact = value_and_gradients(lambda *v: dense_info_nce(*v, positives, none, 0.1), values)
    assert float(first[0]) == float(second[0])
    joined = [first[0], torch.cat([first[1], second[1]]), torch.cat([first[2], second[2]])]
    joined += [one + other for one, other in zip(first[3:], second[3:], strict=True)]
    assert_equal(joined, exact, log_scale=1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 0}, "tile must be 1 or more, got 0"),
        ({"smoothing": 1.0}, "smoothing must be 0 or more and below 1, got 1.0"),
        ({"positives": torch.ones(2, 2, dtype=torch.bool)}, "positives are"),
        ({"positives": torch.zeros(3, 3, dtype=torch.bool)}, "no picture has a matching text"),
        ({"ignored": torch.ones(3, 4, dtype=torch.bool)}, "ignored are"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        info_nce(rows_of(3, 4, 0), rows_of(3, 4, 1), torch.tensor(0.0), **arguments)


def test_vectors_of_different_width_are_refused():
    with pytest.raises(ValueError, match="not rows of one space"):
        sigmoid(rows_of(3, 4, 0), rows_of(3, 5, 1), torch.tensor(0.0), torch.tensor(0.0))


def test_half_precision_vectors_get_half_precision_gradients_of_the_float32_loss():
    images, texts = rows_of(20, 8, 0).bfloat16(), rows_of(20, 8, 1).bfloat16()
    found = value_and_gradients(
        lambda i, t, s: info_nce(i, t, s, tile=7), [images, texts, torch.tensor(4.0)]
    )
    exact = value_and_gradients(
        lambda i, t, s: info_nce(i, t, s),
        [images.float(), texts.float(), torch.tensor(4.0)],
    )
    assert found[1].dtype == torch.bfloat16
    assert float(found[0]) == pytest.approx(float(exact[0]), rel=1e-6)
    assert (found[1].float() - exact[1]).abs().max() < 0.01 * exact[1].abs().max()
