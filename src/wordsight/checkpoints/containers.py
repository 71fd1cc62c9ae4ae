"""Opening a file of weights, whatever it is; what it is, its content says and not its name.

    safetensors                 one file
    torch.save, torch.jit.save  zip archive, or the older format; weights or training checkpoint
    numpy.savez                 zip archive
    *.index.json                index of shards, each one of the above

Nothing in any of them is ever run, and no number is read before somebody asks for it.
"""

import json
from pathlib import Path
from typing import cast

from wordsight.checkpoints.foreign_files import refuse
from wordsight.checkpoints.numpy_archive import MAGIC, read_numpy_archive, refuse_single_array
from wordsight.checkpoints.safetensors_file import read_safetensors
from wordsight.checkpoints.state_dict import state_dict, without_prefixes
from wordsight.checkpoints.stored import Source
from wordsight.checkpoints.tensors import Container, LazyTensor, WeightFile
from wordsight.checkpoints.torch_archive import has_pickle, read_torch_archive
from wordsight.checkpoints.torch_legacy import read_torch_legacy
from wordsight.checkpoints.zip_archive import ZipArchive
from wordsight.errors import CheckpointError

HEAD_BYTES = 4096
MAX_INDEX_BYTES = 32 << 20
MAX_SHARDS = 10_000
SAFETENSORS_LENGTH = 8


def open_weights(path: Path) -> WeightFile:
    """Open the weights in one file, or in the shards that an index names.

    Of a training checkpoint only the weights are taken. `module.` and `_orig_mod.` are taken off
    if they stand before every name.

    Raises:
        CheckpointError: if it holds no weights, or is damaged or hostile; the message names the
            file, and the layer where there is one.
    """
    head = _head(path)
    found = _shards(path) if _is_json(head) else _one_file(path, head)
    if not found.tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return WeightFile(path, found.container, without_prefixes(found.tensors))


def _head(path: Path) -> bytes:
    """Read the first bytes of an ordinary file; a pipe or device is never opened."""
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder, expected a file of weights")
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file")
    if not path.is_file():
        raise CheckpointError(f"{path}: is not an ordinary file")
    with Source.of(path).opened() as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise CheckpointError(f"{path}: is empty", hint="copy or download it again")
    return head


def _is_json(head: bytes) -> bool:
    return head.lstrip().startswith(b"{") and b"\0" not in head


def _one_file(path: Path, head: bytes) -> WeightFile:
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _archive(path)
    if head.startswith(MAGIC):
        raise refuse_single_array(path, head)
    length, rest = head[:SAFETENSORS_LENGTH], head[SAFETENSORS_LENGTH:]
    if rest.startswith(b"{") and b"\0" in length:  # the length may look like any other magic number
        return read_safetensors(path)
    if head.startswith(b"\x80") and head[1:2] <= b"\x05":
        legacy = read_torch_legacy(path)
        return WeightFile(path, "torch", state_dict(legacy.root, legacy.find, path=path))
    raise refuse(path, head)


def _archive(path: Path) -> WeightFile:
    archive = ZipArchive(path)
    if has_pickle(archive):
        saved = read_torch_archive(archive)
        container: Container = "torchscript" if saved.is_torchscript else "torch"
        return WeightFile(path, container, state_dict(saved.root, saved.find, path=path))
    if any(name.endswith(".npy") for name in archive.members):
        return read_numpy_archive(archive)
    names = ", ".join(repr(name) for name in list(archive.members)[:5])
    raise CheckpointError(
        f"{path}: a zip archive that neither torch nor numpy wrote; it holds {names or 'nothing'}",
        hint="if the model is a file in it, unpack the archive first",
    )


def _shards(index: Path) -> WeightFile:
    """Open all files that an index names; each tensor must be in the one it is said to be in."""
    places = _read_index(index)
    tensors: dict[str, LazyTensor] = {}
    containers: set[Container] = set()
    for name in sorted(set(places.values())):
        shard = index.parent / name
        head = _head(shard)
        if _is_json(head):
            raise CheckpointError(f"{shard}: is text, expected a shard of {index.name}")
        found = _one_file(shard, head)
        for layer, tensor in found.tensors.items():
            if places.get(layer) != name:
                raise CheckpointError(f"{shard}: holds layer {layer!r}, unlike {index.name} says")
            tensors[layer] = tensor
        containers.add(found.container)
    missing = next((layer for layer in places if layer not in tensors), None)
    if missing is not None:
        raise CheckpointError(
            f"{index.parent / places[missing]}: layer {missing!r} is missing, "
            f"{index.name} says it is there",
            hint="copy or download all shards again",
        )
    if len(containers) != 1:
        raise CheckpointError(f"{index}: names shards of different kinds, or none")
    return WeightFile(index, containers.pop(), tensors)


def _read_index(index: Path) -> dict[str, str]:
    """Return the file of each layer; files are beside the index and nowhere else."""
    with Source.of(index).opened() as file:
        raw = file.read(MAX_INDEX_BYTES + 1)
    try:
        if len(raw) > MAX_INDEX_BYTES:
            raise ValueError(f"longer than {MAX_INDEX_BYTES} bytes")
        places = json.loads(raw)["weight_map"]
        pairs = cast(dict[object, object], places).items()
        checked = {str(layer): _file_name(name) for layer, name in pairs}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{index}: text without weights in it, nor an index of shards: {error}",
            hint="give the file with the weights, or <name>.index.json beside its shards",
        ) from None
    if len(set(checked.values())) > MAX_SHARDS:
        raise CheckpointError(f"{index}: names more than {MAX_SHARDS} shards")
    return checked


def _file_name(name: object) -> str:
    if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
        raise ValueError(f"shard {name!r} is not the name of a file beside it")
    return name
