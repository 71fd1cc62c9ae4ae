"""How the published models prepare pictures, at 224 pixels; `dataclasses.replace` sets the size."""

from wordsight.images.recipe import Preprocessing

OPENAI = Preprocessing()
"""OpenAI's CLIP and most of open_clip: shortest side, bicubic, the statistics of their pictures."""

SIGLIP = Preprocessing(resize="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""SigLIP and SigLIP 2: the aspect ratio is ignored; values from -1 to 1."""

CLIPA = Preprocessing(
    resize="squash",
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
"""CLIPA: the aspect ratio is ignored; the statistics of ImageNet."""

MOBILECLIP = Preprocessing(interpolation="bilinear", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""MobileCLIP: shortest side; values from 0 to 1 as they are."""
