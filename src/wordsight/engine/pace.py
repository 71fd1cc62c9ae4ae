"""Where the time of encoding pictures went: the tower, or reading and preparing for it."""

from dataclasses import dataclass
from typing import Literal

_WAITING_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Seconds of one run; the paces of its parts add up."""

    pictures: int = 0
    """Pictures that were tried, bad ones too."""
    seconds: float = 0.0
    """Time that passed, including what the caller did between batches."""
    encoding: float = 0.0
    """Seconds that the tower worked."""
    waiting: float = 0.0
    """Seconds that the tower waited for pictures."""
    preparing: float = 0.0
    """Seconds of reading and preparing, of all threads together."""

    def __add__(self, other: "Pace") -> "Pace":
        return Pace(
            pictures=self.pictures + other.pictures,
            seconds=self.seconds + other.seconds,
            encoding=self.encoding + other.encoding,
            waiting=self.waiting + other.waiting,
            preparing=self.preparing + other.preparing,
        )

    @property
    def per_second(self) -> float:
        """Pictures per second; 0 if there were none."""
        return self.pictures / self.seconds if self.seconds else 0.0

    @property
    def limited_by(self) -> Literal["the tower", "reading and preparing"]:
        """What to make faster first.

        The tower waits only while pictures come slower than it could take them; a tenth of its
        time is allowed for the first batch, which nothing can be done beside.
        """
        is_waiting = self.waiting > _WAITING_SHARE * (self.waiting + self.encoding)
        return "reading and preparing" if is_waiting else "the tower"
