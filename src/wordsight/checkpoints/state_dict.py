"""The weights among all that a training script has saved.

A file may be the state dict itself, or a dictionary with one inside: `state_dict` (open_clip,
Lightning, most scripts), `model` (timm, DeiT and others) or `model_state_dict` (the tutorial of
torch). Whatever else is in it, optimiser, step, arguments, averaged weights, is left where it is.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from wordsight.checkpoints.pickled_values import Inert, is_dictionary
from wordsight.checkpoints.stored import Span
from wordsight.checkpoints.tensors import LazyTensor
from wordsight.checkpoints.torch_views import StorageReference, TensorView, lazy_view
from wordsight.errors import CheckpointError

PLACES = ("state_dict", "model", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""
MAX_TENSORS = 100_000
MAX_NAME = 1000
MAX_SHARING = 64
"""How many times larger than their storages the tensors may be: layers can share weights."""
SHOWN = 8

V = TypeVar("V")


def state_dict(
    root: object, find: Callable[[StorageReference], Span], *, path: Path
) -> dict[str, LazyTensor]:
    """Return the tensors of what was unpickled, by the names they were saved under.

    Args:
        root: what the pickle holds.
        find: says where the numbers of a storage are.
        path: file, for messages.

    Raises:
        CheckpointError: if there is no state dict, or a tensor does not fit its storage.
    """
    tensors: dict[str, LazyTensor] = {}
    storages: dict[str, int] = {}
    for name, value in _chosen(root, path).items():
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise CheckpointError(f"{path}: the name of a layer is not text, or too long")
        if value is None:  # extra state of a module that has none
            continue
        if not isinstance(value, TensorView):
            raise CheckpointError(
                f"{path}: {name!r} is {_kind(value)}, expected a tensor",
                hint="save only the weights: torch.save(model.state_dict(), path)",
            )
        try:
            tensors[name] = lazy_view(value, find)
        except ValueError as error:
            raise CheckpointError(f"{path}: layer {name!r}: {error}") from None
        storages[value.storage.key] = value.storage.num_bytes
    size, stored = sum(tensor.num_bytes for tensor in tensors.values()), sum(storages.values())
    if size > MAX_SHARING * stored:
        raise CheckpointError(f"{path}: {stored} bytes of numbers claim to be {size}")
    return tensors


def _chosen(root: object, path: Path) -> dict[object, object]:
    if not is_dictionary(root):
        raise CheckpointError(
            f"{path}: holds {_kind(root)}, expected a dictionary of tensors",
            hint="save the weights: torch.save(model.state_dict(), path)",
        )
    values = root
    for place in PLACES:
        inner = values.get(place)
        if is_dictionary(inner):
            values = inner
            break
    if len(values) > MAX_TENSORS:
        raise CheckpointError(f"{path}: {len(values)} tensors, at most {MAX_TENSORS} are read")
    if not any(isinstance(value, TensorView) for value in values.values()):
        names = ", ".join(repr(name)[:MAX_NAME] for name in list(values)[:SHOWN])
        raise CheckpointError(
            f"{path}: no weights found; it holds {names or 'nothing'}",
            hint=f"expected tensors there, or a dictionary of them in {' or '.join(PLACES)}",
        )
    return values


def _kind(value: object) -> str:
    return value.name if isinstance(value, Inert) else f"a {type(value).__name__}"


def without_prefixes(tensors: Mapping[str, V]) -> dict[str, V]:
    """Take off what training put before every name; a name that only some have stays."""
    stripped = dict(tensors)
    while prefix := next((p for p in PREFIXES if _all_have(stripped, p)), ""):
        stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
    return stripped


def _all_have(tensors: Mapping[str, object], prefix: str) -> bool:
    return bool(tensors) and all(name.startswith(prefix) and name != prefix for name in tensors)
