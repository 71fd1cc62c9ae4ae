"""Fixtures shared by all tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import network_guard
from tally import COUNT, circumstances, write

# What `make test` draws is the same every time; `make soak` draws anew.
settings.register_profile("suite", derandomize=True)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Choose what Hypothesis draws."""
    if config.getoption("markexpr") != "soak":
        settings.load_profile("suite")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared pictures and sentences beside the repository, or a skip."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the repository: its pictures and sentences are optional")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Let nothing leave this machine while the tests run."""
    patch = pytest.MonkeyPatch()
    network_guard.install(patch.setattr)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is cached out of the user's own folder."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WORDSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the bundle `tiny`, the bundle `headless` and bare `towers`; not to be changed."""
    pytest.importorskip("torch")
    import worlds

    return worlds.build_bundle(tmp_path_factory.mktemp("tiny") / "models")


@pytest.fixture
def bundle_copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny / "tiny", tmp_path / "bundle"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 120 drawn pictures with pairs.csv; not to be changed."""
    pytest.importorskip("torch")
    import worlds

    return worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 120)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried: a promise is worth what was thrown at it."""
    write(terminalreporter.stats)
    if COUNT:
        tried = ", ".join(f"{number:,} {what}" for what, number in sorted(COUNT.items()))
        terminalreporter.write_line(f"tried: {tried}; {circumstances()}")
