"""Sentences and names by language."""

from collections.abc import Mapping

ANY_LANGUAGE = ""
"""Key of sentences whose language nobody stated."""

Words = Mapping[str, tuple[str, ...]]
"""Sentences or names by language code, or by `ANY_LANGUAGE`."""
