"""Promise 5: opening a foreign checkpoint never runs code, and what is wrong with it is named.

Two witnesses: a canary, a file that the attack would create; and Python's own audit events, which
report every import by a pickle, every program started and every file opened for writing.
"""

import os
import pickle
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hostile_files
import pytest
import torch
from hostile_files import ARCHIVES, FLAT, LIVE, PICKLES, Hostile

from tally import COUNT
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.safetensors_file import read_safetensors
from wordsight.errors import CheckpointError

MAX_SECONDS = 8
"""Of the processor; the worst takes three."""
MAX_KILOBYTES = 400_000
MUTATIONS = 600
"""Of each kind of file."""
RUNS_SOMETHING = {
    *("compile", "exec", "code.__new__", "marshal.loads", "pickle.find_class"),
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"),
    *("subprocess.Popen", "ctypes.dlopen", "socket.connect", "shutil.rmtree", "os.remove"),
    *("os.rename", "os.mkdir", "os.symlink", "os.chmod"),
}


class Witness:
    """Remembers the audit events that no reading causes, while it is watching."""

    def __init__(self) -> None:
        self.is_watching = False
        self.events: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_watching:
            return
        is_writing = event == "open" and int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR)
        if is_writing or event in RUNS_SOMETHING:
            self.events.append(f"{event} {arguments}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.events.clear()
        self.is_watching = True
        try:
            yield
        finally:
            self.is_watching = False
        assert self.events == []


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Witness:
    """One for all tests: a hook can never be taken away again."""
    folder = tmp_path_factory.mktemp("valid")
    for content in hostile_files.valid_files().values():
        (folder / "shard").write_bytes(hostile_files.GOOD_ZIP)
        read_all(write(folder, content))  # whatever is imported late is imported now
    found = Witness()
    sys.addaudithook(found)
    return found


def write(folder: Path, content: bytes) -> Path:
    path = folder / "weights"
    path.write_bytes(content)
    return path


def read_all(path: Path) -> int:
    return sum(tensor.read().numel() for tensor in open_weights(path).tensors.values())


def test_the_witness_sees_what_an_attack_does(witness: Witness, tmp_path: Path):
    canary = tmp_path / "canary"
    with pytest.raises(AssertionError, match=r"pickle\.find_class"), witness.watching():
        pickle.loads(hostile_files.whole(LIVE["eval"](canary)))
    with pytest.raises(AssertionError, match=r"open"), witness.watching():
        canary.write_text("")


def test_the_attacks_are_live(tmp_path: Path):
    """Python's own unpickler falls for every one of them."""
    program = (
        "import pathlib, pickle, sys, torch\n"
        "for name in sys.argv[1:]:\n"
        "    try: pickle.loads(pathlib.Path(name).read_bytes())\n"
        "    except Exception: pass\n"
    )
    paths = [tmp_path / f"{number}" for number in range(len(LIVE))]
    for path, attack in zip(paths, LIVE.values(), strict=True):
        path.write_bytes(hostile_files.whole(attack(path.with_suffix(".canary"))))
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, paths)]
    subprocess.run(command, check=True, capture_output=True)
    made = {name for name, path in zip(LIVE, paths, strict=True) if canary_of(path).exists()}
    assert made == set(LIVE)


def canary_of(path: Path) -> Path:
    return path.with_suffix(".canary")


def check_refused(witness: Witness, folder: Path, hostile: Callable[[Path], bytes]) -> str:
    """Open what should not be opened, and return what is said about it."""
    COUNT["hostile checkpoints"] += 1
    canary = folder / "canary"
    path = write(folder, hostile(canary))
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with pytest.raises(CheckpointError) as caught, witness.watching():
        read_all(path)
    assert time.process_time() - begun < MAX_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kilobytes < MAX_KILOBYTES
    assert not canary.exists()
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 3000
    return str(caught.value)


def in_zip(attack: Hostile, canary: Path) -> bytes:
    program = hostile_files.whole(hostile_files.state_dict_with(attack(canary)))
    return hostile_files.torch_zip(program)


def in_legacy(attack: Hostile, canary: Path) -> bytes:
    program = hostile_files.whole(hostile_files.state_dict_with(attack(canary)))
    return hostile_files.torch_legacy(program)


def in_torchscript(attack: Hostile, canary: Path) -> bytes:
    program = hostile_files.module(hostile_files.text("w") + attack(canary))
    return hostile_files.torchscript_zip(hostile_files.whole(program), hostile_files.code(canary))


def in_optimizer(attack: Hostile, canary: Path) -> bytes:
    """Beside weights that nothing is wrong with, where nobody looks."""
    weights = hostile_files.state_dict_with(hostile_files.tensor(hostile_files.four()))
    key = hostile_files.text
    program = b"}(" + key("state_dict") + weights + key("optimizer") + attack(canary) + b"u"
    return hostile_files.torch_zip(hostile_files.whole(program))


@pytest.mark.parametrize("place", [in_zip, in_legacy, in_torchscript])
@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_is_refused(
    witness: Witness, tmp_path: Path, name: str, place: Callable[[Hostile, Path], bytes]
):
    check_refused(witness, tmp_path, lambda canary: place(PICKLES[name], canary))


@pytest.mark.parametrize("name", LIVE)
def test_code_beside_the_weights_is_refused_by_name_and_never_run(
    witness: Witness, tmp_path: Path, name: str
):
    said = check_refused(witness, tmp_path, lambda canary: in_optimizer(LIVE[name], canary))
    assert "code and not weights" in said


def test_the_class_that_a_file_asks_for_is_named(witness: Witness, tmp_path: Path):
    said = check_refused(witness, tmp_path, lambda canary: in_zip(LIVE["os.system"], canary))
    assert "'os.system'" in said


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_is_refused(witness: Witness, tmp_path: Path, name: str):
    check_refused(witness, tmp_path, ARCHIVES[name])


@pytest.mark.parametrize("name", FLAT)
def test_a_hostile_header_is_refused(witness: Witness, tmp_path: Path, name: str):
    check_refused(witness, tmp_path, FLAT[name])


def test_every_pickle_under_the_name_of_safetensors_is_refused_there_too(tmp_path: Path):
    for attack in LIVE.values():
        path = write(tmp_path, in_zip(attack, tmp_path / "canary"))
        with pytest.raises(CheckpointError, match="safetensors"):
            read_safetensors(path)
    assert not (tmp_path / "canary").exists()


def test_an_extension_number_that_python_knows_means_nothing_here(witness: Witness, tmp_path: Path):
    import copyreg

    copyreg.add_extension("os", "system", 1)
    try:
        check_refused(witness, tmp_path, lambda c: in_zip(PICKLES["extension number"], c))
    finally:
        copyreg.remove_extension("os", "system", 1)


def test_names_of_members_and_layers_are_only_names(witness: Witness, tmp_path: Path):
    """Nothing is unpacked: neither paths out of the folder nor links have any effect."""
    content = hostile_files.torch_zip(
        hostile_files.GOOD,
        **{
            "../../canary": b"x",
            "/canary": b"x",
            str(tmp_path / "canary"): b"x",
            "archive/..": b"",
        },
    )
    path = write(tmp_path, content)
    with witness.watching():
        assert read_all(path) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]
    name = repr(pickle.dumps({"a": 1})) + "__import__('os').system('touch canary')"
    path = write(
        tmp_path, hostile_files.safetensors_file({name: hostile_files.entry([1], 0, 4)}, bytes(4))
    )
    with witness.watching():
        assert list(open_weights(path).tensors) == [name]


def test_states_of_inert_objects_are_kept_and_do_nothing(witness: Witness, tmp_path: Path):
    """Attributes that Python would obey, on an object beside the weights."""
    h = hostile_files
    names = ("__class__", "__dict__", "__setstate__", "__reduce__", "__del__", "__getattr__")
    state = b"}(" + b"".join(h.text(name) + h.touch(tmp_path / "canary") for name in names) + b"u"
    program = (
        *(b"}(", h.text("args"), h.named("argparse", "Namespace"), b")\x81", state, b"b"),
        *(h.text("order"), h.named("collections", "OrderedDict"), b")R", state, b"b"),
        *(h.text("state_dict"), h.state_dict_with(h.tensor(h.four())), b"u"),
    )
    path = write(tmp_path, h.torch_zip(h.whole(b"".join(program))))
    with witness.watching():
        assert read_all(path) == 4
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("kind", hostile_files.valid_files())
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, kind: str):
    content = hostile_files.valid_files()[kind]
    (tmp_path / "shard").write_bytes(hostile_files.GOOD_ZIP)
    for length in {*range(0, len(content), len(content) // 300 + 1), len(content) - 1}:
        COUNT["truncated checkpoints"] += 1
        path = write(tmp_path, content[:length])
        with pytest.raises(CheckpointError):
            read_all(path)


def mutated(content: bytes, seed: int) -> bytes:
    """One to four changes: bits, bytes, numbers that matter, parts moved, doubled or taken out."""
    rng = random.Random(seed)
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(changed)), rng.choice([1, 1, 2, 4, 8, 30])
        special = rng.choice([b"\xff", b"\0", b"\x7f\xff", b"\x80", b"\1\0\0\0", b"9", b"-1", b"."])
        match rng.randrange(7):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                changed[place] = rng.randrange(256)
            case 2:
                changed[place : place + length] = rng.randbytes(length)
            case 3:
                changed[place : place + length] = special * length
            case 4:
                del changed[place : place + length]
            case 5:
                changed[place:place] = changed[place : place + length]
            case _:
                other = rng.randrange(len(changed))
                changed[place : place + length] = changed[other : other + length]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


@pytest.mark.parametrize("kind", hostile_files.valid_files())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    witness: Witness, tmp_path: Path, kind: str
):
    content = hostile_files.valid_files()[kind]
    (tmp_path / "shard").write_bytes(hostile_files.GOOD_ZIP)
    outcomes = {"read": 0, "refused": 0}
    for seed in range(MUTATIONS):
        COUNT["mutated checkpoints"] += 1
        path = write(tmp_path, mutated(content, seed))
        with witness.watching():
            try:
                read_all(path)
                outcomes["read"] += 1
            except CheckpointError as error:
                str(error).encode()
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


def test_a_flipped_bit_in_the_numbers_of_an_archive_is_noticed(tmp_path: Path):
    path = tmp_path / "weights"
    torch.save({"a": torch.arange(100.0), "b": torch.arange(50.0).half()}, path)
    content = path.read_bytes()
    begin = content.index(torch.arange(100.0).numpy().tobytes())
    for bit in range(0, 400 * 8, 37):
        changed = bytearray(content)
        changed[begin + bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match="checksum"):
            read_all(path)
