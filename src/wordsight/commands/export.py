"""From a checkpoint to a model that runs without torch: two ONNX graphs, proved to say the same.

The graphs are opset 20. Both take any number of rows; the text graph of a causal model takes any
number of tokens up to the context, that of others (SigLIP's) exactly the context. Their outputs are
`embedding`, unit vectors, and `features`, what the tower says before its projection.

Pictures of the user's to calibrate on make it faster: bfloat16, or products in int8, if it still
decides the same (`wordsight.commands.lowering`). A bundle of graphs alone can be made faster too.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wordsight.bundle import Bundle
from wordsight.bundle.store import check_replaceable
from wordsight.commands.against_torch import compare_with_torch, pixels_of
from wordsight.commands.calibration import Calibration, read_calibration
from wordsight.commands.exported import (
    LIMITS,
    PRECISIONS,
    Exported,
    Precision,
    Stored,
    write_exported,
)
from wordsight.commands.golden import Draft
from wordsight.commands.lowering import Lowered, Lowering
from wordsight.commands.original import GRAPHS, open_original
from wordsight.data.class_file import ClassFile
from wordsight.engine.checkpoint import CheckpointSource
from wordsight.engine.choice import FASTEST_FIRST
from wordsight.engine.fidelity import LIMITS as LOWER_LIMITS
from wordsight.engine.loading import locate
from wordsight.errors import InputError, MissingError
from wordsight.files import PART
from wordsight.packages import is_installed, require

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Overrides

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CalibrateOn:
    """What a lower precision is set and judged on."""

    pictures: str | Path
    """Files or a folder; or a table or .toml of pictures with classes."""
    classes: ClassFile | None = None
    """What is decided between, where `pictures` do not say."""
    engine: str = "auto"
    """Which engine has to keep the limits; all that are installed for "auto"."""


def export(
    model: str | Path,
    out: str | Path,
    *,
    precision: Precision = "float32",
    with_weights: bool = False,
    pictures: Path | None = None,
    calibrate: CalibrateOn | None = None,
    overrides: "Overrides | None" = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a bundle with ONNX towers, after comparing them with torch on the same inputs.

    Args:
        model: a checkpoint of any library, or a bundle with torch weights; or any bundle, where
            there is something to calibrate on.
        out: bundle folder to write; run/parity.md in it tells what was compared.
        precision: how weights are stored, and computed with in float32 all the same; with
            something to calibrate on, "bfloat16" and "int8" are what is computed in.
        with_weights: also write model.safetensors, for the torch engine.
        pictures: folder of pictures to compare on, the first 256; drawn ones if not given.
        calibrate: what a lower precision is set and judged on. Where it is beyond the limits,
            the higher precision is written, and `lowered` of the result says why.
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
    stored = _stored(precision, calibrate)
    require("torch", extra="torch")
    from wordsight.model.graph import OPSET

    needs_weights = calibrate is None or with_weights
    original = open_original(locate(model), overrides, needs_weights=needs_weights)
    source = original.source
    source.tokenizer()  # that it is missing shall be said at once
    engines = _engines(calibrate)
    calibration = _calibration(source, precision, calibrate)
    pixels = pixels_of(pictures, source.config.preprocessing)
    note = progress or _say_nothing
    with _beside(out) as place:
        original.write_graphs(place, stored, note)
        reference = original.engine(place, engines[0])
        limit = LIMITS[stored]
        parity = compare_with_torch(original, reference, place, engines, pixels, limit, note)
        golden = Draft.of(reference, source.tokenizer(), source.config.preprocessing)
        lowered = _lower(source, place, engines, precision, calibration, note)
        reached = precision if lowered is None or lowered.is_taken else "float32"
        shown = str(pictures or "drawn")
        exported = Exported(
            path=out, precision=reached, opset=OPSET, pictures=shown, parity=parity, lowered=lowered
        )
        graphs = {file: place / file for file in GRAPHS}
        found = golden.finished(graphs, engines, exported.settings)
        write_exported(source, graphs, exported, with_weights=with_weights, golden=found)
    return exported


@contextmanager
def _beside(out: Path) -> Generator[Path]:
    """Make a folder beside `out` for the time of an export.

    Its name is one that a later export into the same folder knows as abandoned, should this one be
    killed.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}.{os.getpid()}-"
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=prefix, suffix=PART) as folder:
        yield Path(folder)


def _say_nothing(_step: str, _done: int, _of: int) -> None: ...


def _stored(precision: Precision, calibrate: CalibrateOn | None) -> Stored:
    """Return how the weights are stored before anything is made faster.

    Raises:
        InputError: if there is no such precision, or it takes pictures, or takes none.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"there is no precision {precision!r}", hint=f"choose {', '.join(PRECISIONS)}"
        )
    if calibrate is None:
        if precision == "bfloat16":
            raise InputError(
                "bfloat16 is taken only if it decides the same on your own pictures",
                hint="say which: --calibrate PHOTOS",
            )
        return precision
    if precision not in LOWER_LIMITS:
        raise InputError(
            f"there is nothing to calibrate for {precision}",
            hint="leave --calibrate out, or choose --precision int8 or bfloat16",
        )
    return "float32"


def _calibration(
    source: Bundle | CheckpointSource, precision: Precision, calibrate: CalibrateOn | None
) -> Calibration | None:
    if calibrate is None:
        return None
    return read_calibration(
        calibrate.pictures,
        classes=calibrate.classes,
        prompts=source.prompts(),
        preprocessing=source.config.preprocessing,
        limits=LOWER_LIMITS[precision],
    )


def _lower(
    source: Bundle | CheckpointSource,
    place: Path,
    engines: Sequence[str],
    precision: Precision,
    calibration: Calibration | None,
    note: Progress,
) -> Lowered | None:
    """Make the graphs in a folder faster, if there is something to judge that by."""
    if calibration is None:
        return None
    lowering = Lowering(
        place,
        engines=engines,
        tokenizer=source.tokenizer(),
        calibration=calibration,
        limits=LOWER_LIMITS[precision],
        progress=note,
    )
    return lowering.to_int8() if precision == "int8" else lowering.to_bfloat16()


def _engines(calibrate: CalibrateOn | None) -> tuple[str, ...]:
    """Return the engines that are compared.

    Raises:
        InputError: if there is no such engine for graphs.
        MissingError: if it, or every one, is not installed.
    """
    wanted = "auto" if calibrate is None else calibrate.engine
    known = tuple(name for name in FASTEST_FIRST if name != "torch")
    if wanted not in ("auto", *known):
        raise InputError(f"there is no engine {wanted!r} for graphs", hint=f"{', '.join(known)}")
    engines = tuple(n for n in known if wanted in ("auto", n) and is_installed(n))
    if not engines:
        what = "no engine that runs ONNX" if wanted == "auto" else f"the engine {wanted}"
        package = "onnxruntime" if wanted == "auto" else wanted
        raise MissingError(f"{what} is not installed", hint=f"pip install {package}")
    return engines
