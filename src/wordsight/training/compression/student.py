"""The image tower that learns: one of the zoo, one that a file describes, or the parent pruned.

Shape letters: E joint space.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from wordsight.config import load_toml
from wordsight.errors import InputError
from wordsight.model import zoo
from wordsight.model.architecture import (
    ImageConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
    read_description,
)
from wordsight.model.clip import ProjectedTower, Projection, build_image_tower
from wordsight.model.initialise import Initialiser

DESCRIPTION = ".toml"


def student_config(name: str, *, embed_dim: int) -> ImageConfig:
    """Return the config of a student that is named, or described in a TOML file.

    Where a ResNet's attention pooling says how wide the joint space is, that is the parent's.

    Raises:
        ConfigError: if the file does not describe a tower.
        InputError: if there is no such architecture, or its vectors cannot be as wide as the
            parent's.
    """
    if name.endswith(DESCRIPTION):
        found = read_description(load_toml(Path(name)), where=name)
        if isinstance(found, TextTransformerConfig):
            raise InputError(f"{name}: describes a text tower, and the student is an image tower")
        config: ImageConfig = found
    else:
        config = zoo.find(name).architecture.image
    if isinstance(config, ModifiedResNetConfig):
        return replace(config, output_width=embed_dim)
    if config.pooling == "attention" and config.width != embed_dim:
        raise InputError(
            f"{name}: pools by attention and has no projection, so its vectors have {config.width} "
            f"numbers; the parent's have {embed_dim}",
            hint="choose a tower with a class token, or a ResNet",
        )
    return config


def new_student(config: ImageConfig, *, embed_dim: int, seed: int) -> ProjectedTower:
    """Make a tower with weights drawn by the rules of its family, into a joint space of E."""
    tower = build_image_tower(config)
    has_head = isinstance(config, VisionTransformerConfig) and config.pooling == "class_token"
    head = Projection(config.width, embed_dim) if has_head else None
    student = ProjectedTower(tower, head)
    Initialiser(torch.Generator().manual_seed(seed)).image(student)
    return student


def num_parameters(tower: nn.Module) -> int:
    """Count the numbers that are learnt."""
    return sum(parameter.numel() for parameter in tower.parameters())
