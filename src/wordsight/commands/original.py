"""What is exported: the towers of a checkpoint or bundle, on torch or as graphs already."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.bundle import Bundle, open_bundle
from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH, WEIGHTS
from wordsight.engine.checkpoint import CheckpointSource, open_towers
from wordsight.engine.choice import Engine, open_graph
from wordsight.engine.loading import is_bundle, refuse_overrides
from wordsight.engine.torch import TorchRunner, bundle_towers
from wordsight.errors import BundleError
from wordsight.files import write_bytes

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Overrides
    from wordsight.model.compression import Precision

GRAPHS = (IMAGE_GRAPH, TEXT_GRAPH)
EXAMPLE_LENGTH = 9


@dataclass(frozen=True, slots=True)
class Original:
    """A model before it is exported."""

    source: Bundle | CheckpointSource
    towers: dict[str, Any]
    """Torch modules by the name of their graph; empty for a bundle that has graphs only."""

    def write_graphs(
        self, place: Path, precision: "Precision", note: Callable[[str, int, int], None]
    ) -> None:
        """Write both graphs into a folder, or copy those of the bundle.

        Raises:
            CapacityError: if a graph would be larger than ONNX allows; nothing is written then.
        """
        if not self.towers:
            for file in GRAPHS:
                shutil.copyfile(self.source.path / file, place / file)
            return
        from wordsight.model.tower_graph import check_capacity, tower_graph

        for file, tower in self.towers.items():
            check_capacity(tower, precision, where=file)
        examples, max_lengths = self._examples()
        for number, (file, tower) in enumerate(self.towers.items()):
            note("graphs", number, 2)
            graph = tower_graph(tower, examples[file], precision, max_length=max_lengths[file])
            write_bytes(place / file, graph.SerializeToString(deterministic=True))
        note("graphs", 2, 2)

    def _examples(self) -> tuple[dict[str, Any], dict[str, int | None]]:
        import torch

        config = self.source.config
        rules, size = config.tokenizer, config.preprocessing.size
        is_causal = bool(getattr(self.towers[TEXT_GRAPH].tower, "is_causal", False))
        is_cut = is_causal or not rules.pad_to_context
        length = min(EXAMPLE_LENGTH, rules.context_length) if is_cut else rules.context_length
        examples = {
            IMAGE_GRAPH: torch.zeros(2, 3, size, size),
            TEXT_GRAPH: torch.ones(2, length, dtype=torch.int64),
        }
        return examples, {IMAGE_GRAPH: None, TEXT_GRAPH: rules.context_length if is_cut else None}

    def engine(self, place: Path, otherwise: str) -> Engine:
        """Return the reference: torch in float32, or the graphs in `place` on an engine."""
        if not self.towers:
            return Engine(otherwise, *(open_graph(place / file, otherwise) for file in GRAPHS))
        path = self.source.path
        return Engine("torch", *(TorchRunner(tower, path) for tower in self.towers.values()))


def open_original(path: Path, overrides: "Overrides | None", *, needs_weights: bool) -> Original:
    """Open what is to be exported.

    Args:
        path: a bundle, or a checkpoint of any library.
        overrides: what you know better than the checkpoint's files.
        needs_weights: refuse a bundle that has graphs only.

    Raises:
        BundleError: if the bundle is damaged, or has no weights where they are needed.
        CheckpointError: if it is damaged, hostile, or of no known kind.
    """
    if not is_bundle(path):
        source, image, text = open_towers(path, overrides)
        return Original(source, {IMAGE_GRAPH: image, TEXT_GRAPH: text})
    refuse_overrides(path, overrides)
    bundle = open_bundle(path)
    bundle.need_text()
    if bundle.has_weights:
        image, text = bundle_towers(bundle)
        return Original(bundle, {IMAGE_GRAPH: image, TEXT_GRAPH: text})
    if needs_weights:
        raise BundleError(
            f"{path}: holds no {WEIGHTS} to make ONNX towers of",
            hint="export the checkpoint that it was made from; or make its towers faster: "
            "--precision int8 --calibrate PHOTOS",
        )
    return Original(bundle, {})
