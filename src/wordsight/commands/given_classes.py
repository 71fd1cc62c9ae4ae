"""Classes and templates as the options of a command give them."""

from pathlib import Path
from typing import cast

from wordsight.config import load_toml
from wordsight.data.class_file import ClassFile, read_class_file
from wordsight.errors import ConfigError, InputError
from wordsight.text.templates import check_template
from wordsight.transfer.class_vectors import Classes


def read_classes(labels: str | None, file: Path | None) -> Classes | ClassFile:
    """Take classes from "cat,dog", or from a file of docs/classes.md.

    Raises:
        InputError: if there is neither, or both.
        ConfigError: if the file is not of that form.
    """
    if (labels is None) == (file is None):
        raise InputError(
            "give the classes once: --labels cat,dog or --classes FILE",
            hint="a FILE may hold several sentences per class",
        )
    if file is not None:
        return read_class_file(file)
    assert labels is not None
    names = [name.strip() for name in labels.split(",")]
    return [name for name in names if name]


def read_templates(file: Path) -> list[str]:
    """Read templates: one per line of a text file, or templates = [...] of a TOML file.

    Raises:
        ConfigError: if it cannot be read or holds none.
        InputError: if one has no place for the class name.
    """
    if file.suffix.lower() == ".toml":
        entries: object = load_toml(file).get("templates")
    else:
        try:
            lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: cannot be read as UTF-8 text: {error}") from None
        entries = [line for line in lines if line]
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{file}: holds no templates", hint='one per line: "a photo of a {}."')
    return [check_template(entry) for entry in cast(list[object], entries)]
