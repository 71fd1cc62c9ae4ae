"""The program that the commands belong to, and what they share."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

FINDINGS = 1
INTERRUPTED = 130

Language = Literal["en", "ja"]
Json = Annotated[bool, Parameter(name="--json", negative=())]

app = App(
    name="wordsight",
    help="Teach a vision model with words, then ask it anything in words.",
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main says what to do next
)
