"""What a run starts from: a vocabulary, and two towers, new or from a checkpoint."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.opening import open_checkpoint
from wordsight.checkpoints.tokenizers import find_tokenizer
from wordsight.config import from_dict, to_dict
from wordsight.data.examples import Examples
from wordsight.errors import CheckpointError, ConfigError
from wordsight.files import write_bytes, write_text
from wordsight.images import Preprocessing
from wordsight.model.architecture import SIGLIP_BIAS
from wordsight.model.clip import Clip, build_clip
from wordsight.model.initialise import initialise
from wordsight.model.zoo import find
from wordsight.text import Tokenizer, TokenizerRules
from wordsight.text.learn_bpe import learn_bpe
from wordsight.text.vocabulary_files import open_vocabulary
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.run import TOKENIZER
from wordsight.training.contrastive.seeds import mixed

RULES = "tokenizer_rules.json"
CAPTIONS_TO_LEARN_FROM = 1_000_000
"""Sentences a vocabulary is learnt from at most; more hardly change it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Beginning:
    """A model before its first step."""

    clip: Clip
    tokenizer: Tokenizer
    recipe: Preprocessing


def vocabulary(config: TrainConfig, examples: Examples, folder: Path) -> Tokenizer:
    """Return what a run reads sentences with.

    It is learnt or copied once, written into the run's folder, and read from there ever after; the
    vocabulary of a checkpoint stays where it is.

    Raises:
        InputError: if there is no such architecture.
        CheckpointError: if `start` cannot be read, or has no vocabulary.
        ConfigError: if there is no such vocabulary.
        TextError: if a caption cannot be used to learn a vocabulary from.
    """
    if config.start:
        return _started(config)[1]
    path, rules = folder / TOKENIZER, folder / RULES
    if path.exists() and rules.exists():
        values = json.loads(rules.read_text(encoding="utf-8"))
        return Tokenizer.from_file(path, from_dict(TokenizerRules, values, where=str(rules)))
    tokenizer = _new_vocabulary(config, examples, folder, _context_length(config))
    write_bytes(path, tokenizer.to_bytes())
    write_text(rules, json.dumps(to_dict(tokenizer.rules), indent=1) + "\n")
    return tokenizer


def begin(config: TrainConfig, examples: Examples, folder: Path) -> Beginning:
    """Make the towers that a run learns, and the vocabulary they read with.

    Raises:
        InputError, CheckpointError, ConfigError, TextError: as `vocabulary`.
    """
    if config.start:
        return _from_checkpoint(config)
    model = find(config.architecture)
    tokenizer = vocabulary(config, examples, folder)
    text = dataclasses.replace(
        model.architecture.text,
        context_length=_context_length(config),
        vocab_size=tokenizer.vocabulary_size,
        **_pooling(tokenizer),
    )
    has_bias = config.loss == "sigmoid"
    clip = Clip(dataclasses.replace(model.architecture, text=text, has_logit_bias=has_bias))
    initialise(clip, generator=torch.Generator().manual_seed(mixed(config.seed)))
    return Beginning(clip, tokenizer, model.preprocessing)


def _context_length(config: TrainConfig) -> int:
    return config.context_length or find(config.architecture).architecture.text.context_length


def _pooling(tokenizer: Tokenizer) -> dict[str, object]:
    end = tokenizer.rules.end_id
    if end is None:
        return {"pooling": "last", "end_id": None}
    if end == tokenizer.vocabulary_size - 1:
        return {"pooling": "argmax", "end_id": None}
    return {"pooling": "end", "end_id": end}


def _started(config: TrainConfig) -> tuple[Checkpoint, Tokenizer]:
    path = Path(config.start)
    checkpoint = open_checkpoint(path, Overrides())
    if checkpoint.tokenizer is None:
        raise CheckpointError(
            f"{path}: there is no vocabulary beside the weights",
            hint="put its tokenizer.json, or OpenAI's merges file, into the folder",
        )
    context_length = checkpoint.architecture.text.context_length
    if config.context_length not in (0, context_length):
        raise ConfigError(
            f"context_length {config.context_length} is not the checkpoint's {context_length}"
        )
    return checkpoint, checkpoint.tokenizer


def _from_checkpoint(config: TrainConfig) -> Beginning:
    checkpoint, tokenizer = _started(config)
    weights = {name: lazy.read().float() for name, lazy in checkpoint.weights.items()}
    has_bias = config.loss == "sigmoid"  # to info_nce a bias is nothing
    weights.setdefault("logit_bias", torch.tensor(SIGLIP_BIAS))
    if not has_bias:
        del weights["logit_bias"]
    architecture = dataclasses.replace(checkpoint.architecture, has_logit_bias=has_bias)
    return Beginning(build_clip(architecture, weights), tokenizer, checkpoint.preprocessing)


def _new_vocabulary(
    config: TrainConfig, examples: Examples, folder: Path, context_length: int
) -> Tokenizer:
    if config.vocabulary == "learn":
        return learn_bpe(
            _captions(examples),
            vocab_size=config.vocab_size,
            context_length=context_length,
            at_most=True,
        )
    if config.vocabulary == "openai":
        found = find_tokenizer(folder, context_length=context_length, family="clip")
        if found is None:
            raise ConfigError(
                "vocabulary 'openai': OpenAI's merges file is not on this machine",
                hint="install open_clip_torch, or give the path of bpe_simple_vocab_16e6.txt.gz",
            )
        return found
    given = Path(config.vocabulary)
    return open_vocabulary(given, family="clip", context_length=context_length)


def _captions(examples: Examples) -> Iterable[str]:
    count = 0
    for index in range(len(examples)):
        for text in examples[index].texts:
            yield text
            count += 1
            if count == CAPTIONS_TO_LEARN_FROM:
                return
