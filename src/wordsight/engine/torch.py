"""Towers on torch, from model.safetensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.bundle.store import WEIGHTS
from wordsight.errors import BundleError
from wordsight.model.outputs import EMBEDDING
from wordsight.packages import require


class TorchRunner:
    """One tower with its head, as a torch module."""

    def __init__(self, module: Any, path: Path):
        """Wrap a module whose forward returns a dict of named tensors; `path` is for messages."""
        self._path = path
        self._torch = require("torch", extra="torch")
        self._module = module
        self.outputs: tuple[str, ...] = module.outputs

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] = (EMBEDDING,)
    ) -> Mapping[str, NDArray[np.float32]]:
        """Run a batch.

        Raises:
            BundleError: if the towers do not take such a batch.
        """
        try:
            with self._torch.inference_mode():
                arrays = self._module(self._torch.from_numpy(batch))
        except (IndexError, RuntimeError) as error:
            raise BundleError(f"{self._path}: torch cannot run it: {error}") from None
        return {name: arrays[name].numpy() for name in outputs}


def torch_runners(bundle: Bundle) -> tuple[TorchRunner, TorchRunner]:
    """Build both towers of a bundle from its weights.

    Raises:
        BundleError: if the weights do not fit the architecture in config.json.
        MissingError: if torch is not installed.
    """
    require("torch", extra="torch")
    from wordsight.model.two_tower import load_towers

    image, text = load_towers(bundle.path / WEIGHTS, bundle.config.architecture)
    path = bundle.path / WEIGHTS
    return TorchRunner(image, path), TorchRunner(text, path)
