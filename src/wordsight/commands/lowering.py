"""Making ONNX towers faster, and keeping only what still decides like the original.

A lower precision is judged on pictures that did not set its levels. Where int8 is beyond the
limits, the layers that lose most go back to higher precision, more at each step, until it is within
them or half of the layers are back: then that tower stays as it was.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH
from wordsight.commands.calibration import Calibration
from wordsight.engine.choice import open_graph
from wordsight.engine.fidelity import Fidelity, Limits, fidelity, markdown
from wordsight.engine.parity import BATCH, Embedded, embed_pixels
from wordsight.engine.runner import Runner
from wordsight.engine.settings import EngineSettings
from wordsight.engine.texts import encode_texts
from wordsight.files import write_bytes
from wordsight.model.outputs import EMBEDDING
from wordsight.text import Tokenizer

Lower = Literal["bfloat16", "int8"]
Progress = Callable[[str, int, int], None]

SHARES_KEPT = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Shares of the layers that stay in higher precision, one after another."""
NAMES = {IMAGE_GRAPH: "image", TEXT_GRAPH: "text"}
INT8 = "int8-"
"""Beginning of the name of a quantised graph, as long as it is not taken."""
HALF = EngineSettings(precision="bfloat16")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoweredTower:
    """What became of a tower."""

    tower: str
    """"image" or "text"."""
    precision: str
    """What it is in now: "int8", or "higher" where int8 was beyond the limits."""
    num_layers: int
    kept: tuple[tuple[str, float], ...] = ()
    """Layers in higher precision, and the share of what they give that int8 would lose."""
    failures: tuple[str, ...] = ()
    """Why it was not taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lowered:
    """A lower precision, how it was judged, and whether it was taken."""

    asked: Lower
    is_taken: bool
    """Whether anything is in the lower precision now."""
    limits: Limits
    source: str
    """The pictures."""
    num_set: int
    """Pictures that set the levels."""
    towers: tuple[LoweredTower, ...]
    engines: tuple[Fidelity, ...]
    """What was written, or, where nothing was taken, what was refused."""
    failures: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every tower is as fast as was asked for."""
        return self.is_taken and all(tower.precision == self.asked for tower in self.towers)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def report(self) -> str:
        """Return the paragraph and tables of run/parity.md."""
        limits = self.limits
        lines = [
            f"Lower precision {self.asked}: {'taken' if self.is_taken else 'refused'}. Levels were "
            f"set on {self.num_set} pictures of {self.source}, and judged on others. Allowed were "
            f"a mean cosine of {limits.cosine}, an agreement of {limits.agreement:.0%} at the "
            f"lower end of its 95 % interval, and a loss of AUROC of {limits.auroc}.",
            "",
            markdown(self.engines),
        ]
        if not self.towers:  # else each says its own
            lines += [f"- {failure}" for failure in self.failures]
        for tower in self.towers:
            lines.append(f"- {tower.tower} tower: {tower.precision}, {tower.num_layers} layers")
            lines += [f"  - in higher precision: {name} ({loss:.2e})" for name, loss in tower.kept]
            lines += [f"  - {failure}" for failure in tower.failures]
        return "\n".join(lines) + "\n"


class Lowering:
    """One model on the way to a lower precision; its graphs lie in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        engines: Sequence[str],
        tokenizer: Tokenizer,
        calibration: Calibration,
        limits: Limits,
        progress: Progress,
    ):
        """Take the graphs in `folder`, which is written to, and run them as the reference."""
        self.folder, self.engines, self.tokenizer = folder, engines, tokenizer
        self.calibration, self.limits, self.progress = calibration, limits, progress
        self._refused: tuple[Fidelity, ...] = ()
        self._known: dict[tuple[str, str], tuple[tuple[Path, int], NDArray[np.float32]]] = {}
        image, text = (open_graph(folder / file, engines[0]) for file in NAMES)
        self._is_cut = text.takes_any_length
        self._reference = Embedded(self._embed(image, IMAGE_GRAPH), self._embed(text, TEXT_GRAPH))

    def to_bfloat16(self) -> Lowered:
        """Judge the graphs as they are, multiplied in bfloat16."""
        found = tuple(self._judge({}))
        failures = tuple(why for one in found for why in one.failures(self.limits))
        return self._lowered("bfloat16", found, (), failures)

    def to_int8(self) -> Lowered:
        """Quantise both towers, and replace the graphs by what is within the limits."""
        towers: list[LoweredTower] = []
        made: dict[str, Path] = {}
        for file in NAMES:  # pictures first: they are what is encoded all day
            tower, path = self._tower(file, made)
            towers.append(tower)
            if path is not None:
                made[file] = path
        found = tuple(self._judge(made)) if made else self._refused
        for file, path in made.items():
            path.replace(self.folder / file)
        failures = tuple(why for tower in towers for why in tower.failures)
        return self._lowered("int8", found, tuple(towers), failures)

    def _lowered(
        self,
        asked: Lower,
        found: tuple[Fidelity, ...],
        towers: tuple[LoweredTower, ...],
        failures: tuple[str, ...],
    ) -> Lowered:
        is_taken = any(tower.precision == asked for tower in towers) if towers else not failures
        return Lowered(
            asked=asked,
            is_taken=is_taken,
            limits=self.limits,
            source=self.calibration.source,
            num_set=sum(map(len, self.calibration.pixels)),
            towers=towers,
            engines=found,
            failures=failures,
        )

    def _tower(self, file: str, made: dict[str, Path]) -> tuple[LoweredTower, Path | None]:
        """Find the fewest layers that have to stay; None for the path if they are too many.

        It is judged together with what is `made` already, so that both keep the limits together.
        """
        from wordsight.model.graph import read_graph
        from wordsight.model.quantisation import calibrate, quantise
        from wordsight.model.sensitivity import sensitivity

        name = NAMES[file]
        if file == IMAGE_GRAPH:
            batches = list(self.calibration.pixels)
        else:
            batches = self.calibration.tokens(self.tokenizer, is_cut=self._is_cut)
        calibrated = calibrate(
            read_graph(self.folder / file),
            batches,
            lambda done, of: self.progress(f"levels of the {name} tower", done, of),
        )
        losses: dict[str, float] = {}
        failures: list[str] = []
        path = self.folder / f"{INT8}{file}"
        num_layers = len(calibrated.layers)
        for step, share in enumerate(SHARES_KEPT):
            self.progress(f"judging the {name} tower", step, len(SHARES_KEPT))
            if share and not losses:
                losses = sensitivity(calibrated, batches[0])
            kept = list(losses.items())[: ceil(share * num_layers)]
            graph = quantise(calibrated, [layer for layer, _ in kept])
            write_bytes(path, graph.SerializeToString(deterministic=True))
            found = tuple(self._judge({**made, file: path}))
            failures = [why for one in found for why in one.failures(self.limits)]
            self._refused = found
            if not failures:
                self.progress(f"judging the {name} tower", len(SHARES_KEPT), len(SHARES_KEPT))
                tower = LoweredTower(
                    tower=name, precision="int8", num_layers=num_layers, kept=tuple(kept)
                )
                return tower, path
        self.progress(f"judging the {name} tower", len(SHARES_KEPT), len(SHARES_KEPT))
        path.unlink()
        worst = tuple(list(losses.items())[: ceil(SHARES_KEPT[-1] * num_layers)])
        return LoweredTower(
            tower=name,
            precision="higher",
            num_layers=num_layers,
            kept=worst,
            failures=tuple(failures),
        ), None

    def _judge(self, graphs: dict[str, Path]) -> Iterator[Fidelity]:
        """Compare every engine, with some graphs replaced, with the reference."""
        for name in self.engines:
            paths = (graphs.get(file, self.folder / file) for file in NAMES)
            found = Embedded(*(self._rows(name, path) for path in paths))
            yield fidelity(self._reference, found, self.calibration.task, engine=name)

    def _rows(self, engine: str, path: Path) -> NDArray[np.float32]:
        """Return what a graph says of the pictures or sentences; the last of each is kept."""
        version = path, path.stat().st_mtime_ns
        side = engine, path.name.removeprefix(INT8)
        if side not in self._known or self._known[side][0] != version:
            runner = open_graph(path, engine, settings=HALF)
            self._known[side] = version, self._embed(runner, side[1])
        return self._known[side][1]

    def _embed(self, runner: Runner, file: str) -> NDArray[np.float32]:
        if file == IMAGE_GRAPH:
            return embed_pixels(runner, self.calibration.judged)
        return encode_texts(
            runner, self.tokenizer, self.calibration.sentences, output=EMBEDDING, batch_size=BATCH
        )
