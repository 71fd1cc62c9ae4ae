"""An interpreter of Python's pickles that cannot run code, because it has no way to.

A pickle is a program for a small stack machine. Python's own machine imports what the program
names and calls it; this one knows numbers, text, lists, dictionaries and tensors, and the table of
`pickled_classes`. Every other name ends the reading. There is no import, no attribute look-up and
no call of anything that came out of the file.

Limits: size, number of steps, length of numbers and names, so that neither memory nor time can be
used up. Nothing here recurses.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wordsight.checkpoints.pickle_machine import ForbiddenError, PickleMachine
from wordsight.checkpoints.pickle_steps import STEPS
from wordsight.checkpoints.torch_views import StorageReference
from wordsight.errors import CheckpointError

MAX_BYTES = 64 << 20
MAX_STEPS = 1_000_000
"""A training checkpoint of 1,200 parameters with their averages of AdamW takes 155,000."""
HINT = (
    "save only the weights, where the file was made: torch.save(model.state_dict(), path), "
    "or as safetensors"
)


@dataclass(frozen=True, slots=True)
class Pickle:
    """What a pickle holds."""

    root: object
    storages: Mapping[str, StorageReference]
    """All that it speaks of, by key."""


def read_pickle(file: BinaryIO, path: Path) -> Pickle:
    """Read one pickle from the file's place on, and leave the file behind it.

    Args:
        file: where it stands.
        path: file, for messages.

    Raises:
        CheckpointError: if it asks for anything that is not data, is damaged, or too large.
    """
    machine = PickleMachine(file, MAX_BYTES)
    try:
        return Pickle(_run(machine), machine.storages)
    except ForbiddenError as error:
        raise CheckpointError(
            f"{path}: asks for {error}, which is code and not weights; nothing of it was run",
            hint=HINT,
        ) from None
    except (ValueError, KeyError, struct.error) as error:
        raise CheckpointError(
            f"{path}: damaged pickle: {error}", hint="copy or download it again"
        ) from None


def _run(machine: PickleMachine) -> object:
    for _ in range(MAX_STEPS):
        code = machine.take(1)
        if code == b".":
            return machine.pop()
        step = STEPS.get(code)
        if step is None:
            raise ForbiddenError(f"the instruction {code!r}")
        step(machine)
    raise ValueError(f"more than {MAX_STEPS} steps")
