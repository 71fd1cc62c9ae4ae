"""Make a large model small on one's own pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.commands.pictures import found_pictures
from wordsight.config import from_dict
from wordsight.data.labelled_pictures import Pictures
from wordsight.engine.loading import locate
from wordsight.errors import InputError
from wordsight.packages import require
from wordsight.training.compression.config import CompressConfig

if TYPE_CHECKING:
    from wordsight.training.compression.writing import Compressed

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and of all."""


def compress(
    model: str | Path,
    pictures: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    sentences: str | Path | None = None,
    language: str = "en",
    device: str = "auto",
    progress: Progress | None = None,
    on_step: Callable[[Mapping[str, Any], int], None] | None = None,
    **settings: Any,
) -> "Compressed":
    """Write a small model that says what a large one says, learnt from pictures without labels.

    The student is another image tower (`student="small-rn-64"`), or the parent with heads, neurons
    and layers removed (`keep=0.5`). Text tower, tokenizer and scale are the parent's, so sentences
    and classifiers go on working. Some pictures are put aside, and the student is compared with its
    parent on them. The same call goes on where a killed one stopped.

    Args:
        model: the parent: "mini", a bundle, a checkpoint or a name of the hub.
        pictures: folders, tables or tar shards; whatever labels they have are not looked at.
        out: bundle to write; its run lies beside it, in `<out>.run`.
        sentences: what decisions are compared on: a text file with a sentence a line, or a class
            file (.toml); everyday words if not given.
        language: of the class file, "en" or "ja".
        device: "auto", "cpu" or "cuda".
        progress: called with what is being done, the number done and of all.
        on_step: called with what is said of each step, and the number of steps.
        settings: fields of `CompressConfig`.

    Raises:
        ConfigError: for an unknown setting, one out of range, or if nothing would become smaller.
        InputError, DataError: if model, student, sentences or pictures cannot be used.
        CheckpointError: if the parent's tower cannot be pruned.
        TrainingError: if a loss is not a number, or the folder of the run holds another one.
        BusyError: if another process compresses to the same `out`.
        MissingError: if torch is not installed.
    """
    config = from_dict(CompressConfig, settings, where="compress")
    torch = require("torch", extra="torch")
    require("onnx", extra="torch")
    from wordsight.training.compression.compress import compress_tower
    from wordsight.training.compression.plan import Order

    sources = [pictures] if isinstance(pictures, (str, Path)) else list(pictures)
    if not sources:
        raise InputError("no pictures are given", hint="name a folder of them")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    order = Order(
        model=locate(model),
        out=Path(out),
        config=config,
        pictures=", ".join(Path(source).name for source in sources),
        sentences=None if sentences is None else Path(sentences),
        language=language,
        device=chosen,
        progress=progress or _say_nothing,
        on_step=on_step,
    )
    names, images = _all(sources)
    return compress_tower(order, names, images)


def _all(sources: Sequence[str | Path]) -> tuple[list[str], Pictures]:
    """Return names and pictures of all sources, one after another."""
    found = [found_pictures(str(source)) for source in sources]
    names = [name for keys, _ in found for name in keys]
    places = [
        (number, place) for number, (keys, _) in enumerate(found) for place in range(len(keys))
    ]

    def read(index: int) -> Path | bytes:
        number, place = places[index]
        return found[number][1][place]

    return names, Pictures(read, range(len(places)))


def _say_nothing(_step: str, _done: int, _of: int) -> None: ...
