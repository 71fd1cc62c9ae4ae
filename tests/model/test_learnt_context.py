"""A learnt context is, before it learns, the words it was taken from."""

import clip_twins
import torch
from foreign_weights import from_open_clip

from wordsight.model.clip import build_clip
from wordsight.model.learnt_context import LearntContext


def test_a_context_from_a_template_says_what_open_clip_says_to_the_template():
    config = clip_twins.twin("ViT-B-32-quickgelu")
    theirs = clip_twins.of_open_clip(config)
    clip = build_clip(config, from_open_clip(theirs.state_dict()))
    tokens = torch.randint(1, 90, (5, 12), generator=torch.Generator().manual_seed(4))
    tokens[:, 0], tokens[:, 1:5] = clip_twins.START, torch.tensor([7, 8, 9, 10])
    tokens[range(5), [7, 8, 9, 10, 11]] = clip_twins.END
    context = LearntContext(clip.text, tokens, first=1, count=4)
    with torch.no_grad():
        expected = theirs.encode_text(tokens, normalize=True)
        torch.testing.assert_close(context(clip.text), expected, rtol=1e-4, atol=1e-5)
        context.context.add_(torch.randn(4, 64, generator=torch.Generator().manual_seed(1)))
        assert (context(clip.text) - expected).abs().max() > 1e-3
