"""What is mixed back into learnt heads."""

import torch

from wordsight.model.heads import ImageHead, TextHead
from wordsight.training.learning import Heads, mixed


def heads(value: float) -> Heads:
    image, text = ImageHead(3, 2, 4), TextHead(3, 4)
    for module in (image, text):
        for parameter in module.parameters():
            torch.nn.init.constant_(parameter, value)
    return Heads(image, text)


def test_a_share_of_the_start_comes_back_into_every_weight():
    result = mixed(heads(1.0), heads(3.0), 0.25)
    for module in (result.image, result.text):
        for parameter in module.parameters():
            assert torch.allclose(parameter, torch.full_like(parameter, 1.5))


def test_mixing_leaves_both_sides_as_they_were():
    learnt, start = heads(1.0), heads(3.0)
    mixed(learnt, start, 0.5)
    assert float(learnt.image.linear.weight.detach()[0, 0]) == 1.0
    assert float(start.text.linear.weight.detach()[0, 0]) == 3.0
