"""The two-way dictionary between our names of tensors and those of another library.

A format is a list of links. Each says which of their tensors make one of ours and how the numbers
are laid out, so that reading and writing are the same list walked in two directions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from wordsight.checkpoints.tensors import LazyTensor
from wordsight.config import nearest
from wordsight.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Layout:
    """How the numbers of one of our tensors are arranged in theirs."""

    to_ours: Callable[[tuple[Tensor, ...]], Tensor]
    to_theirs: Callable[[Tensor], tuple[Tensor, ...]]


SAME = Layout(lambda parts: parts[0], lambda tensor: (tensor,))
TRANSPOSED = Layout(
    lambda parts: parts[0].mT.contiguous(), lambda tensor: (tensor.mT.contiguous(),)
)


def stacked(*shares: int) -> Layout:
    """Join their tensors along the first axis, such as query, key and value in one.

    `shares` says how many rows each has, in proportion: (1, 1, 1), or (1, 2) for key and value
    that are joined already.
    """

    def to_theirs(tensor: Tensor) -> tuple[Tensor, ...]:
        rows = len(tensor) // sum(shares)
        ends = [rows * end for end in accumulate(shares)]
        return tuple(
            tensor[end - rows * share : end].contiguous()
            for share, end in zip(shares, ends, strict=True)
        )

    return Layout(torch.cat, to_theirs)


def reshaped(ours: tuple[int, ...], theirs: tuple[int, ...]) -> Layout:
    """Keep the numbers in order, in another shape."""
    return Layout(lambda parts: parts[0].reshape(ours), lambda tensor: (tensor.reshape(theirs),))


@dataclass(frozen=True, slots=True)
class Link:
    """One tensor of ours and those of theirs that it is made of."""

    ours: str
    theirs: tuple[str, ...]
    layout: Layout = SAME
    default: Callable[[], Tensor] | None = None
    """What it is where their file does not have it, for tensors that may be missing."""


def read_weights(
    theirs: Mapping[str, LazyTensor],
    links: Iterable[Link],
    expected: Mapping[str, tuple[int, ...]],
    *,
    path: Path,
    ignored: Callable[[str], bool] = lambda name: False,
) -> dict[str, LazyTensor]:
    """Return our tensors, each read from their file when it is asked for.

    Shapes are checked by reading one tensor's layout on torch's meta device, before any number.

    Args:
        theirs: tensors of the file by name.
        links: the format.
        expected: shape of each of our tensors.
        path: file, for messages.
        ignored: says of a name in the file that it holds no weights.

    Raises:
        CheckpointError: naming file and layer, if one is missing, of another shape, or unexpected.
    """
    ours: dict[str, LazyTensor] = {}
    used: set[str] = set()
    for link in links:
        missing = [name for name in link.theirs if name not in theirs]
        if missing and link.default is not None and len(missing) == len(link.theirs):
            ours[link.ours] = _default(link.default)
            continue
        if missing:
            close = nearest(missing[0], theirs)
            raise CheckpointError(f"{path}: layer {missing[0]!r} is missing", hint=close)
        used.update(link.theirs)
        parts = tuple(theirs[name] for name in link.theirs)
        ours[link.ours] = _joined(link, parts, expected[link.ours], path=path)
    for name in theirs:
        if name not in used and not ignored(name):
            raise CheckpointError(
                f"{path}: layer {name!r} is not part of this architecture",
                hint="the file holds another model than was detected",
            )
    return ours


def _default(make: Callable[[], Tensor]) -> LazyTensor:
    value = make()
    return LazyTensor(tuple(value.shape), value.dtype, make)


def _joined(
    link: Link, parts: tuple[LazyTensor, ...], expected: tuple[int, ...], *, path: Path
) -> LazyTensor:
    shown = " and ".join(
        f"{name!r} {tuple(part.shape)}" for name, part in zip(link.theirs, parts, strict=True)
    )
    try:  # a file may claim lengths that no tensor can have, next to one of zero
        shells = tuple(torch.empty(p.shape, dtype=p.dtype, device="meta") for p in parts)
        shape = tuple(link.layout.to_ours(shells).shape)
    except (RuntimeError, IndexError) as error:
        raise CheckpointError(f"{path}: layer {shown} has a wrong shape: {error}") from None
    if shape != expected or (len(link.theirs) > 1 and not _fit_together(link, parts, expected)):
        raise CheckpointError(f"{path}: layer {shown} does not fit: expected {expected} of it")
    return LazyTensor(
        expected, parts[0].dtype, lambda: link.layout.to_ours(tuple(part.read() for part in parts))
    )


def _fit_together(link: Link, parts: tuple[LazyTensor, ...], expected: tuple[int, ...]) -> bool:
    """Say whether each part has its share, as well as all of them together."""
    split = link.layout.to_theirs(torch.empty(expected, device="meta"))
    return all(tuple(x.shape) == part.shape for x, part in zip(split, parts, strict=True))


def write_weights(ours: Mapping[str, LazyTensor], links: Iterable[Link]) -> dict[str, LazyTensor]:
    """Return their tensors, each computed from ours when it is asked for."""
    theirs: dict[str, LazyTensor] = {}
    for link in links:
        source = ours[link.ours]
        shells = link.layout.to_theirs(torch.empty(source.shape, dtype=source.dtype, device="meta"))
        for place, (name, shell) in enumerate(zip(link.theirs, shells, strict=True)):
            theirs[name] = LazyTensor(tuple(shell.shape), source.dtype, _part(link, source, place))
    return theirs


def _part(link: Link, source: LazyTensor, place: int) -> Callable[[], Tensor]:
    return lambda: link.layout.to_theirs(source.read())[place]
