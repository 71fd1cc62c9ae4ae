"""How an engine shall run, beside which one it is."""

from dataclasses import dataclass, replace

from wordsight.bundle.schema import PRECISIONS, Precision
from wordsight.config import nearest
from wordsight.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """Settings of an engine; `compile` and `device` are for torch alone."""

    threads: int | None = None
    """Threads of the engine; as many as there are cores if not given."""
    precision: Precision | None = None
    """bfloat16 multiplies in bfloat16 and adds in float32, on torch and OpenVINO; as the model says
    if not given."""
    compile: bool = False
    """Whether torch compiles the towers on their first batch, which takes a minute or two."""
    device: str = "cpu"
    """Torch device, such as "cpu", "cuda" or "cuda:1"."""

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in PRECISIONS:
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
        if self.compile:
            given.append("compile=True")
        if self.device != "cpu":
            given.append(f"device={self.device!r}")
        return tuple(given)

    @property
    def is_half(self) -> bool:
        """Whether to multiply in bfloat16."""
        return self.precision == "bfloat16"

    def of_model(self, precision: Precision) -> "EngineSettings":
        """Return these settings with the precision of a model, if none was asked for."""
        return self if self.precision else replace(self, precision=precision)


DEFAULTS = EngineSettings()
