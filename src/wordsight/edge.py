"""Decide on a machine that has onnxruntime, numpy and Pillow, and nothing else.

python -m wordsight.edge EDGE photo.jpg folder     one JSON line for each picture
python -m wordsight.edge EDGE                      paths on standard input, each answered at once

The second way is for a line: one process that has the model open, and answers in milliseconds.
The lines are those of `wordsight classify --json`, and so are the exit codes: 1 where pictures
could not be read, 2 for what you can put right, 3 for what this machine lacks.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from wordsight.engine.loading import load
from wordsight.engine.model import Model
from wordsight.errors import WordsightError
from wordsight.images import find_images
from wordsight.transfer.decisions import decide

FINDINGS = 1
AT_ONCE = 256
"""Pictures between two answers, where all are known from the start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; expected errors become one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m wordsight.edge", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("edge", help="bundle that decides: of wordsight edge, or wordsight adapt")
    parser.add_argument("photos", nargs="*", help="files, folders or patterns in quotes")
    parser.add_argument("--none-below", type=float, help="least probability of a label, 0 to 1")
    parser.add_argument("--engine", default="auto", help="auto, onnxruntime or openvino")
    options = parser.parse_args(arguments)
    try:
        model = load(options.edge, engine=options.engine)
        decide(model, [], none_below=options.none_below)  # what is wrong is said before any answer
        if options.photos:
            paths = find_images(options.photos)
            batches = (paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE))
        else:
            batches = ([Path(name)] for line in sys.stdin if (name := line.rstrip("\r\n")))
        return _answer(model, batches, options.none_below)
    except WordsightError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        sys.stderr.write(f"wordsight: {error}{hint}\n")
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
        return 0


def _answer(model: Model, batches: Iterable[Sequence[Path]], none_below: float | None) -> int:
    code = 0
    for paths in batches:
        for path, decision in zip(paths, decide(model, paths, none_below=none_below), strict=True):
            line = json.dumps({"path": str(path), **decision.to_json()}, ensure_ascii=False)
            sys.stdout.write(f"{line}\n")
            code = code if decision.error is None else FINDINGS
        sys.stdout.flush()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
