"""Other libraries, each used as its own documentation says, in float32 on torch.

Pictures from files are prepared by their own transforms in threads, while the tower encodes those
before; neither library has a call that does so, and a loop without it would be slower.

Shape letters: N inputs, S image side, E joint space.
"""

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import MissingError
from wordsight.packages import is_installed, require
from wordsight.speed.contender import BATCH, Entry

PACKAGES: dict[str, str] = {"open_clip": "open_clip_torch", "transformers": "transformers"}
"""Names of the rivals, and of what pip installs."""
MOST_THREADS = 8
BATCHES_AHEAD = 3


def require_rival(name: str) -> Any:
    """Import another library.

    Raises:
        MissingError: if it, or torch, is not installed; the hint is the pip command.
    """
    absent = [package for package in (name, "torch") if not is_installed(package)]
    if absent:
        packages = " ".join(PACKAGES.get(package, package) for package in absent)
        raise MissingError(
            f"{', '.join(absent)}: not installed, so nothing can be compared with {name}",
            hint=f"pip install {packages}",
        )
    return import_module(name)


class Rival:
    """What both libraries share: torch, its threads, and pictures prepared ahead."""

    limited_by = ""
    arithmetic = "float32"

    def __init__(self, entry: Entry):
        """Import the library, and set torch's number of threads."""
        self._library = require_rival(entry.library)
        self._torch = require("torch", extra="torch")
        self._num_workers = entry.threads or max(1, min(MOST_THREADS, os.cpu_count() or 1))
        if entry.threads is not None:
            self._torch.set_num_threads(entry.threads)

    def prepare_one(self, path: Path) -> Any:
        """Return one picture as the tower takes it; (3, S, S)."""
        raise NotImplementedError

    def encode_prepared(self, pixels: Any) -> NDArray[np.float32]:
        """Run the image tower alone; (N, E)."""
        raise NotImplementedError

    def prepare(self, paths: Sequence[Path]) -> Any:
        """Return pictures as the image tower takes them; (N, 3, S, S)."""
        return self._torch.stack([self.prepare_one(path) for path in paths])

    def encode_files(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Read, prepare and encode pictures; (N, E)."""
        batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        with ThreadPoolExecutor(self._num_workers) as pool:
            prepared = _ahead(pool, self.prepare, batches, self._num_workers + BATCHES_AHEAD)
            return np.concatenate([self.encode_prepared(pixels) for pixels in prepared])

    def _unit(self, rows: Any) -> NDArray[np.float32]:
        return self._torch.nn.functional.normalize(rows, dim=-1).numpy()


class OpenClip(Rival):
    """open_clip: `create_model_and_transforms`, `get_tokenizer`, `encode_image`, `encode_text`."""

    def __init__(self, entry: Entry):
        super().__init__(entry)
        place = f"local-dir:{entry.path}"
        self._model, _, self._transform = self._library.create_model_and_transforms(place)
        self._model.eval()
        self._tokenizer = self._library.get_tokenizer(place)
        # open_clip opens no pictures itself; this is the opener of the library it builds on.
        self._open: Any = import_module("torchvision.datasets.folder").default_loader

    def prepare_one(self, path: Path) -> Any:
        """Return one picture as the tower takes it; (3, S, S)."""
        return self._transform(self._open(str(path)))

    def encode_prepared(self, pixels: Any) -> NDArray[np.float32]:
        """Run the image tower alone; (N, E)."""
        with self._torch.inference_mode():
            return self._unit(self._model.encode_image(pixels))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Cut sentences into tokens and encode them, all padded to the context; (N, E)."""
        with self._torch.inference_mode():
            return self._unit(self._model.encode_text(self._tokenizer(list(texts))))


class Transformers(Rival):
    """transformers: `AutoModel`, `AutoImageProcessor`, `AutoTokenizer`."""

    def __init__(self, entry: Entry):
        super().__init__(entry)
        library = self._library
        with without_bars(library):
            self._model = library.AutoModel.from_pretrained(entry.path).float().eval()
            self._processor = library.AutoImageProcessor.from_pretrained(entry.path)
            self._tokenizer = library.AutoTokenizer.from_pretrained(entry.path)
        self._context = int(self._model.config.text_config.max_position_embeddings)
        is_siglip = "siglip" in str(self._model.config.model_type)
        self._padding = "max_length" if is_siglip else True  # as their documentation says

    def prepare_one(self, path: Path) -> Any:
        """Return one picture as the tower takes it; (3, S, S)."""
        picture = self._library.image_utils.load_image(str(path))
        prepared = self._processor(images=picture, return_tensors="pt")
        return prepared["pixel_values"][0]

    def encode_prepared(self, pixels: Any) -> NDArray[np.float32]:
        """Run the image tower alone; (N, E)."""
        with self._torch.inference_mode():
            found = self._model.get_image_features(pixel_values=pixels)
            return self._unit(getattr(found, "pooler_output", found))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Cut sentences into tokens and encode them; (N, E)."""
        tokens = self._tokenizer(
            list(texts),
            padding=self._padding,
            truncation=True,
            max_length=self._context,
            return_tensors="pt",
        )
        known = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        with self._torch.inference_mode():
            found = self._model.get_text_features(**known)
            return self._unit(getattr(found, "pooler_output", found))


@contextmanager
def without_bars(transformers: Any) -> Generator[None]:
    """Keep transformers from drawing progress bars of its own."""
    settings = transformers.utils.logging
    was_on = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            settings.enable_progress_bar()


def _ahead(
    pool: ThreadPoolExecutor,
    prepare: Callable[[Sequence[Path]], Any],
    batches: Sequence[Sequence[Path]],
    most: int,
) -> Generator[Any]:
    """Yield prepared batches in order, a few being prepared ahead."""
    waiting: list[Future[Any]] = []
    for batch in batches:
        waiting.append(pool.submit(prepare, batch))
        if len(waiting) >= most:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()
