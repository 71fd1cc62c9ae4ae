"""Where the heads begin: not at random, but at what the towers already know.

Shape letters: N pictures, M sentences, D features, E joint space, K classes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.errors import ConfigError
from wordsight.model.heads import ImageHead, TextHead
from wordsight.training.align_data import AlignData
from wordsight.training.class_bank import ClassBank

linalg: Any = torch.linalg  # its functions carry no types

DEVIATION_FLOOR = 0.05
"""Added to deviations, so that a feature that is nearly constant is not blown up."""
RIDGE = 10.0
"""Strength of the ridge regression, in units of the mean eigenvalue of the features."""


def start_text_head(data: AlignData, embed_dim: int) -> TextHead:
    """Centre the sentences, and keep the directions in which they differ most.

    As wide as the tower, the map begins as the identity: the tower's own space. Narrower, as the
    leading principal directions.

    Raises:
        ConfigError: if the joint space is to be wider than the text tower's features.
    """
    samples = data.text_features[data.texts_of(data.parts.train)]
    if data.bank is not None:
        mean = (samples.mean(dim=0) + data.bank.text_features.mean(dim=0)) / 2
        samples = torch.cat([samples, data.bank.text_features])
    else:
        mean = samples.mean(dim=0)
    width = samples.shape[1]
    if embed_dim > width:
        raise ConfigError(
            f"embed_dim {embed_dim} is wider than the text tower's {width}",
            hint=f"choose {width} or less, or 0 for the text tower's own width",
        )
    head = TextHead(width, embed_dim)
    with torch.no_grad():
        head.mean.copy_(mean)
        if embed_dim == width:
            head.linear.weight.copy_(torch.eye(width))
        else:
            directions: Tensor = linalg.svd(samples - mean, full_matrices=False)[2]
            head.linear.weight.copy_(_at_least(directions, embed_dim))
    return head


def _at_least(directions: Tensor, rows: int) -> Tensor:
    """Return `rows` orthogonal directions, adding some where fewer were found."""
    if len(directions) < rows:
        width = directions.shape[1]
        complete: Tensor = linalg.qr(torch.cat([directions.mT, torch.eye(width)], dim=1))[0]
        return complete.mT[:rows]
    return directions[:rows]


def start_image_head(data: AlignData, text_head: TextHead) -> ImageHead:
    """Let class names speak first (ConSE), or regress from features to sentences."""
    features = data.image_features[0][data.images_of(data.parts.train)]
    reference = features if data.bank is None else data.bank.features[0]
    logits = data.image_logits[0]
    num_classes = logits.shape[1] if logits is not None and data.bank is not None else 0
    embed_dim = text_head.linear.out_features
    head = ImageHead(features.shape[1], num_classes, embed_dim)
    with torch.no_grad():
        head.mean.copy_(reference.mean(dim=0))
        head.deviation.copy_(reference.std(dim=0) + DEVIATION_FLOOR)
        head.linear.bias.zero_()
        if data.bank is not None and head.classes is not None:
            head.classes.weight.copy_(class_directions(data.bank, text_head, num_classes).mT)
            head.linear.weight.zero_()
        else:
            head.linear.weight.copy_(_regression(head, features, _targets(data, text_head)))
    return head


def class_directions(bank: ClassBank, text_head: TextHead, num_classes: int) -> Tensor:
    """Return the mean direction of each class's words, centred, (K, E)."""
    words = text_head.eval()(bank.text_features)
    table = bank.levels[0].words[:num_classes]
    is_word = (table >= 0).unsqueeze(-1)
    sums = (words[table.clamp(min=0)] * is_word).sum(dim=1)
    means = F.normalize(sums, dim=-1)
    return means - means.mean(dim=0)


def _targets(data: AlignData, text_head: TextHead) -> Tensor:
    """Return the mean sentence vector of every training picture, (N, E)."""
    texts = text_head.eval()(data.text_features)
    rows: list[Tensor] = []
    for image in data.images_of(data.parts.train):
        start, end = data.positives.starts[image : image + 2]
        rows.append(texts[torch.as_tensor(data.positives.linked[start:end])].mean(dim=0))
    return torch.stack(rows)


def _regression(head: ImageHead, features: Tensor, targets: Tensor) -> Tensor:
    """Ridge regression in its dual form, which is small when pictures are few; (E, D)."""
    x = (features - head.mean) / head.deviation
    gram = x @ x.mT
    strength = RIDGE * gram.diagonal().mean()
    system = gram + strength * torch.eye(len(x))
    solved: Tensor = linalg.solve(system, targets - targets.mean(dim=0))
    return (x.mT @ solved).mT
