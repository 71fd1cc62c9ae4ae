"""Files of weights from open_clip without their config: shapes and names have to tell it all.

What they do not tell is guessed as open_clip's own models are, and the guess is a note.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Never

from wordsight.checkpoints.assembly import (
    GEMMA_VOCABULARY,
    Detected,
    assemble,
    usual_preprocessing,
)
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.known_towers import known_heads
from wordsight.checkpoints.open_clip import open_clip_links, text_prefix
from wordsight.checkpoints.open_clip_siglip import NORM_EPS, TRUNK, infer_trunk, siglip_heads
from wordsight.checkpoints.openai_shapes import Shapes, infer, infer_text
from wordsight.checkpoints.tensors import LazyTensor, WeightFile
from wordsight.errors import CheckpointError
from wordsight.model.architecture import (
    ClipConfig,
    VisionTransformerConfig,
)


def is_custom_text(tensors: Mapping[str, LazyTensor]) -> bool:
    """Say whether the text tower has open_clip's prefix: CustomTextCLIP, or one tower of timm."""
    return any(name.startswith((f"{TRUNK}.", "text.transformer.")) for name in tensors)


def read_open_clip_file(file: WeightFile, overrides: Overrides) -> Checkpoint:
    """Read weights in open_clip's names that have no open_clip_config.json beside them.

    Raises:
        CheckpointError: naming file and layer, where the towers are not ours, or only the config
            could tell what they are.
    """
    shapes = Shapes(file.path, file.tensors)
    if f"{TRUNK}.attn_pool.latent" in file.tensors:
        config, notes = _siglip(shapes)
    else:
        config, notes = _plain(shapes)
    if "logit_bias" in file.tensors:
        config = replace(config, has_logit_bias=True)
    size = config.image.image_size
    family = "SigLIP" if config.is_siglip else "OpenAI"
    found = Detected(
        path=file.path,
        home=file.path.parent,
        name=file.path.stem,
        format="open_clip",
        architecture=config,
        preprocessing=usual_preprocessing(config),
        notes=(
            "weights with open_clip's names, and no open_clip_config.json beside them",
            *notes,
            f"pictures are prepared as {family}'s, at {size} px",
        ),
    )
    links = open_clip_links(config, prefix=text_prefix(file.tensors))
    return assemble(found, file, links, overrides)


def _siglip(shapes: Shapes) -> tuple[ClipConfig, tuple[str, ...]]:
    """Return SigLIP, or SigLIP 2 by the size of its vocabulary."""
    try:
        image = infer_trunk(shapes)
        text = infer_text(shapes, "gelu", prefix="text.")
        is_second = text.vocab_size == GEMMA_VOCABULARY
        config = ClipConfig(
            image=image,
            text=replace(
                text,
                activation="gelu_tanh" if is_second else "gelu",
                num_heads=siglip_heads(text.width),
                norm_eps=NORM_EPS,
                is_causal=False,
                pooling="last",
            ),
            embed_dim=shapes.of("text.text_projection.weight", 2)[0],
            has_text_bias=True,
            has_logit_bias=True,
        )
    except ValueError as error:
        raise CheckpointError(f"{shapes.path}: no such model can be built: {error}") from None
    version = "SigLIP 2" if is_second else "SigLIP"
    rest = (
        f"the picture has {image.image_size} px, a multiple of its patches of {image.patch_size}; "
        "the model may have been made for some pixels more"
    )
    return config, (
        f"{version}, by the names of its picture tower and {text.vocab_size} tokens",
        f"activations {image.activation} for pictures and {config.text.activation} for texts, as "
        "open_clip has them",
        *((rest,) if image.patch_size == 14 else ()),
    )


def _plain(shapes: Shapes) -> tuple[ClipConfig, tuple[str, ...]]:
    """Return a model of OpenAI's kind, with the heads of its like among open_clip's models."""
    prefix = text_prefix(shapes.tensors)
    _refuse_others(shapes, prefix)
    config = infer(shapes, "gelu", prefix=prefix)
    notes = [
        "activation gelu is a guess: the file does not say, and most of open_clip's models have "
        "it; those that continue OpenAI's weights have quick_gelu",
    ]
    if heads := known_heads(config.image):
        config = replace(config, image=replace(config.image, num_heads=heads))
    elif isinstance(config.image, VisionTransformerConfig):
        notes.append(
            f"{config.image.num_heads} heads of 64 channels in the picture tower are a guess: no "
            "known model has its width and depth"
        )
    return config, tuple(notes)


def _refuse_others(shapes: Shapes, prefix: str) -> None:
    """Refuse towers that are not ours by their names, which say more than a missing layer."""
    trunk = next((name for name in shapes.tensors if name.startswith(f"{TRUNK}.")), None)
    if trunk is not None:
        _refuse(shapes, trunk, "a picture tower of timm that is not SigLIP's")
    transformers = f"{prefix}transformer.embeddings.word_embeddings.weight"
    if transformers in shapes.tensors:
        _refuse(shapes, transformers, "a text tower of Hugging Face transformers")
    if f"{prefix}text_projection.weight" in shapes.tensors:
        raise CheckpointError(
            f"{shapes.path}: layer '{prefix}text_projection.weight' belongs to a text tower whose "
            "masking and pooling the file does not tell",
            hint="put its open_clip_config.json into the same folder",
        )


def _refuse(shapes: Shapes, name: str, what: str) -> Never:
    raise CheckpointError(
        f"{shapes.path}: layer {name!r} belongs to {what}, which wordsight does not have",
        hint="models with a ViT or ResNet of CLIP, or SigLIP's towers, can be read",
    )
