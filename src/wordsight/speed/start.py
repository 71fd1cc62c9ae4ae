"""A fresh process: how long it takes to its first answer, and how much memory it needs.

`python -m wordsight.speed.start` opens a contender, encodes one picture and one sentence, says so,
and goes on with a batch of each before it says the most memory it held.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wordsight.config import from_dict
from wordsight.speed.child import answer, read_job, run_module
from wordsight.speed.contender import Entry, open_contender

PICTURES, SENTENCES = 32, 64
STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """How a fresh process began."""

    seconds: float
    """From its start to the vectors of the first picture and sentence."""
    memory: int | None
    """Bytes of memory it held at most; None where the system does not say."""


def start_fresh(entry: Entry, pictures: Sequence[Path], sentences: Sequence[str]) -> Start:
    """Open a contender in a fresh process and let it answer.

    Args:
        entry: which contender.
        pictures: the first is the first to be answered; all are encoded for the memory.
        sentences: likewise; none for a model without a text tower.

    Raises:
        MissingError: if the process dies.
    """
    job = {
        "entry": asdict(entry),
        "pictures": [str(path.absolute()) for path in pictures[:PICTURES]],
        "sentences": list(sentences[:SENTENCES]),
    }
    lines = run_module("wordsight.speed.start", job)
    memory: int | None = json.loads(lines[-1].text)["memory"]
    return Start(seconds=lines[0].seconds, memory=memory)


def peak_memory() -> int | None:
    """Return the most bytes of memory that this process ever held."""
    try:
        # Not ru_maxrss: a child begins with that of its parent.
        found = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="ascii"), re.M)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def main() -> None:
    """Answer, then work, then say how much memory that took."""
    job = read_job()
    contender = open_contender(from_dict(Entry, job["entry"], where="entry"))
    pictures, sentences = [Path(path) for path in job["pictures"]], job["sentences"]
    contender.encode_files(pictures[:1])
    if sentences:
        contender.encode_texts(sentences[:1])
    answer({"answered": True})
    contender.encode_files(pictures)
    if sentences:
        contender.encode_texts(sentences)
    answer({"memory": peak_memory()})


if __name__ == "__main__":
    main()
