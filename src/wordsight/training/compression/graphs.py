"""The student as ONNX graphs, checked against torch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wordsight.bundle import BundleConfig
from wordsight.engine.choice import open_graph
from wordsight.engine.runner import Runner
from wordsight.engine.torch import TorchRunner
from wordsight.errors import BundleError
from wordsight.files import write_bytes
from wordsight.model.clip import ProjectedTower
from wordsight.model.outputs import EMBEDDING
from wordsight.model.tower_graph import check_capacity, tower_graph

LARGEST_DIFFERENCE = 1e-4
"""Between two components of unit vectors, of graph and torch."""
EXAMPLE_LENGTH = 9


def write_image_graph(
    student: ProjectedTower, path: Path, *, side: int, pixels: NDArray[np.float32]
) -> Runner:
    """Write the student as a graph, and return what runs it.

    Args:
        student: on the processor.
        path: file to write.
        side: of its pictures.
        pixels: (N, 3, S, S) prepared pictures to compare on.

    Raises:
        BundleError: if the graph says something else than torch.
    """
    check_capacity(student, "float32", where=path.name)
    graph = tower_graph(student.eval(), torch.zeros(2, 3, side, side), "float32")
    write_bytes(path, graph.SerializeToString(deterministic=True))
    runner = open_graph(path)
    wanted = TorchRunner(student, path).run(pixels)[EMBEDDING]
    found = float(np.abs(runner.run(pixels)[EMBEDDING] - wanted).max())
    if not found <= LARGEST_DIFFERENCE:
        raise BundleError(
            f"{path}: the graph of the student differs from torch by {found:.1e}; allowed is "
            f"{LARGEST_DIFFERENCE:.0e}",
            hint="this is a fault of wordsight: please report it with this message",
        )
    return runner


def write_text_graph(text: Any, path: Path, config: BundleConfig) -> None:
    """Write the parent's text tower, which has weights alone, as a graph."""
    rules = config.tokenizer
    is_cut = bool(getattr(text.tower, "is_causal", False)) or not rules.pad_to_context
    length = min(EXAMPLE_LENGTH, rules.context_length) if is_cut else rules.context_length
    example = torch.ones(2, length, dtype=torch.int64)
    check_capacity(text, "float32", where=path.name)
    graph = tower_graph(
        text, example, "float32", max_length=rules.context_length if is_cut else None
    )
    write_bytes(path, graph.SerializeToString(deterministic=True))
