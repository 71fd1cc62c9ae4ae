"""Make a model fit one's own pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.cache import cache_folder
from wordsight.config import from_dict
from wordsight.data.example_sources import open_examples
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.engine.loading import load, locate
from wordsight.errors import InputError
from wordsight.packages import require
from wordsight.training.adaptation.config import WITHOUT_TORCH, AdaptConfig
from wordsight.training.adaptation.order import Order

if TYPE_CHECKING:
    from wordsight.training.adaptation.writing import Adapted
    from wordsight.training.contrastive.loop import OnStep

Target = LabelledPictures | str | Path


def adapt(
    data: Target,
    *,
    out: str | Path,
    model: str | Path = "mini",
    keep: Sequence[Target] = (),
    sentences: bool = False,
    language: str = "en",
    device: str = "auto",
    on_step: "OnStep | None" = None,
    **settings: Any,
) -> "Adapted":
    """Learn classes from some pictures of each, and write a model that tells them apart.

    The methods auto and few-shot leave the towers as they are and need no torch. The others teach
    the towers; a run of theirs that was killed goes on where it stopped. Settings are the fields of
    `AdaptConfig`, method among them: `adapt("parts.toml", out="my-model", method="lora", rank=4)`.

    Args:
        data: labelled pictures: a description, a table, folders or tar shards.
        out: bundle to write; its run lies beside it, in `<out>.run`.
        model: what to start from: "mini", a bundle, a checkpoint or a name of the hub.
        keep: labelled pictures that should not be forgotten: measured before and after.
        sentences: whether `data` is pairs of pictures and sentences, not classes; for flyp, lora
            and singular-values.
        language: of the sentences about the classes, "en" or "ja".
        device: "auto", "cpu" or "cuda"; for the methods that need torch.
        on_step: called with what is said of each step, and the number of steps.

    Raises:
        ConfigError: for an unknown setting, or one out of range.
        InputError, DataError: if pictures or model cannot be used.
        BusyError: if another process adapts to the same `out`.
        TrainingError: if a loss is not a number, or the folder of the run holds another one.
        MissingError: if torch is needed and not installed.
    """
    config = from_dict(AdaptConfig, settings, where="adapt")
    kept = [_opened(source, config) for source in keep]
    order = Order(
        model=locate(model),
        out=Path(out),
        config=config,
        kept={pictures.name: pictures for pictures in kept},
        language=language,
        on_step=on_step,
    )
    if config.method in WITHOUT_TORCH:
        from wordsight.training.adaptation.few_shot import adapt_by_few_shots

        _refuse_sentences(sentences, config)
        target = _target(data, order, kept)
        return adapt_by_few_shots(target, order, load(model))
    torch = require("torch", extra="torch")
    from wordsight.training.adaptation.adapt import adapt_to_classes, adapt_to_sentences

    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    order = replace(order, device=chosen)
    if not sentences:
        return adapt_to_classes(_target(data, order, kept), order)
    if isinstance(data, LabelledPictures):
        raise InputError(f"{data.name}: has classes and no sentences", hint="leave sentences out")
    examples = open_examples(data, max_bad=config.max_bad, cache=cache_folder())
    return adapt_to_sentences(examples, order, name=Path(data).stem)


def _refuse_sentences(sentences: bool, config: AdaptConfig) -> None:
    if sentences:
        raise InputError(
            f"method {config.method!r} learns from class names, not from sentences",
            hint="choose flyp, lora or singular-values",
        )


def _opened(source: Target, config: AdaptConfig) -> LabelledPictures:
    if isinstance(source, LabelledPictures):
        return source
    return read_labelled(source, max_bad=config.max_bad or None)


def _target(data: Target, order: Order, kept: Sequence[LabelledPictures]) -> LabelledPictures:
    """Open what is learnt from.

    Raises:
        InputError: if two of all sets have the same name, under which their scores would stand.
    """
    target = _opened(data, order.config)
    names = [pictures.name for pictures in (target, *kept)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two sets are called {twice!r}; their scores could not be told apart",
            hint="give one of them another file name, or a name in its .toml",
        )
    return target
