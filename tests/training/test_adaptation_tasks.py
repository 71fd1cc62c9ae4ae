"""What each method of an adaptation learns, against the published formulas and other libraries."""

from pathlib import Path

import numpy as np
import pytest
import small_runs
import torch
import torch.nn.functional as F
from adaptation_world import colours, order, settings
from torch import Tensor

import worlds
from wordsight.bundle.schema import read_config
from wordsight.errors import ConfigError
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.outputs import EMBEDDING
from wordsight.text import Tokenizer
from wordsight.training.adaptation.methods import probe_head, zero_shot_head
from wordsight.training.adaptation.parts import split
from wordsight.training.adaptation.start import Start, open_start
from wordsight.training.adaptation.tasks import (
    Classifier,
    Sentences,
    class_text,
    context_task,
    logits_of,
)
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import Batch, text_id
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.step import Work, backward

RESNET = ModifiedResNetConfig(
    image_size=32, depths=(1, 1, 1, 1), width=2, num_heads=2, output_width=16
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return open_start(small_runs.start_bundle(tmp_path_factory.mktemp("start") / "model"))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return open_start(small_runs.start_bundle(tmp_path_factory.mktemp("rn") / "model", RESNET))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch(places: list[int]) -> Batch:
    size = len(places)
    return Batch(
        squares=torch.randint(256, (size, 32, 32, 3), dtype=torch.uint8),
        tokens=torch.ones(size, 4, dtype=torch.long),
        images=torch.arange(size),
        texts=torch.tensor([text_id(class_text(place)) for place in places]),
        said=torch.arange(size),
        negatives=torch.zeros(size, 0, 4, dtype=torch.long),
        negative_texts=torch.zeros(size, 0, dtype=torch.long),
        sentences=tuple(class_text(place) for place in places),
        num_truncated=0,
        bad=(),
    )


def test_contrastive_fine_tuning_has_the_loss_of_open_clip():
    loss_of = pytest.importorskip("open_clip").loss.ClipLoss()
    config = TrainConfig(shared_captions=False)
    images, texts = (F.normalize(numbers(7, 16, seed=s), dim=-1).requires_grad_() for s in (1, 2))
    scale = torch.tensor(2.5, requires_grad=True)
    ours = Sentences().loss(batch([0] * 7), config, Processes())((images, texts, scale))
    found = torch.autograd.grad(ours, (images, texts, scale))
    theirs = loss_of(images, texts, scale.exp())
    expected = torch.autograd.grad(theirs, (images, texts, scale))
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_with_shared_captions_two_pictures_of_a_class_do_not_repel_each_other():
    images, texts = numbers(4, 8, seed=1), numbers(4, 8, seed=2)
    texts[1] = texts[0]
    outputs = F.normalize(images, dim=-1), F.normalize(texts, dim=-1), torch.tensor(1.0)
    loss = Sentences().loss(batch([0, 0, 1, 2]), TrainConfig(), Processes())(outputs)
    logits = (1.0 * torch.tensor(1.0).exp() * outputs[0] @ outputs[1].T).double()
    target = torch.eye(4).double()
    target[:2, :2] = 0.5
    rows = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    columns = -(target * logits.log_softmax(dim=0)).sum(dim=0).mean()
    torch.testing.assert_close(loss.double(), (rows + columns) / 2, rtol=1e-5, atol=1e-6)


def test_full_fine_tuning_begins_as_the_zero_shot_classifier(start, tmp_path):
    parts = split(colours(tmp_path), settings("full"))
    model = start.model()
    weight, bias = zero_shot_head(model, parts, "en")
    clip = start.clip()
    task = Classifier(weight, bias)
    task.prepare(clip, TrainConfig())
    pixels = numbers(5, 3, 32, 32)
    logits = logits_of(task.towers(clip)(pixels, torch.ones(5, 4, dtype=torch.long)))
    names = [[f"{name}" for name in parts.train.class_names]]
    texts = torch.as_tensor(model.encode_text(names[0]))
    expected = clip.logit_scale.exp() * clip.image(pixels)[EMBEDDING] @ texts.T
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    loss = task.loss(batch([0, 2, 1, 1, 0]), TrainConfig(), Processes())
    wanted = -expected.double().log_softmax(dim=1)[range(5), [0, 2, 1, 1, 0]].mean()
    outputs = task.towers(clip)(pixels, torch.ones(5, 4, dtype=torch.long))
    torch.testing.assert_close(loss(outputs).double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_first_stage_of_lp_ft_is_scikit_learns_probe(start, tmp_path):
    linear_model = pytest.importorskip("sklearn.linear_model")
    from wordsight.training.adaptation.exam import embed
    from wordsight.transfer.probe import LinearProbe

    parts = split(colours(tmp_path), settings("lp-ft"))
    model = start.model()
    weight, bias = probe_head(model, parts)
    train, aside = embed(model, parts.train), embed(model, parts.validation)
    places = {name: place for place, name in enumerate(parts.train.class_names)}
    truth, other = ([places[name] for name in part.truth] for part in (train, aside))
    penalty = LinearProbe().fit(train.rows, truth, validation=(aside.rows, other)).penalty_
    expected = linear_model.LogisticRegression(C=1 / penalty, max_iter=20_000, tol=1e-10)
    expected.fit(train.rows.astype(np.float64), truth)
    ours = torch.as_tensor(train.rows) @ weight.T + bias
    ours = (ours - ours.mean(dim=1, keepdim=True)).numpy()
    theirs = expected.decision_function(train.rows.astype(np.float64))
    assert np.abs(ours - (theirs - theirs.mean(axis=1, keepdims=True))).max() < 1e-3


def test_the_context_of_a_template_ends_where_the_name_begins(start):
    task = context_task(start.tokenizer, ["red circle", "cat"], "a photo of a {} .")
    clip = start.clip()
    task.prepare(clip, TrainConfig())
    tower = clip.text.tower.token_embedding.weight
    words = worlds.words()
    said = [words.index(word) for word in ("a", "photo", "of", "a")]
    context = clip.get_submodule("prompts").context
    assert torch.equal(context, tower[said])
    ids = start.tokenizer.encode(["a photo of a red circle .", "a photo of a cat ."]).ids
    expected = clip.text(torch.as_tensor(ids))[EMBEDDING]
    found = clip.get_submodule("prompts")(clip.text)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("template", ["{}", " {} photo", "{}."])
def test_a_template_without_words_before_the_name_cannot_be_learnt(start, template):
    with pytest.raises(ConfigError, match="words that stand before the name"):
        context_task(start.tokenizer, ["red", "cat"], template)


def learnt(task, start: Start) -> set[str]:
    clip = start.clip()
    task.prepare(clip, TrainConfig())
    pixels, tokens = numbers(4, 3, 32, 32), torch.full((4, 5), 5)
    loss = task.loss(batch([0, 1, 1, 0]), TrainConfig(), Processes())
    loss(task.towers(clip)(pixels, tokens)).backward()
    return {
        name
        for name, value in clip.named_parameters()
        if value.grad is not None and bool(value.grad.abs().sum() > 0)
    }


def test_prompts_learn_the_context_and_nothing_else(start, resnet):
    for each in (start, resnet):
        task = context_task(each.tokenizer, ["red", "cat"], "a photo of a {}")
        assert learnt(task, each) == {"prompts.context"}


def test_full_fine_tuning_leaves_the_text_tower_alone(start):
    names = learnt(Classifier(numbers(2, 16), torch.zeros(2)), start)
    assert {"classifier.weight", "classifier.bias"} < names
    assert {name.split(".")[0] for name in names} == {"classifier", "image"}


def small_tasks(each: Start):
    yield Classifier(numbers(2, 16), torch.zeros(2))
    yield context_task(each.tokenizer, ["red", "cat"], "a photo of a {}")


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_gradient_does_not_depend_on_how_many_pictures_are_seen_at_a_time(start, resnet, parts):
    pixels, tokens = numbers(6, 3, 32, 32), torch.full((6, 5), 5)
    for each in (start, resnet):
        for kind in range(2):
            found = []
            for micro in (0, -(-6 // parts)):
                task = list(small_tasks(each))[kind]
                clip = each.clip()
                task.prepare(clip, TrainConfig())
                task.set_mode(clip, TrainConfig())
                loss = task.loss(batch([0, 1, 1, 0, 1, 0]), TrainConfig(), Processes())
                work = Work(micro_batch=micro)
                value = backward(task.towers(clip), pixels, tokens, loss, seed=1, work=work)
                grads = {n: v.grad for n, v in clip.named_parameters() if v.grad is not None}
                found.append((value, grads))
            assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
            assert set(found[0][1]) == set(found[1][1])
            for name, grad in found[0][1].items():
                torch.testing.assert_close(grad, found[1][1][name], rtol=1e-3, atol=1e-5)


def test_batch_statistics_are_those_the_model_came_with(resnet):
    for task in (*small_tasks(resnet), Sentences()):
        clip = resnet.clip()
        before = {name: value.clone() for name, value in clip.named_buffers()}
        task.prepare(clip, TrainConfig())
        task.set_mode(clip, TrainConfig())
        task.towers(clip)(numbers(4, 3, 32, 32), torch.full((4, 5), 5))
        after = dict(clip.named_buffers())
        assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_weights_of_the_model_come_out_without_what_was_learnt_beside_them(start):
    for task in small_tasks(start):
        clip = start.clip()
        task.prepare(clip, TrainConfig())
        found = task.weights(clip, clip.state_dict())
        assert set(found) == set(start.weights)
        assert all(torch.equal(found[name], start.weights[name]) for name in found)


def test_the_bundle_that_is_started_from_keeps_its_rules(start):
    config = read_config(start.checkpoint.path / "config.json")
    assert start.tokenizer.rules == config.tokenizer
    assert isinstance(start.tokenizer, Tokenizer)
    assert order(start.checkpoint.path, Path("x"), settings("full")).kept_tests == {}
