"""What accelerators can compute and hold, from the data sheets of their makers."""

from dataclasses import dataclass

from wordsight.config import nearest
from wordsight.errors import ConfigError

TERA, GIGABYTE = 1e12, 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One kind of accelerator."""

    name: str
    memory: float
    """Bytes."""
    half: float
    """Most operations a second in bfloat16, dense; float16 where there is no bfloat16."""
    single: float
    """Most operations a second in float32."""


def _gpu(name: str, memory: float, half: float, single: float) -> Gpu:
    return Gpu(name=name, memory=memory * GIGABYTE, half=half * TERA, single=single * TERA)


GPUS = (
    _gpu("v100", 32, 125, 15.7),
    _gpu("a100-40", 40, 312, 19.5),
    _gpu("a100-80", 80, 312, 19.5),
    _gpu("h100", 80, 989, 67),
    _gpu("h200", 141, 989, 67),
    _gpu("b200", 180, 2250, 75),
    _gpu("l4", 24, 121, 30.3),
    _gpu("l40s", 48, 362, 91.6),
    _gpu("rtx4090", 24, 165, 82.6),
    _gpu("mi300x", 192, 1307, 163.4),
)


def find_gpu(name: str) -> Gpu:
    """Return the GPU of a name.

    Raises:
        ConfigError: if it is not in the table.
    """
    for gpu in GPUS:
        if gpu.name == name.lower():
            return gpu
    raise ConfigError(
        f"there is no GPU {name!r} in the table",
        hint=nearest(name, [gpu.name for gpu in GPUS]),
    )
