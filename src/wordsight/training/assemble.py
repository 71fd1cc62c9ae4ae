"""From towers and learnt heads to the files of a bundle."""

from typing import Any

from torch import nn

from wordsight.bundle.store import IMAGE_GRAPH, PROMPTS, TEXT_GRAPH, TOKENIZER, WEIGHTS
from wordsight.errors import ConfigError
from wordsight.model.compression import compress
from wordsight.model.graph import attach_head
from wordsight.model.two_tower import ImageTower, TextTower, describe, save_towers
from wordsight.training.align_config import AlignConfig
from wordsight.training.learning import Heads
from wordsight.training.towers import FrozenImageTower, FrozenTextTower

DEFAULT_TEMPLATES = {
    "en": ("{}", "a photo of a {}.", "a close-up photo of a {}."),
    "ja": ("{}", "{}の写真"),
}


def bundle_files(
    image: FrozenImageTower, text: FrozenTextTower, heads: Heads, config: AlignConfig
) -> dict[str, bytes]:
    """Return the content of every file of the bundle but config.json and the card.

    Raises:
        ConfigError: if torch weights are asked for, and a tower is only known as a graph.
    """
    image_graph = compress(attach_head(image.graph, heads.image), config.image_precision)
    text_graph = compress(attach_head(text.graph, heads.text), config.text_precision)
    files = {
        IMAGE_GRAPH: image_graph.SerializeToString(deterministic=True),
        TEXT_GRAPH: text_graph.SerializeToString(deterministic=True),
        TOKENIZER: text.tokenizer,
        PROMPTS: prompts_toml(text.templates or DEFAULT_TEMPLATES).encode(),
    }
    if config.torch_weights:
        image_module, text_module = _modules(image, text)
        files[WEIGHTS] = save_towers(
            ImageTower(image_module, heads.image), TextTower(text_module, heads.text)
        )
    return files


def architecture(image: FrozenImageTower, text: FrozenTextTower) -> dict[str, Any]:
    """Return what config.json says of both towers for the torch engine."""
    image_module, text_module = _modules(image, text)
    return {"image": describe(image_module), "text": describe(text_module)}


def _modules(image: FrozenImageTower, text: FrozenTextTower) -> tuple[nn.Module, nn.Module]:
    for tower in (image, text):
        if tower.module is None or not describe(tower.module):
            raise ConfigError(
                f"torch_weights: tower {tower.name!r} is only known as a graph",
                hint="leave torch_weights out; the bundle runs on ONNX Runtime and OpenVINO",
            )
    assert image.module is not None
    assert text.module is not None
    return image.module, text.module


def prompts_toml(templates: dict[str, tuple[str, ...]]) -> str:
    """Return the text of prompts.toml."""
    tables: list[str] = []
    for language, sentences in templates.items():
        quoted = "".join(f"  {_quoted(sentence)},\n" for sentence in sentences)
        tables.append(f"[{language}]\ntemplates = [\n{quoted}]\n")
    return "\n".join(tables)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
