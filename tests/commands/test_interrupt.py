"""What Ctrl-C leaves behind."""

import subprocess
import sys

INTERRUPTED_WHILE_READING = """
import signal, sys
from wordsight.cli import main

class Keyboard:
    def __getattr__(self, name):
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stdin = Keyboard()
sys.argv = ["wordsight", "classify", "-", "--labels", "cat,dog"]
main()
"""


def test_an_interrupt_is_one_line_that_says_what_to_do():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_READING],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr == "wordsight: stopped; run the same command again to go on\n"
