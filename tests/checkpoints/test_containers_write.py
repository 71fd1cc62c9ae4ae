"""Safetensors files that we write are those that the safetensors library writes."""

from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tally import COUNT
from wordsight.checkpoints.safetensors_file import read_safetensors, write_safetensors
from wordsight.checkpoints.tensors import LazyTensor, in_memory
from wordsight.errors import CheckpointError

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8),
]
SHAPES = st.lists(st.integers(0, 4), max_size=4)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def pattern(shape: list[int], dtype: torch.dtype) -> Tensor:
    count = int(torch.Size(shape).numel())
    return (
        torch.arange(1, count + 1)
        .remainder(2 if dtype is torch.bool else 120)
        .to(dtype)
        .view(shape)
    )


def lazy(tensors: dict[str, Tensor]) -> dict[str, LazyTensor]:
    return {name: in_memory(tensor) for name, tensor in tensors.items()}


@settings(deadline=None, max_examples=80)
@given(
    st.dictionaries(NAMES, st.tuples(SHAPES, st.sampled_from(DTYPES)), max_size=12),
    st.none() | st.just({"format": "pt"}) | st.dictionaries(NAMES, NAMES, min_size=1, max_size=1),
)
def test_a_file_is_byte_for_byte_that_of_the_library(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Any], metadata: dict[str, str] | None
):
    drawn.pop("__metadata__", None)
    tensors = {name: pattern(shape, dtype) for name, (shape, dtype) in drawn.items()}
    folder = tmp_path_factory.mktemp("written")
    write_safetensors(folder / "ours", lazy(tensors), metadata)
    safetensors.torch.save_file(tensors, folder / "theirs", metadata)
    assert (folder / "ours").read_bytes() == (folder / "theirs").read_bytes()
    back = safetensors.torch.load_file(folder / "ours")
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    assert set(back) == set(tensors)
    COUNT["safetensors files equal to the library's"] += 1


def test_views_and_parameters_are_written_as_their_numbers(tmp_path: Path):
    base = torch.arange(24.0).view(4, 6)
    tensors = {
        "turned": base.mT,
        "steps": base[::2, ::3],
        "one": torch.arange(4.0)[::4],
        "parameter": torch.nn.Parameter(base),
        "repeated": base[:1].expand(3, 6),
        "no rows": base[4:, ::2],
    }
    write_safetensors(tmp_path / "a", lazy(tensors), {"format": "pt"})
    back = safetensors.torch.load_file(tmp_path / "a")
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    with safetensors.safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_file_can_be_written_over_itself(tmp_path: Path):
    path = tmp_path / "a"
    safetensors.torch.save_file({"a": torch.arange(5), "b": torch.ones(2)}, path)
    before = path.read_bytes()
    write_safetensors(path, read_safetensors(path).tensors)
    assert path.read_bytes() == before


def test_if_a_tensor_cannot_be_read_the_old_file_stays(tmp_path: Path):
    def read() -> Tensor:
        raise CheckpointError("damaged")

    path = tmp_path / "a"
    path.write_text("old")
    broken = LazyTensor((2,), torch.float32, read)
    with pytest.raises(CheckpointError, match="damaged"):
        write_safetensors(path, {"a": in_memory(torch.ones(3)), "b": broken})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_a_type_that_the_format_does_not_have_is_refused(tmp_path: Path, dtype: torch.dtype):
    tensor = torch.zeros(2).to(dtype)
    with pytest.raises(CheckpointError, match=r"'scale' of type torch\."):
        write_safetensors(tmp_path / "a", {"scale": in_memory(tensor)})
    assert list(tmp_path.iterdir()) == []


def test_a_tensor_in_the_place_of_the_metadata_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="'__metadata__'"):
        write_safetensors(tmp_path / "a", {"__metadata__": in_memory(torch.zeros(2))})
