"""Tensors that may be split up between processes (sharding.py), and those that are not, alike.

torch's module for split tensors takes a second to load, so it is asked for only where there is one.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor


def is_split(value: Tensor) -> bool:
    """Say whether a tensor is a DTensor."""
    return hasattr(value, "full_tensor")


def whole(value: Tensor) -> Tensor:
    """Return all of a tensor; where it is split, every process has to ask at the same time."""
    gather: Any = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def like(value: Tensor, place: Tensor) -> Tensor:
    """Put a whole tensor, which every process has, where another one is, split as that one is."""
    value = value.to(place.device)
    if not is_split(place):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(place, DTensor)
    return distribute_tensor(value, place.device_mesh, place.placements, src_data_rank=None)


def by_kind(values: Iterable[Tensor]) -> list[list[Tensor]]:
    """Part tensors that are split from those that are not: torch cannot take both at once."""
    kinds: dict[bool, list[Tensor]] = {}
    for value in values:
        kinds.setdefault(is_split(value), []).append(value)
    return list(kinds.values())
