"""Writing, opening and verifying bundles.

my-model/
  config.json        schema version, preprocessing, tokenizer rules, similarity, provenance
  image.onnx         towers with their heads, for the engines that need no torch
  text.onnx
  model.safetensors  weights for the torch engine; a bundle has this, or the two graphs, or all
  tokenizer.json     Hugging Face `tokenizers` format
  prompts.toml       default templates per language
  classifier.json    classes it decides between, if it has some: words, and
  classifier.npz     numbers
  golden.json        inputs with what the original says of them, for `wordsight verify`: words, and
  golden.npz         numbers
  README.md          model card
  SHA256SUMS         written last; a folder without it is not a bundle
  run/               how it was learnt: settings, metrics, report; not part of the model

An edge bundle (`wordsight edge`) is config.json, image.onnx and a classifier: it decides, and reads
no sentences.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wordsight.bundle.classifier import (
    NUMBERS_FILE,
    WORDS_FILE,
    BundleClassifier,
    read_classifier,
)
from wordsight.bundle.golden import GOLDEN_NUMBERS, GOLDEN_WORDS, Golden, read_golden
from wordsight.bundle.onnx_file import check_onnx
from wordsight.bundle.prompts import Prompts, read_prompts
from wordsight.bundle.schema import BundleConfig, read_config
from wordsight.bundle.tensors import check_safetensors
from wordsight.errors import BundleError, InputError, MissingError
from wordsight.files import atomic_folder, recover_folder, sha256
from wordsight.packages import is_installed

if TYPE_CHECKING:
    from wordsight.text import Tokenizer

SUMS = "SHA256SUMS"
CONFIG = "config.json"
IMAGE_GRAPH = "image.onnx"
TEXT_GRAPH = "text.onnx"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
PROMPTS = "prompts.toml"
CARD = "README.md"
RUN = "run"

KNOWN = (
    *(CONFIG, IMAGE_GRAPH, TEXT_GRAPH, WEIGHTS, TOKENIZER, PROMPTS, CARD),
    *(WORDS_FILE, NUMBERS_FILE),
    *(GOLDEN_WORDS, GOLDEN_NUMBERS),
)
MAX_SUMS_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model folder."""

    path: Path
    config: BundleConfig
    files: Mapping[str, str]
    """SHA-256 of every file, by name."""

    def has(self, name: str) -> bool:
        """Say whether the bundle holds the file."""
        return name in self.files

    @property
    def has_text(self) -> bool:
        """Whether it reads sentences; an edge bundle does not."""
        return self.has(TEXT_GRAPH) or self.has(WEIGHTS)

    @property
    def has_graphs(self) -> bool:
        """Whether it runs on the engines that need no torch."""
        return self.has(IMAGE_GRAPH) and (self.has(TEXT_GRAPH) or not self.has_text)

    @property
    def has_weights(self) -> bool:
        """Whether it runs on the torch engine."""
        return self.has(WEIGHTS)

    def classifier(self) -> BundleClassifier | None:
        """Load the classifier that lies in this model, if there is one.

        Raises:
            BundleError: if it is damaged or does not fit the model.
        """
        if not self.has(WORDS_FILE):
            return None
        return read_classifier(self.path, self.config.embed_dim)

    def golden(self) -> Golden | None:
        """Load what the original says of some inputs, if it was written down.

        Raises:
            BundleError: if it is damaged or does not fit the model.
        """
        if not self.has(GOLDEN_WORDS):
            return None
        return read_golden(self.path, self.config.embed_dim)

    def tokenizer(self) -> "Tokenizer":
        """Load the tokenizer.

        Raises:
            InputError: if this is an edge bundle.
            MissingError: if the packages that read sentences are not installed.
        """
        self.need_text()
        for package in ("ftfy", "tokenizers"):
            if not is_installed(package):
                raise MissingError(
                    f"{self.path}: reads sentences, and the package {package!r} is not installed",
                    hint="pip install wordsight; without it only edge bundles run",
                )
        from wordsight.text import Tokenizer

        return Tokenizer.from_file(self.path / TOKENIZER, self.config.tokenizer)

    def need_text(self) -> None:
        """Refuse what needs sentences to be read.

        Raises:
            InputError: if this is an edge bundle.
        """
        if not self.has_text:
            raise InputError(
                f"{self.path}: is an edge bundle: it decides between its own classes, and has no "
                "text tower to read sentences with",
                hint="take the model it was made from; for other classes: wordsight edge MODEL "
                "--classes FILE --out EDGE",
            )

    def prompts(self) -> Prompts:
        """Load the default templates; without the file, the name alone is the sentence."""
        return read_prompts(self.path / PROMPTS) if self.has(PROMPTS) else Prompts()


def open_bundle(path: Path) -> Bundle:
    """Open a model folder after checking every byte of it; nothing in it is ever executed.

    Raises:
        BundleError: if it is not a bundle, or a file is missing, damaged, unexpected or hostile;
            the message names the file.
    """
    recover_folder(path)
    _need_folder(path)
    files = _read_sums(path)
    for name, expected in files.items():
        file = path / name
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"{file}: missing, or not a plain file", hint="copy the model again")
        if sha256(file) != expected:
            raise BundleError(
                f"{file}: damaged or changed: its checksum is not the one in {SUMS}",
                hint="copy the model again from where it was made",
            )
    bundle = Bundle(path=path, config=read_config(path / CONFIG), files=files)
    _check_parts(bundle)
    for name in (IMAGE_GRAPH, TEXT_GRAPH):
        if bundle.has(name):
            check_onnx(path / name)
    if bundle.has_weights:
        check_safetensors(path / WEIGHTS)
    for words, numbers in ((WORDS_FILE, NUMBERS_FILE), (GOLDEN_WORDS, GOLDEN_NUMBERS)):
        if bundle.has(words) != bundle.has(numbers):
            raise BundleError(f"{path}: {words} and {numbers} belong together")
    bundle.classifier()
    bundle.golden()
    return bundle


def _need_folder(path: Path) -> None:
    """Refuse what is no folder.

    Raises:
        BundleError: saying what is there instead.
    """
    if path.is_file():
        raise BundleError(
            f"{path}: is a file, and a bundle is a folder",
            hint="wordsight doctor FILE says what a checkpoint is; to make a bundle of it: "
            "wordsight export FILE --out BUNDLE",
        )
    if not path.is_dir():
        raise BundleError(
            f"{path}: there is no such folder", hint="give a bundle folder, or the name 'mini'"
        )


def _check_parts(bundle: Bundle) -> None:
    """Check that the files make a model, or an edge bundle.

    Raises:
        BundleError: naming what is missing.
    """
    path = bundle.path
    is_edge = bundle.has(WORDS_FILE) and not (bundle.has_text or bundle.has(TOKENIZER))
    runs = bundle.has_graphs or bundle.has_weights
    if not runs or not (bundle.has_text or is_edge):
        raise BundleError(
            f"{path}: holds no weights: expected {IMAGE_GRAPH} and {TEXT_GRAPH}, or {WEIGHTS}; an "
            f"edge bundle has {IMAGE_GRAPH} and {WORDS_FILE}, and no {TOKENIZER}"
        )
    if bundle.has_text and not bundle.has(TOKENIZER):
        raise BundleError(f"{path}: {TOKENIZER} is missing from {SUMS}")


def _read_sums(path: Path) -> dict[str, str]:
    sums = path / SUMS
    if sums.is_symlink() or not sums.is_file():
        raise BundleError(
            f"{path}: not a bundle: it has no {SUMS}",
            hint="the folder may be half copied, or another kind of checkpoint",
        )
    if sums.stat().st_size > MAX_SUMS_BYTES:
        raise BundleError(f"{sums}: larger than the {MAX_SUMS_BYTES} bytes it may have")
    files: dict[str, str] = {}
    for number, line in enumerate(sums.read_bytes().decode(errors="replace").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise BundleError(f"{sums}: line {number} is not 'checksum  name': {line[:80]!r}")
        if name not in KNOWN or name in files:
            raise BundleError(f"{sums}: line {number} names {name[:80]!r}, not a file of a bundle")
        files[name] = digest
    if CONFIG not in files:
        raise BundleError(f"{path}: {CONFIG} is missing from {SUMS}")
    return files


def write_bundle(
    path: Path,
    config: BundleConfig,
    files: Mapping[str, bytes | Callable[[Path], None]],
    *,
    run: Mapping[str, str] | None = None,
) -> Bundle:
    """Write a model folder in one step: the whole of it appears, or nothing does.

    Args:
        path: folder to make; a bundle that stands there is replaced.
        config: becomes config.json.
        files: content of the other files by name, out of those the module docstring lists; or a
            function that writes it to the path it is given, for what memory should not hold.
        run: text files of the subfolder `run/`, which tells how the model came about.

    Raises:
        BundleError: if `path` is a folder that is not a bundle, so that nothing else is lost.
    """
    unknown = [name for name in files if name not in KNOWN or name == CONFIG]
    if unknown:
        raise ValueError(f"not files of a bundle: {unknown}")
    check_replaceable(path)
    with atomic_folder(path) as part:
        content = {CONFIG: config.to_json().encode(), **files}
        for name, data in content.items():
            if isinstance(data, bytes):
                (part / name).write_bytes(data)
            else:
                data(part / name)
        lines = [f"{sha256(part / name)}  {name}\n" for name in sorted(content)]
        if run:
            (part / RUN).mkdir()
            for name, text in run.items():
                (part / RUN / name).write_text(text, encoding="utf-8")
        (part / SUMS).write_text("".join(lines))
    return open_bundle(path)


def check_replaceable(path: Path) -> None:
    """Refuse to replace anything but a bundle or an empty folder.

    Raises:
        BundleError: if something else stands at `path`.
    """
    if not path.exists():
        return
    if not path.is_dir() or (any(path.iterdir()) and not (path / SUMS).is_file()):
        raise BundleError(
            f"{path}: exists and is not a model folder, so it will not be replaced",
            hint="choose another --out, or remove it yourself",
        )
