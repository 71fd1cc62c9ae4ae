"""Each objective of the efficiency study against its definition, one token at a time in float64."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from wordsight.model.architecture import ClipConfig, TextTransformerConfig, VisionTransformerConfig
from wordsight.model.clip import Clip
from wordsight.model.initialise import initialise
from wordsight.model.outputs import FEATURES
from wordsight.model.size import measure
from wordsight.training.study.config import OBJECTIVES
from wordsight.training.study.cost import training_operations
from wordsight.training.study.models import (
    BagModel,
    CaptionModel,
    ContrastModel,
    Learner,
    build_learner,
)
from wordsight.training.study.objectives import bag_loss, bags, caption_loss

START, END, VOCABULARY, LENGTH = 18, 19, 20, 7
CONFIG = ClipConfig(
    image=VisionTransformerConfig(
        image_size=16, patch_size=8, width=24, depth=1, num_heads=2, mlp_width=32
    ),
    text=TextTransformerConfig(
        vocab_size=VOCABULARY, context_length=LENGTH, width=16, depth=2, num_heads=2, mlp_width=32
    ),
    embed_dim=12,
)
# 0 is both padding and a token; 5 is said twice
SENTENCES = [[5, 3, 5], [0], [7, 8, 9, 10, 11], [3, 0, 4]]


def rows(sentences: list[list[int]]) -> torch.Tensor:
    table = torch.zeros((len(sentences), LENGTH), dtype=torch.int64)
    for row, said in zip(table, sentences, strict=True):
        row[: len(said) + 2] = torch.tensor([START, *said, END])
    return table


def learner(objective: str, seed: int = 0) -> Learner:
    clip = Clip(CONFIG)
    initialise(clip, generator=torch.Generator().manual_seed(seed))
    return build_learner(objective, clip, end_id=END, seed=seed)


def pixels(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def log_softmax(row: np.ndarray) -> np.ndarray:
    return row - row.max() - math.log(np.exp(row - row.max()).sum())


def test_a_bag_holds_every_word_once_and_neither_start_end_nor_padding():
    found = bags(rows(SENTENCES), end_id=END, vocab_size=VOCABULARY).numpy()
    expected = np.zeros((4, VOCABULARY))
    for row, said in zip(expected, SENTENCES, strict=True):
        row[sorted(set(said))] = 1 / len(set(said))
    assert np.allclose(found, expected, atol=1e-7)


def test_the_bag_loss_is_the_cross_entropy_of_joulin_word_by_word():
    logits = torch.randn(4, VOCABULARY, generator=torch.Generator().manual_seed(2)) * 3
    loss = bag_loss(logits, bags(rows(SENTENCES), end_id=END, vocab_size=VOCABULARY))
    terms = [
        -sum(log_softmax(row)[word] for word in set(said)) / len(set(said))
        for row, said in zip(logits.double().numpy(), SENTENCES, strict=True)
    ]
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-6)


def test_the_caption_loss_is_the_mean_over_tokens_one_at_a_time():
    logits = torch.randn(4, LENGTH - 1, VOCABULARY, generator=torch.Generator().manual_seed(3))
    terms = [
        -log_softmax(logits[number, place].double().numpy())[word]
        for number, said in enumerate(SENTENCES)
        for place, word in enumerate([*said, END])
    ]
    found = caption_loss(logits, rows(SENTENCES), end_id=END)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-6)


def test_padding_changes_no_loss_and_no_gradient():
    tokens, image = rows(SENTENCES), pixels(4)
    longer = torch.cat([tokens, torch.full((4, 3), 6)], dim=1)
    clip = Clip(
        dataclasses.replace(CONFIG, text=dataclasses.replace(CONFIG.text, context_length=10))
    )
    initialise(clip, generator=torch.Generator().manual_seed(0))
    for objective in ("language_model", "bag_of_words", "bag_contrast"):
        model = build_learner(objective, clip, end_id=END, seed=0)
        found = []
        for given in (tokens, longer):
            model.zero_grad()
            loss = model.loss(image, given, torch.eye(4, dtype=torch.bool))
            loss.backward()
            grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            found.append(torch.cat([loss.detach()[None], *grads]))
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_the_score_of_a_caption_is_its_chain_of_conditional_probabilities():
    model = learner("language_model").double().eval()
    assert isinstance(model, CaptionModel)
    image = pixels(3).double()
    found = model.scores(image, rows(SENTENCES))
    for number in range(3):
        for column, said in enumerate(SENTENCES):
            total = 0.0
            for place, word in enumerate([*said, END]):  # what was told so far, and nothing after
                seen = model.prefix(model.image(image[number : number + 1])[FEATURES])
                told = model.text.token_embedding(torch.tensor(said[:place], dtype=torch.int64))
                x = torch.cat([seen, told])[None] + model.text.position_embedding[: place + 1]
                x = model.text.norm(model.text.blocks(x))[0, -1]
                logits = (model.text.token_embedding.weight @ x).detach().numpy()
                total += log_softmax(logits)[word]
            assert float(found[number, column].detach()) == pytest.approx(total, rel=1e-9)


def test_scores_in_parts_are_those_of_the_whole(monkeypatch):
    model = learner("language_model").eval()
    whole = model.scores(pixels(5), rows(SENTENCES))
    monkeypatch.setattr("wordsight.training.study.models.ROWS", 3)
    torch.testing.assert_close(model.scores(pixels(5), rows(SENTENCES)), whole)


@pytest.mark.parametrize("objective", ["language_model", "bag_of_words"])
def test_the_score_of_a_sentence_is_minus_the_loss_it_would_have(objective):
    model, image = learner(objective).eval(), pixels(1)
    scores = model.scores(image, rows(SENTENCES))[0]
    for score, said in zip(scores, SENTENCES, strict=True):
        loss = model.loss(image, rows([said]), torch.ones(1, 1, dtype=torch.bool))
        times = len(said) + 1 if objective == "language_model" else 1
        assert float(score.detach()) == pytest.approx(-times * float(loss.detach()), rel=1e-5)


def test_the_contrast_of_bags_is_figure_3_over_means_of_word_vectors():
    model = learner("bag_contrast")
    assert isinstance(model, ContrastModel)
    image = pixels(4)
    loss = model.loss(image, rows(SENTENCES), torch.eye(4, dtype=torch.bool))
    words = model.text.words.weight.detach().double().numpy()
    texts = np.stack([words[sorted(set(said))].mean(axis=0) for said in SENTENCES])
    texts = texts @ model.text.head.linear.weight.detach().numpy().T
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    images = model.image(image)["embedding"].detach().numpy()
    logits = images @ texts.T / 0.07
    by_row = [log_softmax(logits[i])[i] for i in range(4)]
    by_column = [log_softmax(logits[:, i])[i] for i in range(4)]
    assert float(loss.detach()) == pytest.approx(-np.mean(by_row + by_column), rel=1e-5)
    scores = model.scores(image, rows(SENTENCES)).detach().numpy()
    assert np.allclose(scores, images @ texts.T, atol=1e-6)


def test_contrast_is_clip():
    model, image = learner("contrast"), pixels(4)
    clip = Clip(CONFIG)
    initialise(clip, generator=torch.Generator().manual_seed(0))
    found = clip(image, rows(SENTENCES)).logits
    each = torch.arange(4)
    cross_entropy = nn.functional.cross_entropy
    expected = (cross_entropy(found, each) + cross_entropy(found.mT, each)) / 2
    loss = model.loss(image, rows(SENTENCES), torch.eye(4, dtype=torch.bool))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.scores(image, rows(SENTENCES)) / 0.07, found)


def test_all_objectives_begin_with_the_same_image_tower_and_learn_it():
    towers = []
    for objective in OBJECTIVES:
        model = learner(objective)
        towers.append({n: v.clone() for n, v in model.image.tower.state_dict().items()})
        model.loss(pixels(4), rows(SENTENCES), torch.eye(4, dtype=torch.bool)).backward()
        grads = [p.grad for p in model.image.tower.parameters()]
        assert all(grad is not None and grad.any() for grad in grads)
    assert all(torch.equal(towers[0][n], tower[n]) for tower in towers for n in towers[0])


def test_zero_shot_scores_are_right_where_the_right_answer_is_known():
    """The word is written into the first feature of each picture; each objective must read it."""
    words = [[3], [4], [5]]
    model = learner("bag_of_words").eval()
    assert isinstance(model, BagModel)
    features = torch.eye(3, CONFIG.image_width)

    class Written(nn.Module):
        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            return {FEATURES: features, "embedding": features[:, : CONFIG.embed_dim]}

    model.image = Written()
    with torch.no_grad():
        model.words.weight.zero_()
        for number, (word,) in enumerate(words):
            model.words.weight[word, number] = 9.0
        assert model.scores(pixels(3), rows(words)).argmax(dim=1).tolist() == [0, 1, 2]
        # of two words one is right: worse than both right, better than none
        mixed = rows([[3, 4], [4, 5], [3, 6]])
        assert model.scores(pixels(3), mixed)[0].argsort().tolist()[0] == 1

        contrast = learner("bag_contrast").eval()
        contrast.image = Written()
        contrast.text.words.weight.zero_()
        contrast.text.head.linear.weight.copy_(torch.eye(12, 16))
        for number, (word,) in enumerate(words):
            contrast.text.words.weight[word, number] = 1.0
        found = contrast.scores(pixels(3), rows([*words, [3, 4]]))
    expected = torch.cat([torch.eye(3), torch.tensor([[0.5], [0.5], [0.0]]).sqrt()], dim=1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_operations_are_those_that_torch_counts(objective):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model, count = learner(objective), 3
    said = rows([[1, 2, 3, 4, 5]] * count)  # as long as a sentence can be
    image_only, whole = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the others are not counted
        with image_only:
            model.image(pixels(count))
        with whole:
            model.loss(pixels(count), said, torch.eye(count, dtype=torch.bool))
    found = (whole.get_total_flops() - image_only.get_total_flops()) // count
    expected = training_operations(objective, CONFIG) // 3 - measure(CONFIG).image.operations
    similarities = 2 * count * CONFIG.embed_dim
    if objective == "contrast":  # the text tower leaves out what does not reach the end token
        assert found < expected
    elif objective == "bag_contrast":
        assert expected < found <= expected + 3 * similarities
    else:
        assert found == expected
