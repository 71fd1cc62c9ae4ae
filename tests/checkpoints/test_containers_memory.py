"""A checkpoint is read with at most 1.2 times its size in memory, and opened with next to none."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

MEGABYTES = 200
LAYERS = 10
SHARE = 1.2
OPENING_MEGABYTES = 10

MEASURE = """
import os, sys
from pathlib import Path
import torch
from wordsight.checkpoints.containers import open_weights

def megabytes(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024

def measure(path):
    before = megabytes("VmRSS:")
    weights = open_weights(Path(path))
    opened = megabytes("VmRSS:") - before
    tensors = {name: tensor.read() for name, tensor in weights.tensors.items()}
    size = sum(tensor.nbytes for tensor in tensors.values()) / 2**20
    held, peak = (megabytes(field) - before for field in ("VmRSS:", "VmHWM:"))
    print(size, opened, held, peak, flush=True)

for line in sys.stdin:  # the peak of a new process begins with what it has
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        measure(line.strip())
        os._exit(0)
"""


@pytest.fixture(scope="module")
def measure() -> Iterator[Callable[[Path], list[float]]]:
    """Open a file in a process that has done nothing but import: megabytes, four of them."""
    command = [sys.executable, "-c", MEASURE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None and stdout is not None

        def ask(path: Path) -> list[float]:
            stdin.write(f"{path}\n")
            stdin.flush()
            return [float(word) for word in stdout.readline().split()]

        yield ask
        stdin.close()


def layers() -> dict[str, torch.Tensor]:
    rows = MEGABYTES * 2**20 // LAYERS // 4096 // 4
    generator = torch.Generator().manual_seed(0)
    return {f"layer{i}": torch.rand(rows, 4096, generator=generator) for i in range(LAYERS)}


def torchscript(path: Path) -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, tensor in layers().items():
                self.register_buffer(name, tensor)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Layers()).save(str(path))


def training_checkpoint(path: Path) -> None:
    """The averages of the optimiser are not read at all."""
    averages = {name: tensor + 1 for name, tensor in layers().items()}
    torch.save({"state_dict": layers(), "optimizer": {"state": averages}}, path)


def numpy_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in layers().items()})


WRITERS: dict[str, Callable[[Path], None]] = {
    "safetensors": lambda path: safetensors.torch.save_file(layers(), path),
    "torch.save": lambda path: torch.save(layers(), path),
    "torch.save before 1.6": lambda path: torch.save(
        layers(), path, _use_new_zipfile_serialization=False
    ),
    "training checkpoint": training_checkpoint,
    "TorchScript": torchscript,
    "numpy.savez": numpy_archive,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_reading_all_tensors_takes_at_most_their_size_and_a_fifth(
    tmp_path: Path, kind: str, measure: Callable[[Path], list[float]]
):
    path = tmp_path / "weights"
    try:
        WRITERS[kind](path)
        size, opened, held, peak = measure(path)
    finally:
        path.unlink(missing_ok=True)
    assert size == pytest.approx(MEGABYTES, rel=0.01)
    assert held > 0.95 * size, "the measure does not see what is read"
    assert opened < OPENING_MEGABYTES
    assert peak < SHARE * size
