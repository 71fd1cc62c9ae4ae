"""The program that the commands belong to, and what they share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

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


def settings_of(config: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a TOML file, and over them the options that were given.

    Raises:
        ConfigError: if the file cannot be read.
    """
    from wordsight.config import load_toml

    settings = load_toml(config) if config else {}
    return settings | {name: value for name, value in given.items() if value is not None}
