"""How an engine shall run, beside which one it is."""

from dataclasses import dataclass
from typing import Literal

from wordsight.config import nearest
from wordsight.errors import InputError

Precision = Literal["float32", "bfloat16"]

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """Settings of an engine; all but `threads` are for torch alone."""

    threads: int | None = None
    """Threads of the engine; as many as there are cores if not given."""
    precision: Precision = "float32"
    """bfloat16 multiplies in bfloat16 and adds in float32."""
    compile: bool = False
    """Whether torch compiles the towers on their first batch, which takes a minute or two."""
    device: str = "cpu"
    """Torch device, such as "cpu", "cuda" or "cuda:1"."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(
                f"there is no precision {self.precision!r}",
                hint=nearest(str(self.precision), PRECISIONS),
            )
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads are {self.threads}; expected 1 or more")

    @property
    def for_torch(self) -> tuple[str, ...]:
        """The settings given that only torch knows, as the caller wrote them."""
        given: list[str] = []
        if self.precision != "float32":
            given.append(f"precision={self.precision!r}")
        if self.compile:
            given.append("compile=True")
        if self.device != "cpu":
            given.append(f"device={self.device!r}")
        return tuple(given)


DEFAULTS = EngineSettings()
