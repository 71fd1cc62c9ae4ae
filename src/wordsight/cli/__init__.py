"""Command line: one function per command, no logic of its own.

Heavy imports live inside the functions, so that `wordsight --help` answers at once.
"""

import sys

from wordsight.cli import (
    adapt,
    bench,
    compress,
    edge,
    evaluate,
    learn,
    models,
    overlap,
    plan,
    search,
    study,
    use,
)
from wordsight.cli.app import INTERRUPTED, app
from wordsight.errors import MissingError, WordsightError

__all__ = [
    "adapt",
    "app",
    "bench",
    "compress",
    "edge",
    "evaluate",
    "learn",
    "main",
    "models",
    "overlap",
    "plan",
    "search",
    "study",
    "use",
]


def main() -> None:
    """Run the command line; expected errors become one line on stderr and an exit code."""
    try:
        app()
    except WordsightError as error:
        _complain(f"wordsight: {error}")
        if error.hint:
            _complain(f"hint: {error.hint}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _complain("wordsight: stopped; run the same command again to go on")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:
        _complain(f"wordsight: {error.filename or 'this machine'}: {error.strerror or error}")
        raise SystemExit(MissingError.exit_code) from None


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
