"""Promises 1 and 2: what is written is whole or absent, whatever dies or fails, and whenever."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wordsight.files import (
    atomic_folder,
    atomic_write,
    recover_folder,
    remove_abandoned,
    sha256,
    write_bytes,
    write_text,
)

OLD, NEW = b"old" * 1000, b"new!" * 5000
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)

# A child process that kills itself at the n-th of the calls that matter.
DIE_AT = """
import os, shutil, signal, sys
from pathlib import Path
from wordsight import files

count, wanted = 0, int(sys.argv[2])

def counted(function):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        count += 1
        if count == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

os.fsync = counted(os.fsync)
for name in ("chmod", "replace", "rename"):
    setattr(Path, name, counted(getattr(Path, name)))
shutil.rmtree = counted(shutil.rmtree)
step = counted(lambda: None)
target = Path(sys.argv[1])
"""
WRITE_FILE = """
with files.atomic_write(target) as file:
    step()
    file.write(b"new!" * 2500)
    file.flush()
    step()
    file.write(b"new!" * 2500)
    step()
"""
WRITE_FOLDER = """
with files.atomic_folder(target) as part:
    step()
    (part / "one").write_bytes(b"new!" * 5000)
    step()
    (part / "run").mkdir()
    (part / "run" / "two").write_bytes(b"new!" * 5000)
    step()
"""


def run_child(code: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def make_folder(path: Path, content: bytes) -> None:
    (path / "run").mkdir(parents=True)
    (path / "one").write_bytes(content)
    (path / "run" / "two").write_bytes(content)


def folder_content(path: Path) -> set[bytes]:
    return {file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_is_whole_or_absent_after_a_kill_at_every_point(tmp_path: Path, exists: bool):
    seen, point = set(), 0
    while True:
        point += 1
        target = tmp_path / f"at-{point}" / "weights"
        target.parent.mkdir()
        if exists:
            target.write_bytes(OLD)
        code = run_child(DIE_AT + WRITE_FILE, str(target), str(point))
        content = target.read_bytes() if target.exists() else None
        assert content in ((OLD if exists else None), NEW)
        seen.add(content)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        write_bytes(target, b"again")  # the next writer needs no help, and cleans up
        assert target.read_bytes() == b"again"
        assert leftovers(target.parent) == []
    assert point >= 12
    assert len(seen) == 2


def test_a_folder_is_whole_after_a_kill_at_every_point(tmp_path: Path):
    point = 0
    kept = set()
    while True:
        point += 1
        target = tmp_path / f"at-{point}" / "model"
        make_folder(target, OLD)
        code = run_child(DIE_AT + WRITE_FOLDER, str(target), str(point))
        recover_folder(target)
        content = folder_content(target)
        assert content in ({OLD}, {NEW}), f"a mixture after point {point}"
        kept |= content
        if code == 0:
            break
        with atomic_folder(target) as part:
            (part / "one").write_bytes(b"again")
        assert folder_content(target) == {b"again"}
        assert leftovers(target.parent) == []
    assert point >= 20
    assert kept == {OLD, NEW}


def test_a_reader_never_sees_a_torn_file_while_writers_are_killed(tmp_path: Path):
    code = """
import sys
from pathlib import Path
from wordsight.files import atomic_write
number = 0
while True:
    number += 1
    with atomic_write(Path(sys.argv[1])) as file:
        for _ in range(50):
            file.write(bytes([number % 256]) * 20_000)
    print(number, flush=True)
"""
    target, rng = tmp_path / "weights", random.Random(0)
    reads = 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(rng.randint(1, 12)):
            writer.stdout.readline()
            content = target.read_bytes()
            reads += 1
            assert len(content) == 1_000_000
            assert len(set(content)) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert len(set(target.read_bytes())) == 1
    assert reads >= 6


class Faults:
    """Raises an OSError at the n-th call of the functions it is put in front of."""

    def __init__(self, patch: pytest.MonkeyPatch, wanted: int, code: int):
        self.calls, self.wanted, self.code = 0, wanted, code
        self.called: list[str] = []
        for owner, name in (
            (os, "fsync"),
            (os, "fdopen"),
            (Path, "open"),
            (Path, "chmod"),
            (Path, "replace"),
            (Path, "rename"),
            (Path, "mkdir"),
            (os, "open"),
        ):
            patch.setattr(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.step()
            self.called.append(function.__name__)
            return function(*args, **kwargs)

        return call

    def step(self) -> None:
        self.calls += 1
        if self.calls == self.wanted:
            raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("code", ERRORS)
def test_a_failing_call_leaves_the_old_or_the_new_file_and_nothing_else(tmp_path: Path, code: int):
    failed = 0
    for wanted in range(1, 40):
        target = tmp_path / f"{wanted}" / "weights"
        target.parent.mkdir()
        target.write_bytes(OLD)
        has_failed = False
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, wanted, code)
            try:
                with atomic_write(target) as file:
                    faults.step()
                    file.write(NEW)
                    faults.step()
            except OSError as error:
                assert error.errno == code
                has_failed = True
        failed += has_failed
        is_moved = not has_failed or "replace" in faults.called
        assert target.read_bytes() == (NEW if is_moved else OLD)
        assert leftovers(target.parent) == []
        if not has_failed:
            break
    assert failed >= 9


@pytest.mark.parametrize("code", ERRORS)
def test_a_failing_call_leaves_a_whole_folder_and_nothing_else(tmp_path: Path, code: int):
    failed = 0
    for wanted in range(1, 60):
        target = tmp_path / f"{wanted}" / "model"
        make_folder(target, OLD)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, wanted, code)
            try:
                with atomic_folder(target) as part:
                    faults.step()
                    make_folder(part / "deep", NEW)
            except OSError as error:
                assert error.errno == code
                failed += 1
            else:
                break
        assert folder_content(target) in ({OLD}, {NEW})
        assert leftovers(target.parent) == []
    assert folder_content(target) == {NEW}
    assert failed >= 12


def test_a_body_that_raises_changes_nothing(tmp_path: Path):
    target = tmp_path / "weights"
    target.write_bytes(OLD)
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as file:
        file.write(NEW)
        raise KeyboardInterrupt
    assert target.read_bytes() == OLD
    assert leftovers(tmp_path) == []


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_kept(tmp_path: Path):
    target = tmp_path / "weights"
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    dead_file = tmp_path / f".weights.{child.pid}-abc.part"
    dead_folder = tmp_path / f".weights.{child.pid}-def.part"
    alive = tmp_path / f".weights.{os.getpid()}-ghi.part"
    init = tmp_path / ".weights.1-jkl.part"  # process 1 always lives, and may belong to another
    unrelated = tmp_path / f".weights2.{child.pid}-abc.part"
    named_by_hand = tmp_path / ".weights.mine.part"
    dead_folder.mkdir()
    for path in (dead_file, alive, init, unrelated, named_by_hand):
        path.write_bytes(b"half")
    remove_abandoned(target)
    kept = {alive, init, unrelated, named_by_hand}
    assert set(tmp_path.iterdir()) == kept
    write_bytes(target, NEW)
    assert set(tmp_path.iterdir()) == kept | {target}


def test_a_name_with_pattern_characters_is_only_a_name(tmp_path: Path):
    for name in ("a[1]*?.bin", "線.bin", "with space"):
        write_text(tmp_path / name, "text")
        with atomic_folder(tmp_path / f"{name}.d") as part:
            (part / "x").write_text("x")
        assert (tmp_path / name).read_text() == "text"
    assert leftovers(tmp_path) == []


def test_a_folder_is_readable_by_others_as_other_folders_are(tmp_path: Path):
    with atomic_folder(tmp_path / "model") as part:
        (part / "x").write_text("x")
    write_text(tmp_path / "file", "x")
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_readers_that_recover_a_folder_never_stop_the_one_who_writes_it(tmp_path: Path):
    target = tmp_path / "model"
    make_folder(target, bytes(10))
    stop, failures = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                recover_folder(target)
            except OSError as error:
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 60):
            with atomic_folder(target) as part:
                make_folder(part / "deep", bytes([number]) * 10)
            assert folder_content(target) == {bytes([number]) * 10}
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert failures == []


def test_the_checksum_is_that_of_the_published_examples(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
