"""From a checkpoint to a model that runs without torch: two ONNX graphs, proved to say the same.

The graphs are opset 20. Both take any number of rows; the text graph of a causal model takes any
number of tokens up to the context, that of others (SigLIP's) exactly the context. Their outputs are
`embedding`, unit vectors, and `features`, what the tower says before its projection.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle, open_bundle
from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH, WEIGHTS, check_replaceable
from wordsight.commands.exported import LIMITS, Exported, Precision, write_exported
from wordsight.engine.checkpoint import CheckpointSource, open_towers
from wordsight.engine.choice import FASTEST_FIRST, Engine, open_graph
from wordsight.engine.loading import is_bundle, locate, refuse_overrides
from wordsight.engine.parity import SENTENCES, Limit, Parity, drawn_pictures, embed
from wordsight.engine.torch import TorchRunner, bundle_towers
from wordsight.errors import BundleError, InputError, MissingError
from wordsight.files import PART, write_bytes
from wordsight.images import ImageSource, Preprocessing, find_images, prepare_batch
from wordsight.packages import is_installed, require

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Overrides

Progress = Callable[[str, int, int], None]

NUM_DRAWN = 16
MOST_PICTURES = 256
EXAMPLE_LENGTH = 9


@dataclass(frozen=True, slots=True)
class _Towers:
    """What is exported."""

    source: Bundle | CheckpointSource
    image: Any
    text: Any

    def by_file(self) -> dict[str, Any]:
        return {IMAGE_GRAPH: self.image, TEXT_GRAPH: self.text}


def export(
    model: str | Path,
    out: str | Path,
    *,
    precision: Precision = "float32",
    with_weights: bool = False,
    pictures: Path | None = None,
    overrides: "Overrides | None" = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a bundle with ONNX towers, after comparing them with torch on the same inputs.

    Args:
        model: a checkpoint of any library, or a bundle with torch weights.
        out: bundle folder to write; run/parity.md in it tells what was compared.
        precision: how weights are stored; they are computed with in float32 all the same.
        with_weights: also write model.safetensors, for the torch engine.
        pictures: folder of pictures to compare on, the first 256; drawn ones if not given.
        overrides: what you know better than the checkpoint's files.
        progress: called with what is being done, the number done and of all.

    Raises:
        BundleError: if an engine says something else than torch; nothing is written then.
        CapacityError: if a graph would be larger than ONNX allows.
        CheckpointError: if the checkpoint is damaged, hostile, or comes without a vocabulary.
        InputError: if there is no such model, or no pictures in the folder.
        MissingError: if torch, or every engine that runs ONNX, is not installed.
    """
    out = Path(out)
    check_replaceable(out)
    if precision not in LIMITS:
        raise InputError(f"there is no precision {precision!r}", hint=f"choose {', '.join(LIMITS)}")
    require("torch", extra="torch")
    from wordsight.model.graph import OPSET
    from wordsight.model.tower_graph import check_capacity

    towers = _open(locate(model), overrides)
    towers.source.tokenizer()  # that it is missing shall be said at once
    for file, tower in towers.by_file().items():
        check_capacity(tower, precision, where=file)
    pixels = _pixels(pictures, towers.source.config.preprocessing)
    note = progress or _say_nothing
    out.parent.mkdir(parents=True, exist_ok=True)
    # A name that a later export into the same folder knows as abandoned, should this one be killed.
    prefix = f".{out.name}.{os.getpid()}-"
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=prefix, suffix=PART) as folder:
        place = Path(folder)
        _write_graphs(towers, place, precision, note)
        parity = _compare(towers, place, pixels, LIMITS[precision], note)
        exported = Exported(
            path=out,
            precision=precision,
            opset=OPSET,
            pictures="drawn" if pictures is None else str(pictures),
            parity=parity,
        )
        graphs = {file: place / file for file in towers.by_file()}
        write_exported(towers.source, graphs, exported, with_weights=with_weights)
    return exported


def _say_nothing(_step: str, _done: int, _of: int) -> None: ...


def _open(path: Path, overrides: "Overrides | None") -> _Towers:
    if not is_bundle(path):
        return _Towers(*open_towers(path, overrides))
    refuse_overrides(path, overrides)
    bundle = open_bundle(path)
    if not bundle.has_weights:
        raise BundleError(
            f"{path}: holds no {WEIGHTS} to make ONNX towers of",
            hint="export the checkpoint that it was made from",
        )
    return _Towers(bundle, *bundle_towers(bundle))


def _write_graphs(towers: _Towers, place: Path, precision: Precision, note: Progress) -> None:
    import torch

    from wordsight.model.tower_graph import tower_graph

    config = towers.source.config
    rules = config.tokenizer
    is_cut = bool(getattr(towers.text.tower, "is_causal", False)) or not rules.pad_to_context
    length = min(EXAMPLE_LENGTH, rules.context_length) if is_cut else rules.context_length
    size = config.preprocessing.size
    max_lengths = {IMAGE_GRAPH: None, TEXT_GRAPH: rules.context_length if is_cut else None}
    examples = {
        IMAGE_GRAPH: torch.zeros(2, 3, size, size),
        TEXT_GRAPH: torch.ones(2, length, dtype=torch.int64),
    }
    for number, (file, tower) in enumerate(towers.by_file().items()):
        note("graphs", number, 2)
        graph = tower_graph(tower, examples[file], precision, max_length=max_lengths[file])
        write_bytes(place / file, graph.SerializeToString(deterministic=True))
    note("graphs", 2, 2)


def _pixels(folder: Path | None, preprocessing: Preprocessing) -> NDArray[np.float32]:
    sources: list[ImageSource] = [*drawn_pictures(NUM_DRAWN)]
    if folder is not None:
        sources = [*find_images([str(folder)])[:MOST_PICTURES]]
    batch = prepare_batch(sources, preprocessing)
    if not batch.indices:
        raise InputError(f"{folder}: none of its pictures can be read: {batch.errors[0][1]}")
    return batch.pixels


def _compare(
    towers: _Towers, place: Path, pixels: NDArray[np.float32], limit: Limit, note: Progress
) -> tuple[Parity, ...]:
    """Run torch and every engine that is installed.

    Raises:
        BundleError: if one is beyond the limit.
        MissingError: if none is installed.
    """
    engines = [name for name in FASTEST_FIRST if name != "torch" and is_installed(name)]
    if not engines:
        raise MissingError("no engine that runs ONNX is installed", hint="pip install onnxruntime")
    tokenizer, path = towers.source.tokenizer(), towers.source.path
    runners = (TorchRunner(tower, path) for tower in (towers.image, towers.text))
    note("engines", 0, len(engines) + 1)
    reference = embed(Engine("torch", *runners), pixels, tokenizer, SENTENCES)
    found: list[Parity] = []
    for number, name in enumerate(engines, 1):
        note("engines", number, len(engines) + 1)
        graphs = (open_graph(place / file, name) for file in towers.by_file())
        parity = reference.compare(
            embed(Engine(name, *graphs), pixels, tokenizer, SENTENCES), engine=name
        )
        if not parity.is_within(limit):
            raise BundleError(
                f"{path}: {name} says something else than torch, so nothing was written: "
                f"{parity}; allowed are {limit.difference:.0e} and {limit.cosine}",
                hint="choose a higher precision; at float32, please report it",
            )
        found.append(parity)
    note("engines", len(engines) + 1, len(engines) + 1)
    return tuple(found)
