"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared pictures and sentences beside the repository, or a skip."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the repository: its pictures and sentences are optional")
    return SHARED
