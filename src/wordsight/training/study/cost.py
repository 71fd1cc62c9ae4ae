"""What a pair costs under each objective, counted as `model/size.py` counts.

Shape letters: L tokens, D features of the image tower, W width of the text side, V vocabulary.
"""

import dataclasses

from wordsight.model.architecture import ClipConfig
from wordsight.model.size import measure
from wordsight.training.study.config import Objective

PASSES = 3
"""A step is the way there and the way back, which costs twice as much (Kaplan et al., 2020)."""


def training_operations(objective: Objective, config: ClipConfig) -> int:
    """Return the additions and multiplications of one pair in a step, sentences at full length.

    The similarities of a batch, a thousandth of the rest, are left out.
    """
    text, image = config.text, measure(config).image.operations
    projection = 2 * text.width * config.embed_dim
    if objective == "language_model":
        places = text.context_length - 1
        shorter = dataclasses.replace(text, context_length=places)
        read = measure(dataclasses.replace(config, text=shorter)).text.operations - projection
        tell = 2 * places * text.width * text.vocab_size
        asked = 2 * config.image_width * text.width + read + tell
    elif objective == "bag_of_words":
        asked = 2 * config.image_width * text.vocab_size
    elif objective == "bag_contrast":
        asked = 2 * text.vocab_size * text.width + projection
    else:
        asked = measure(config).text.operations
    return PASSES * (image + asked)
