"""A detector in use: vectors of pictures, and the small file it is kept in.

Shape letters: N pictures, E width of the vectors.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from wordsight.config import from_dict, to_dict
from wordsight.errors import BundleError, ConfigError
from wordsight.files import write_bytes
from wordsight.images import open_image
from wordsight.metrics import Estimate
from wordsight.packages import require
from wordsight.training.duplicate_detector.network import CopyNetwork, NetworkConfig
from wordsight.training.duplicate_detector.variations import pixels, plain

KIND = "wordsight duplicate detector 1"
BATCH = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """How well a detector does on pictures it did not learn from."""

    proxy_accuracy: Estimate
    """Share of changed copies whose nearest picture is the one they were made from, among n."""
    threshold: float
    """Cosine that one in a hundred held-out pictures reaches with another picture."""


class DuplicateDetector:
    """A network that has learnt to know copies; `learn_detector` makes one, `load` opens one."""

    def __init__(self, network: CopyNetwork, report: Report):
        self.network = network.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
        self.report = report

    def encode(
        self,
        images: Sequence[Image.Image | Path | bytes],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Return the unit vectors (N, E) of pictures.

        Raises:
            ImageError: for a picture that cannot be read.
        """
        config = self.network.config
        rows = [np.zeros((0, config.embed_dim), np.float32)]
        for start in range(0, len(images), BATCH):
            part = [plain(open_image(item), config.image_size) for item in images[start:][:BATCH]]
            with torch.inference_mode():
                rows.append(self.network(torch.tensor(pixels(part))).numpy())
            if progress:
                progress(start + len(part), len(images))
        return np.concatenate(rows)

    def save(self, path: Path) -> None:
        """Write the weights, their shape and the report into one safetensors file."""
        about = {"network": to_dict(self.network.config), "report": to_dict(self.report)}
        stored = require("safetensors.torch", extra="torch")
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        metadata = {"kind": KIND, "about": json.dumps(about)}
        write_bytes(path, stored.save(weights, metadata=metadata))

    @classmethod
    def load(cls, path: Path) -> "DuplicateDetector":
        """Open a file that `save` wrote.

        Raises:
            BundleError: if it is not there, damaged, or something else.
        """
        safetensors = require("safetensors", extra="torch")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise BundleError(
                f"{path}: not the file of a duplicate detector: {error}",
                hint="wordsight overlap --detector learn makes one",
            ) from None
        if metadata.get("kind") != KIND:
            raise BundleError(f"{path}: a file of another kind; expected a duplicate detector")
        try:
            about = json.loads(metadata["about"])
            network = CopyNetwork(from_dict(NetworkConfig, about["network"], where=str(path)))
            network.load_state_dict(weights)
            report = from_dict(Report, about["report"], where=str(path))
        except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
            raise BundleError(f"{path}: damaged duplicate detector: {error}") from None
        return cls(network, report)
