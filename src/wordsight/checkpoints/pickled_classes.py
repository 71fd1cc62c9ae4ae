"""What a pickle of weights may speak of, and the harmless thing that each name becomes here.

No name of a file is ever looked up among the modules of Python: this table is all there is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from wordsight.checkpoints.pickled_values import (
    Inert,
    are_sizes,
    check_key,
    is_dictionary,
    is_list,
    is_tuple,
)
from wordsight.checkpoints.torch_views import StorageType, TensorView, view

Arguments = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Maker:
    """A class or function that a pickle may name, replaced by one of ours."""

    name: str
    make: Callable[[Arguments], object]


STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
DTYPES = (
    *STORAGES.values(),
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
)
UNTYPED = (
    "torch.storage.UntypedStorage",
    "torch.storage._UntypedStorage",
    "torch.UntypedStorage",
)
INERT = (
    # settings, learning rates and states of random generators in training checkpoints
    *("argparse.Namespace", "types.SimpleNamespace", "_codecs.encode", "torch.device"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath"),
    *(f"builtins.{name}" for name in ("bool", "bytearray", "bytes", "complex", "dict", "float")),
    *(f"builtins.{name}" for name in ("frozenset", "int", "list", "object", "range", "set")),
    *(f"builtins.{name}" for name in ("slice", "str", "tuple", "long", "unicode", "xrange")),
    *("numpy.dtype", "numpy.ndarray"),
    *(
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
    ),
)
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Names of modules in pickles of protocol 2, which Python 3 still writes."""


def resolve(module: str, name: str) -> object:
    """Return what a pickle gets when it asks for a class or function; None if it may not.

    TorchScript's own classes, `__torch__.*`, become inert objects; so do a few others that
    training checkpoints hold besides weights.
    """
    full = f"{PYTHON_2.get(module, module)}.{name}"
    if module.split(".")[0] == "__torch__" or full in INERT:
        return Maker(full, lambda _: Inert(full))
    if full in UNTYPED:
        return StorageType(None)
    if module == "torch":
        return _of_torch(name)
    make = MAKERS.get(full)
    return None if make is None else Maker(full, make)


def _of_torch(name: str) -> object:
    if name == "Size":
        return Maker("torch.Size", _size)
    if name.endswith("Storage") and name.removesuffix("Storage") in STORAGES:
        return StorageType(STORAGES[name.removesuffix("Storage")])
    return next((dtype for dtype in DTYPES if str(dtype) == f"torch.{name}"), None)


def _size(arguments: Arguments) -> object:
    (sizes,) = arguments
    if not are_sizes(sizes):
        raise ValueError("a torch.Size that is not one")
    return tuple(sizes)


def _dictionary(arguments: Arguments) -> object:
    """Make an OrderedDict: empty, or as Python 2 wrote it, from one list of pairs."""
    values: dict[object, object] = {}
    for pairs in arguments:
        if not is_list(pairs):
            raise ValueError("an OrderedDict of something that is not a list of pairs")
        for pair in pairs:
            if not (is_list(pair) or is_tuple(pair)) or len(pair) != 2:
                raise ValueError("an OrderedDict of something that is not a list of pairs")
            check_key(pair[0])
            values[pair[0]] = pair[1]
    return values


def _other_dictionary(arguments: Arguments) -> object:
    """Make a defaultdict, which is filled later, or a Counter, which comes filled."""
    if len(arguments) == 1 and is_dictionary(arguments[0]):
        return dict(arguments[0])
    if len(arguments) > 1 or not all(isinstance(factory, Maker) for factory in arguments):
        raise ValueError("a dictionary of an unknown kind")
    return dict[object, object]()


def _tensor(arguments: Arguments) -> object:
    """Make the view of _rebuild_tensor(storage, offset, size, stride[, requires_grad, hooks])."""
    match arguments:
        case (storage, offset, shape, strides, *_):
            return view(storage, offset, shape, strides)
        case _:
            raise ValueError("a tensor with too few arguments")


def _typed_tensor(arguments: Arguments) -> object:
    """Make the view of _rebuild_tensor_v3(..., dtype[, metadata]), for types without a storage."""
    match arguments:
        case (storage, offset, shape, strides, _, _, dtype, *_):
            return view(storage, offset, shape, strides, dtype)
        case _:
            raise ValueError("a tensor with too few arguments")


def _parameter(arguments: Arguments) -> object:
    """Return the tensor of _rebuild_parameter(data, requires_grad, hooks[, state])."""
    match arguments:
        case (TensorView() as tensor, *_):
            return tensor
        case _:
            raise ValueError("a parameter that is not a tensor")


def _first(arguments: Arguments) -> object:
    """Return the value that TorchScript has wrapped to say of which type it is."""
    match arguments:
        case (value, *_):
            return value
        case _:
            raise ValueError("a value of TorchScript without a value")


MAKERS: dict[str, Callable[[Arguments], object]] = {
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": _other_dictionary,
    "collections.Counter": _other_dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{
        f"torch.jit._pickle.{name}": _first
        for name in (
            *("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist"),
            "restore_type_tag",
        )
    },
}
