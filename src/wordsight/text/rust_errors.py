"""The ways in which the Rust code of `tokenizers` fails, as the one error of this product."""

from collections.abc import Generator
from contextlib import contextmanager

from wordsight.errors import TextError


@contextmanager
def rust_errors(what: str) -> Generator[None]:
    """Turn the ways in which `tokenizers` fails into TextError.

    It raises ValueError, bare Exception, and for a panic of its Rust code a class that is not an
    Exception and cannot be imported, only recognised by its module.
    """
    try:
        yield
    except BaseException as error:
        kind = type(error)
        if kind not in (ValueError, Exception) and kind.__module__ != "pyo3_runtime":
            raise
        raise TextError(f"{what}: {str(error)[:200]}") from None
