"""Settings that belong together, as plain functions; any of them can be changed afterwards.

The paper's are those of its tables 18 to 20: 32 epochs of 400 million pairs in batches of 32,768,
2,000 of 390,625 steps of warm-up.
"""

from collections.abc import Callable, Mapping
from typing import Any

from wordsight.config import from_dict, nearest
from wordsight.errors import ConfigError
from wordsight.training.contrastive.config import TrainConfig

PAPER_RATES: Mapping[str, float] = {
    "RN50": 5e-4,
    "RN101": 5e-4,
    "RN50x4": 5e-4,
    "RN50x16": 4e-4,
    "RN50x64": 3.6e-4,
    "ViT-B-32": 5e-4,
    "ViT-B-16": 5e-4,
    "ViT-L-14": 4e-4,
    "ViT-L-14-336": 2e-5,
}
PAPER_WARMUP = 2000 / 390_625


def paper(architecture: str) -> dict[str, Any]:
    """Return the settings of one of the paper's nine models."""
    return {
        "architecture": f"{architecture}-quickgelu",
        "vocabulary": "openai",
        "epochs": 1.0 if architecture.endswith("336") else 32.0,
        "batch_size": 32_768,
        "learning_rate": PAPER_RATES[architecture],
        "warmup": PAPER_WARMUP,
        "weight_decay": 0.2,
        "precision": "bfloat16",
        "checkpoint_gradients": True,
        "shared_captions": False,
        "crop": "paper",
    }


def smoke() -> dict[str, Any]:
    """Return settings that end in seconds: to see that everything works."""
    return {
        "architecture": "tiny-vit-64",
        "epochs": 4.0,
        "batch_size": 32,
        "warmup": 0.1,
        "held_out": 0.2,
        "checkpoint_every": 10,
    }


def small_world() -> dict[str, Any]:
    """Return settings for some ten thousand pictures at 64 px on a PC: minutes to an hour."""
    return {
        "architecture": "tiny-rn-64",
        "epochs": 30.0,
        "batch_size": 256,
        "learning_rate": 1e-3,
        "warmup": 0.05,
        "weight_decay": 0.2,
        "crop": "strong",
        "precision": "float32",
    }


def fine_tune() -> dict[str, Any]:
    """Return settings to go on from a checkpoint (`start`) without forgetting it."""
    return {
        "epochs": 5.0,
        "batch_size": 128,
        "learning_rate": 1e-5,
        "warmup": 0.1,
        "weight_decay": 0.05,
        "layer_decay": 0.75,
        "average": 0.99,
        "clip_gradient": 1.0,
    }


def locked_image() -> dict[str, Any]:
    """Return settings of locked-image tuning (LiT, Zhai et al., 2022): only texts are learnt."""
    return {
        "epochs": 10.0,
        "batch_size": 256,
        "learning_rate": 5e-4,
        "warmup": 0.1,
        "weight_decay": 0.1,
        "lock": "image",
        "crop": "none",
    }


PRESETS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "smoke": smoke,
    "small-world": small_world,
    "fine-tune": fine_tune,
    "lit": locked_image,
}


def names() -> tuple[str, ...]:
    """Return the names of all presets."""
    return (*PRESETS, *(f"paper-{architecture}" for architecture in PAPER_RATES))


def preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name in PRESETS:
        return PRESETS[name]()
    architecture = name.removeprefix("paper-")
    if not name.startswith("paper-") or architecture not in PAPER_RATES:
        raise ConfigError(f"there is no preset {name!r}", hint=nearest(name, names()))
    return paper(architecture)


def resolve(name: str = "", **settings: Any) -> TrainConfig:
    """Return the settings of a preset with some of them changed.

    Raises:
        ConfigError: for an unknown preset or setting, or one out of range.
    """
    given = preset(name) if name else {}
    return from_dict(
        TrainConfig, {**given, **settings}, where=f"preset {name}" if name else "train"
    )
