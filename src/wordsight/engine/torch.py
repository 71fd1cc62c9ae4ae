"""Towers on torch: from model.safetensors of a bundle, or from a checkpoint.

In bfloat16 only matrix products, convolutions and attention are computed: their weights are stored
so, and torch rounds what flows into them. The sum that runs through a transformer, its layer norms
and the final unit length stay in float32: smallest cosine to float32 0.99999 instead of 0.9999.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.bundle.store import WEIGHTS
from wordsight.engine.settings import DEFAULTS, EngineSettings
from wordsight.errors import BundleError, InputError, MissingError, WordsightError
from wordsight.model.outputs import EMBEDDING
from wordsight.packages import require


class TorchRunner:
    """One tower with its head, as a torch module."""

    def __init__(
        self,
        module: Any,
        path: Path,
        *,
        settings: EngineSettings = DEFAULTS,
        error: type[WordsightError] = BundleError,
    ):
        """Prepare a module whose forward returns a dict of named tensors; it is changed in place.

        Args:
            module: has `outputs`, and a `tower` that says `is_causal` if padding may be cut off.
            path: file of the weights, for messages.
            settings: precision, device and compilation; threads are not looked at.
            error: raised when the towers do not take a batch.
        """
        self.path = path
        self.outputs: tuple[str, ...] = module.outputs
        self.takes_any_length = bool(getattr(module.tower, "is_causal", False))
        self.module = module.eval()
        self._settings = settings
        self._torch = require("torch", extra="torch")
        self._error = error
        if self._settings.is_half:
            self._round_weights()
        module.to(self._settings.device)
        self._forward: Any = module
        if self._settings.compile:
            self._forward = self._torch.compile(module)

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] = (EMBEDDING,)
    ) -> Mapping[str, NDArray[np.float32]]:
        """Run a batch.

        Raises:
            BundleError: if the towers do not take such a batch; CheckpointError for a checkpoint.
            MissingError: if torch cannot compile here.
        """
        torch = self._torch
        is_half = self._settings.is_half
        kind = torch.device(self._settings.device).type
        try:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=is_half):
                arrays = self._forward(torch.from_numpy(batch).to(self._settings.device))
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise MissingError(
                f"torch cannot compile the towers here: {error}",
                hint="install a C++ compiler such as g++, or leave compile=False",
            ) from None
        except (IndexError, RuntimeError) as error:
            raise self._error(f"{self.path}: torch cannot run it: {error}") from None
        return {name: self._as_float32(name, arrays[name]) for name in outputs}

    def _round_weights(self) -> None:
        torch = self._torch
        layers = (torch.nn.Linear, torch.nn.Conv2d)
        for layer in self.module.modules():
            if isinstance(layer, layers):
                layer.to(torch.bfloat16)

    def _as_float32(self, name: str, array: Any) -> NDArray[np.float32]:
        array = array.float()
        if name == EMBEDDING and self._settings.is_half:
            array = self._torch.nn.functional.normalize(array, dim=-1)
        return array.cpu().numpy()


def torch_runners(bundle: Bundle, settings: EngineSettings) -> tuple[TorchRunner, TorchRunner]:
    """Build both towers of a bundle from its weights.

    Raises:
        BundleError: if the weights do not fit the architecture in config.json.
        MissingError: if torch, or the device, is not there.
    """
    prepare_torch(settings)
    path = bundle.path / WEIGHTS
    image, text = bundle_towers(bundle)
    return TorchRunner(image, path, settings=settings), TorchRunner(text, path, settings=settings)


def bundle_towers(bundle: Bundle) -> tuple[Any, Any]:
    """Build both towers of a bundle as torch modules.

    Raises:
        BundleError: if the weights do not fit the architecture in config.json.
    """
    from wordsight.model.two_tower import load_towers

    return load_towers(bundle.path / WEIGHTS, bundle.config.architecture)


def prepare_torch(settings: EngineSettings) -> None:
    """Check that torch and the device are there; set the number of threads, if one was asked for.

    Torch has one number of threads for the whole process.

    Raises:
        InputError: if torch knows no such device.
        MissingError: if torch is not installed, or this machine does not have the device.
    """
    torch = require("torch", extra="torch")
    try:
        device = torch.device(settings.device)
    except RuntimeError:
        raise InputError(
            f"torch knows no device {settings.device!r}", hint='for example "cpu" or "cuda:0"'
        ) from None
    try:
        torch.zeros(1, device=device).cpu()
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise MissingError(
            f"the device {settings.device!r} cannot be used here: {reason}",
            hint='leave device="cpu"',
        ) from None
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
