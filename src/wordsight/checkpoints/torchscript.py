"""Names of the tensors in a TorchScript module, as its state_dict() has them.

The pickle of a module holds every attribute; which of them are weights stands in the source of its
class, in the lines `__parameters__ = [...]` and `__buffers__ = [...]`. That text is searched and
never run.
"""

import re
from pathlib import Path

from wordsight.checkpoints.pickled_values import Inert, is_dictionary
from wordsight.checkpoints.torch_views import TensorView
from wordsight.checkpoints.zip_archive import ZipArchive
from wordsight.errors import CheckpointError

MAX_CODE_BYTES = 16 << 20
MAX_MODULES = 100_000
MAX_NAME = 1000
CLASS = re.compile(
    r"^class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]\n  __buffers__ = \[(.*)\]$", re.MULTILINE
)
NAME = re.compile(r'"([^"]*)"')


def is_code(name: str, prefix: str) -> bool:
    """Say whether a member of an archive is source of TorchScript."""
    return name.startswith(f"{prefix}code/") and name.endswith(".py")


def module_tensors(root: object, archive: ZipArchive, prefix: str) -> dict[object, object]:
    """Return the views of a module and of all modules in it, by dotted name.

    Raises:
        CheckpointError: if it is not a module, or holds more than any module does.
    """
    declared = _declared(archive, prefix)
    found: dict[object, object] = {}
    waiting = [("", root)]
    seen = 0
    while waiting:
        path, module = waiting.pop()
        seen += 1
        if seen > MAX_MODULES or len(path) > MAX_NAME:
            raise CheckpointError(f"{archive.path}: more modules in modules than are read")
        if not isinstance(module, Inert) or not is_dictionary(module.state):
            raise CheckpointError(f"{archive.path}: {path or 'what it holds'!r} is no module")
        weights = declared.get(module.name)
        inner: list[tuple[str, object]] = []
        for name, value in module.state.items():
            full = f"{path}.{name}" if path else f"{name}"
            if isinstance(value, Inert):
                inner.append((full, value))
            elif isinstance(value, TensorView) and (weights is None or name in weights):
                found[full] = value
        waiting.extend(reversed(inner))
    return found


def _declared(archive: ZipArchive, prefix: str) -> dict[str, frozenset[str]]:
    """Return the names of parameters and buffers of each class of the archive."""
    declared: dict[str, frozenset[str]] = {}
    left = MAX_CODE_BYTES
    for name, member in archive.members.items():
        if is_code(name, prefix):
            text = archive.read(member, left).decode(errors="replace")
            left -= len(text)
            module = Path(name.removeprefix(f"{prefix}code/")).with_suffix("").parts
            for found in CLASS.finditer(text):
                weights = NAME.findall(found[2]) + NAME.findall(found[3])
                declared[".".join((*module, found[1]))] = frozenset(weights)
    return declared
