"""Models of the Hugging Face hub; the only module that ever opens a connection.

It does so only when somebody asks for `hf:owner/name`, and only through the package
huggingface_hub, whose cache, mirror (`HF_ENDPOINT`), log-in and offline switch (`HF_HUB_OFFLINE`)
are honoured. What has been fetched once is opened from the cache ever after, without a network.
"""

import hashlib
import re
import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.errors import CheckpointError, InputError, MissingError
from wordsight.files import sha256
from wordsight.packages import require

PREFIX = "hf:"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256_DIGITS, SHA1_DIGITS = 64, 40

SMALL_FILES = re.compile(
    r"(?:config|open_clip_config|preprocessor_config|processor_config|tokenizer|tokenizer_config"
    r"|special_tokens_map|added_tokens|vocab)\.json"
    r"|[\w.-]*\.index\.json|merges\.txt|vocab\.txt|[\w.-]*\.model|README\.md|LICENSE[\w.-]*"
)
"""Configuration and vocabularies; none of them is ever run."""
INDEX = ".index.json"
SHARD = re.compile(r"-\d{5}-of-(\d{5})")
_PART = rf"(?:{SHARD.pattern})?"
LAYOUTS = (
    ("open_clip_config.json", re.compile(r"open_clip_(?:pytorch_)?model\.safetensors")),
    ("config.json", re.compile(rf"model{_PART}\.safetensors")),
    ("open_clip_config.json", re.compile(r"open_clip_pytorch_model\.bin")),
    ("config.json", re.compile(rf"pytorch_model{_PART}\.bin")),
)
"""Configuration and weights that make a model, the best first: safetensors before pickles."""
CONFIGS = {config for config, _ in LAYOUTS}
BUNDLE_MARK = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Repository:
    """One model of the hub, at one revision."""

    name: str
    """Owner and name, as in openai/clip-vit-base-patch32."""
    revision: str
    """Branch, tag or commit."""

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a model that are needed to open it."""

    small: tuple[str, ...]
    weights: tuple[str, ...]


def fetch(name: str) -> Path:
    """Return the local folder of `hf:owner/name[@revision]`, fetched if it is not there yet.

    Only what a model needs is fetched: configuration, vocabularies, and one set of weights,
    safetensors if there are any. Every file is compared with the checksum that the hub states for
    it (SHA-256 for weights), each time it is opened. On a disk without symbolic links the cache
    does not keep that checksum, so there it is compared only while the hub can be asked.

    Without a network, or with `HF_HUB_OFFLINE=1`, what is in the cache is used. A commit (40
    hexadecimal digits) that is in the cache is used without asking.

    Raises:
        InputError: if the name is not one, or there is no such repository or revision, or it is
            gated, or holds nothing that could be opened.
        MissingError: if huggingface_hub is not installed, or the hub cannot be reached and the
            model is not whole in the cache.
        CheckpointError: if a file is not the one that the hub states.
    """
    wanted = parse(name)
    hub = require("huggingface_hub", extra="hub")
    require("huggingface_hub.constants", extra="hub")  # is an attribute of `hub` from here on
    folder = _cached(hub, wanted) if COMMIT.fullmatch(wanted.revision) else None
    stated: Mapping[str, str] = {}
    if folder is None and hub.constants.HF_HUB_OFFLINE:
        folder = _from_cache(hub, wanted, reason="HF_HUB_OFFLINE is set")
    elif folder is None:
        folder, stated = _from_hub(hub, wanted)
    _check_digests(folder, stated)
    return folder


def parse(name: str) -> Repository:
    """Take `hf:owner/name[@revision]` apart.

    Raises:
        InputError: if it is not of that form.
    """
    repository, at, revision = name.removeprefix(PREFIX).partition("@")
    parts = repository.split("/")
    is_name = len(parts) == 2 and all(NAME.fullmatch(part) for part in parts)
    is_revision = REVISION.fullmatch(revision) if at else True
    odd = any(sign in name for sign in ("..", "//")) or "--" in repository
    if not (name.startswith(PREFIX) and is_name and is_revision) or odd:
        raise InputError(
            f"{name!r} is not a model of the hub: expected hf:owner/name or hf:owner/name@revision",
            hint="such as hf:openai/clip-vit-base-patch32",
        )
    return Repository(repository, revision or "main")


def needed_files(names: Collection[str], *, where: object) -> Contents:
    """Choose the files that make a model among those of a repository.

    Raises:
        InputError: if there is no model of a layout that can be opened.
    """
    if BUNDLE_MARK in names:
        raise InputError(
            f"{where}: is a wordsight bundle, which is opened from a plain folder only",
            hint="hf download OWNER/NAME --local-dir my-model, then open my-model",
        )
    for config, pattern in LAYOUTS:
        weights = _one_set(sorted(name for name in names if pattern.fullmatch(name)))
        if config not in names or not weights:
            continue
        # The configuration of another library would describe weights that are left out.
        refused = CONFIGS - {config}
        stem, suffix = weights[0].split("-")[0], Path(weights[0]).suffix
        small = [name for name in names if SMALL_FILES.fullmatch(name) and name not in refused]
        kept = [name for name in small if not name.endswith(INDEX) or name == stem + suffix + INDEX]
        return Contents(tuple(sorted(kept)), weights)
    raise InputError(
        f"{where}: holds no model that can be opened: expected open_clip_config.json with "
        "open_clip_model.safetensors, or config.json with model.safetensors (or .bin)",
        hint="for another layout, download the file yourself and open that file",
    )


def _one_set(names: Sequence[str]) -> tuple[str, ...]:
    """Return one whole file, else all shards if none is missing, else nothing."""
    whole = [name for name in names if not SHARD.search(name)]
    if whole or not names:
        return tuple(whole[:1])
    number = SHARD.search(names[0])
    assert number is not None
    return tuple(names) if len(names) == int(number[1]) else ()


def _from_hub(hub: Any, wanted: Repository) -> tuple[Path, Mapping[str, str]]:
    """Ask the hub what there is, and fetch what is not in the cache; the cache if it is silent."""
    errors = require("huggingface_hub.errors", extra="hub")
    try:
        with _bars_for_people_only():
            return _download(hub, wanted)
    except errors.GatedRepoError:
        raise InputError(
            f"{wanted}: is gated: its owner wants you to accept conditions first",
            hint=f"accept them at {hub.constants.ENDPOINT}/{wanted.name}, then: hf auth login",
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(
            f"{wanted}: the repository is there, but it has no revision {wanted.revision!r}",
            hint="give a branch, a tag or a commit of it, or leave it out",
        ) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{wanted}: there is no such model on the hub, or it is private",
            hint="check owner and name; for a private one: hf auth login",
        ) from None
    except _unreachable(errors) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = f"the hub ({hub.constants.ENDPOINT}) cannot be reached: {first_line}"
        return _from_cache(hub, wanted, reason=reason), {}


@contextmanager
def _bars_for_people_only() -> Generator[None]:
    """Switch the progress bars of huggingface_hub off while nobody is watching."""
    bars = require("huggingface_hub.utils", extra="hub")
    is_switched = not (sys.stderr.isatty() or bars.are_progress_bars_disabled())
    if is_switched:
        bars.disable_progress_bars()
    try:
        yield
    finally:
        if is_switched:
            bars.enable_progress_bars()


def _unreachable(errors: Any) -> tuple[type[Exception], ...]:
    """List what stands for a hub that does not answer, or stops in the middle of a file.

    `errors.HTTPError` is the base of all that its HTTP library raises; the transport for large
    files (hf_xet) raises errors of Python.
    """
    own = (errors.HTTPError, errors.LocalEntryNotFoundError)
    return (*own, ConnectionError, TimeoutError, RuntimeError)


def _download(hub: Any, wanted: Repository) -> tuple[Path, Mapping[str, str]]:
    found = hub.HfApi().model_info(wanted.name, revision=wanted.revision, files_metadata=True)
    stated = {
        str(file.rfilename): str(file.lfs.sha256 if file.lfs else file.blob_id)
        for file in found.siblings
    }
    contents = needed_files(stated, where=wanted)
    small = hub.snapshot_download(
        wanted.name, revision=wanted.revision, allow_patterns=list(contents.small)
    )
    # Weights come last: a cache that has them all has everything, also after a kill. They are of
    # the commit that the small files are of, even if the branch moves on meanwhile.
    folder = Path(
        hub.snapshot_download(
            wanted.name, revision=Path(small).name, allow_patterns=list(contents.weights)
        )
    )
    return folder, stated if folder.name == found.sha else {}


def _from_cache(hub: Any, wanted: Repository, *, reason: str) -> Path:
    folder = _cached(hub, wanted)
    if folder is None:
        raise MissingError(
            f"{wanted}: is not whole in the cache {hub.constants.HF_HUB_CACHE}, and {reason}",
            hint=f"where there is a network: hf download {wanted.name} --local-dir my-model; copy "
            "that folder to this machine and open my-model",
        )
    return folder


def _cached(hub: Any, wanted: Repository) -> Path | None:
    """Return the folder in the cache, if it holds the weights of a model."""
    errors = require("huggingface_hub.errors", extra="hub")
    try:
        folder = Path(
            hub.snapshot_download(
                wanted.name, revision=wanted.revision, allow_patterns=[], local_files_only=True
            )
        )
        needed_files([file.name for file in folder.iterdir()], where=wanted)
    except (errors.LocalEntryNotFoundError, InputError):
        return None
    return folder


def _check_digests(folder: Path, stated: Mapping[str, str]) -> None:
    contents = needed_files([file.name for file in folder.iterdir()], where=folder)
    for name in (*contents.small, *contents.weights):
        file = folder / name
        # The cache calls a blob by the checksum that the hub stated when it was fetched.
        expected = stated.get(name) or (file.resolve().name if file.is_symlink() else "")
        if len(expected) not in (SHA256_DIGITS, SHA1_DIGITS):
            continue
        actual = sha256(file) if len(expected) == SHA256_DIGITS else _git_sha1(file)
        if actual != expected:
            raise CheckpointError(
                f"{file}: damaged: its checksum is {actual}, the hub states {expected}",
                hint=f"delete {file.resolve()} and fetch it again",
            )


def _git_sha1(file: Path) -> str:
    """Return the name git gives to the content of a small file."""
    content = file.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
