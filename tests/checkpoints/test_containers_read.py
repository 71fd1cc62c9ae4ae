"""Files that the foreign libraries write are read back bit for bit."""

import json
import os
import warnings
import zipfile
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tally import COUNT
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.tensors import LazyTensor, WeightFile
from wordsight.errors import CheckpointError

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]
NEW_DTYPES = [torch.uint16, torch.uint32, torch.uint64]
"""Types without a storage of their own: torch.save writes them in another way."""


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Every pattern of bits that a type has, NaNs included."""
    generator = torch.Generator().manual_seed(seed)
    if dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    count = int(np.prod(shape)) * dtype.itemsize
    raw = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).view(shape)


def bits(tensor: Tensor) -> bytes:
    dense = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
    return dense.reshape(-1).view(torch.uint8).numpy().tobytes()


def check_same(found: WeightFile, expected: Mapping[str, Tensor]) -> None:
    assert set(found.tensors) == set(expected)
    for name, tensor in expected.items():
        check_tensor(found.tensors[name], tensor)
    COUNT["foreign tensors read bit for bit"] += len(expected)


def check_tensor(lazy: LazyTensor, expected: Tensor) -> None:
    assert (lazy.shape, lazy.dtype) == (tuple(expected.shape), expected.dtype)
    first, second = lazy.read(), lazy.read()
    assert (tuple(first.shape), first.dtype) == (lazy.shape, lazy.dtype)
    assert first.is_contiguous()
    assert bits(first) == bits(expected) == bits(second)
    assert first.numel() == 0 or first.data_ptr() != second.data_ptr()


def every_kind() -> dict[str, Tensor]:
    tensors = {str(dtype): numbers((3, 5), dtype) for dtype in DTYPES}
    return tensors | {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}


# --- torch.save ------------------------------------------------------------------------------


SAVINGS: dict[str, dict[str, Any]] = {
    "zip": {},
    "zip, protocol 3": {"pickle_protocol": 3},
    "zip, protocol 4": {"pickle_protocol": 4},
    "zip, protocol 5": {"pickle_protocol": 5},
    "before 1.6": {"_use_new_zipfile_serialization": False},
    "before 1.6, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


@pytest.fixture(params=SAVINGS)
def save(request: pytest.FixtureRequest) -> Callable[[Any, Path], None]:
    options = SAVINGS[request.param]
    return lambda value, path: torch.save(value, path, **options)


Save = Callable[[Any, Path], None]


def test_all_types_of_numbers_come_back(tmp_path: Path, save: Save):
    path = tmp_path / "weights.pt"
    save(every_kind(), path)
    found = open_weights(path)
    assert found.container == "torch"
    check_same(found, every_kind())


def test_types_without_a_storage_of_their_own_come_back(tmp_path: Path):
    path = tmp_path / "weights.pt"
    tensors = {str(dtype): numbers((7, 2), dtype)[1:4] for dtype in NEW_DTYPES}
    tensors["float8"] = numbers((4, 4), torch.uint8).view(torch.float8_e4m3fn)
    torch.save(tensors, path)
    check_same(open_weights(path), tensors)


def test_views_of_one_storage_come_back(tmp_path: Path, save: Save):
    base = numbers((6, 8), torch.float32)
    tensors = {
        "all": base,
        "rows": base[2:4],
        "columns": base[:, 3:5],
        "steps": base[::2, 1::3],
        "turned": base.mT,
        "one": base[4, 7],
        "diagonal": base.diagonal(),
        "tied": base,
        "no rows": base[6:],
        "repeated": base[:1, :1].expand(3, 2),
        "as a parameter": nn.Parameter(base[1:]),
    }
    save(tensors, tmp_path / "views.pt")
    check_same(open_weights(tmp_path / "views.pt"), tensors)


def test_a_state_dict_of_a_module_comes_back(tmp_path: Path, save: Save):
    module = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.MultiheadAttention(4, 2))
    tied = nn.ModuleDict({"a": module, "b": module}).half()
    save(tied.state_dict(), tmp_path / "module.bin")
    check_same(open_weights(tmp_path / "module.bin"), tied.state_dict())


def test_without_checksums_in_the_archive_it_is_read(tmp_path: Path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(every_kind(), tmp_path / "weights.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    check_same(open_weights(tmp_path / "weights.pt"), every_kind())


@pytest.mark.parametrize("name", ["モデル.pt", "a b.pt", "weights", "x" * 100])
def test_the_folder_in_the_archive_may_have_any_name(tmp_path: Path, name: str):
    torch.save({"a": torch.arange(4)}, tmp_path / name)
    check_same(open_weights(tmp_path / name), {"a": torch.arange(4)})


def trained(model: nn.Module) -> dict[str, Any]:
    """What training scripts save, with all the odd things in it."""
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    schedule.step()
    generator = np.random.default_rng(0)
    generator.standard_normal(3)
    return {
        "epoch": 3,
        "name": "run",
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "scaler": torch.amp.GradScaler("cpu", enabled=False).state_dict(),
        "args": Namespace(lr=1e-3, logs=Path("/logs"), names=["a"], seed=None, device="cpu"),
        "best": np.float64(0.5),
        "curve": np.arange(5.0),
        "random": generator.bit_generator.state,
        "torch_random": torch.get_rng_state(),
        "numpy_random": np.random.RandomState(0).get_state(),
        "counts": Counter("aab"),
        "groups": defaultdict(list, a=[1]),
        "seen": {1, 2},
        "frozen": frozenset({3}),
        "bytes": b"\0\xff",
        "complex": 1 + 2j,
        "shape": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "range": range(3),
        "large": 1 << 200,
        "negative": -(1 << 40),
        "samples_seen": 12_800_000_000,
    }


@pytest.mark.parametrize("place", ["state_dict", "model", "model_state_dict"])
def test_the_weights_of_a_training_checkpoint_are_taken(tmp_path: Path, save: Save, place: str):
    model = nn.Linear(4, 3)
    checkpoint = trained(model)
    averaged = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    save({**checkpoint, place: model.state_dict(), "ema": averaged}, tmp_path / "epoch_3.pt")
    check_same(open_weights(tmp_path / "epoch_3.pt"), model.state_dict())


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_what_training_puts_before_every_name_is_taken_off(tmp_path: Path, prefix: str):
    tensors = {"a.weight": torch.arange(3), "module.b": torch.arange(2)}
    named = {prefix + name: tensor for name, tensor in tensors.items()}
    torch.save({"state_dict": named}, tmp_path / "a.pt")
    check_same(open_weights(tmp_path / "a.pt"), tensors)
    safetensors.torch.save_file(named, tmp_path / "a.safetensors")
    check_same(open_weights(tmp_path / "a.safetensors"), tensors)


def test_a_prefix_that_only_some_names_have_stays(tmp_path: Path):
    tensors = {"module.a": torch.arange(3), "b": torch.arange(2)}
    torch.save(tensors, tmp_path / "a.pt")
    check_same(open_weights(tmp_path / "a.pt"), tensors)


def test_an_ordered_dict_of_python_2_is_read(tmp_path: Path):
    # OrderedDict(([["w", 5]],)) and a name as bytes, in protocol 2, as cPickle wrote them
    from wordsight.checkpoints.pickles import read_pickle

    raw = b"\x80\x02ccollections\nOrderedDict\nq\x01]q\x02]q\x03(U\x01wq\x04K\x05ea\x85q\x05Rq\x06."
    path = tmp_path / "old"
    path.write_bytes(raw)
    with path.open("rb") as file:
        assert read_pickle(file, path).root == {"w": 5}


STRIDED = st.tuples(
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 4), max_size=4),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=4, max_size=4),
    st.permutations(range(4)),
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(max_size=8), STRIDED, min_size=1, max_size=4), st.booleans())
def test_any_view_comes_back_as_torch_load_gives_it(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Any], is_new: bool
):
    tensors: dict[str, Tensor] = {}
    for name, (dtype, shape, slices, order) in drawn.items():
        base = numbers(tuple(shape), dtype, seed=len(name))
        for axis, (start, step) in enumerate(slices[: base.ndim]):
            base = base[(slice(None),) * axis + (slice(start, None, step),)]
        tensors[name] = base.permute([axis for axis in order if axis < base.ndim])
    path = tmp_path_factory.mktemp("views") / "a.pt"
    torch.save({"model": tensors}, path, _use_new_zipfile_serialization=is_new)
    expected: dict[str, Tensor] = torch.load(path, weights_only=True)["model"]
    if all(name.startswith("module.") for name in tensors):
        return
    check_same(open_weights(path), expected)
    path.unlink()


# --- TorchScript -----------------------------------------------------------------------------


class Block(nn.Module):
    """A mask that is an attribute and no weight, as in OpenAI's text tower."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2)
        self.ln = nn.LayerNorm(8)
        self.mask = torch.ones(3, 3).triu()

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(self.ln(x), x, x)[0] + self.mask.sum().to(x.dtype)


class Scripted(nn.Module):
    """The parts of OpenAI's archives: two precisions, numbers as tensors, a tied layer."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 4, 2, bias=False), nn.BatchNorm2d(4))
        self.block = Block()
        self.tied = self.block.ln
        self.logit_scale = nn.Parameter(torch.tensor(4.6))
        self.half()
        self.tied.float()
        for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 9)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        return self.visual(x)


def script(module: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch no longer likes TorchScript; the files remain
        return torch.jit.script(module)


def trace(module: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module.eval(), torch.zeros(1, 3, 4, 4).half())


@pytest.mark.parametrize("make", [script, trace])
def test_a_torchscript_archive_gives_its_state_dict(
    tmp_path: Path, make: Callable[[nn.Module], Any]
):
    path = tmp_path / "ViT.pt"
    module = make(Scripted())
    module.save(str(path))
    found = open_weights(path)
    assert found.container == "torchscript"
    check_same(found, module.state_dict())
    assert list(found.tensors) == list(module.state_dict())
    assert found.tensors["block.attn.in_proj_weight"].dtype is torch.float16
    assert found.tensors["tied.weight"].dtype is torch.float32
    assert int(found.tensors["input_resolution"].read()) == 224
    assert "block.mask" not in found.tensors


# --- safetensors, numpy ----------------------------------------------------------------------


def test_a_file_of_the_safetensors_library_comes_back(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    tensors = every_kind() | {str(dtype): numbers((2, 3), dtype) for dtype in NEW_DTYPES}
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    found = open_weights(path)
    assert found.container == "safetensors"
    check_same(found, tensors)


def test_a_header_of_any_length_is_known_as_safetensors(tmp_path: Path):
    path = tmp_path / "weights"
    header = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    for padding in [*range(300), 0x4B50 - len(header), 0x5A4D - len(header), 0x0280 - len(header)]:
        text = header + b" " * padding
        path.write_bytes(len(text).to_bytes(8, "little") + text + b"\1\2")
        check_same(open_weights(path), {"a": torch.tensor([1, 2], dtype=torch.uint8)})


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_archive_of_numpy_comes_back(tmp_path: Path, write: Callable[..., None]):
    path = tmp_path / "siglip.npz"
    tensors = {f"params/{name}": tensor for name, tensor in every_kind().items()}
    del tensors["params/torch.bfloat16"]
    tensors |= {str(dtype): numbers((2, 3), dtype) for dtype in NEW_DTYPES}
    tensors["large"] = numbers((300, 1000), torch.float32)
    write(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    found = open_weights(path)
    assert found.container == "numpy"
    check_same(found, tensors)


def test_numpy_arrays_in_other_orders_come_back(tmp_path: Path):
    base = numbers((4, 3, 5), torch.float32).nan_to_num().numpy()
    np.savez(
        tmp_path / "a.npz",
        fortran=np.asfortranarray(base),
        swapped=base.astype(">f4"),
        both=np.asfortranarray(base.astype(">f8")),
        small=np.arange(5, dtype=">i2"),
    )
    expected = {
        "fortran": torch.tensor(base),
        "swapped": torch.tensor(base),
        "both": torch.tensor(base.astype(np.float64)),
        "small": torch.arange(5, dtype=torch.int16),
    }
    check_same(open_weights(tmp_path / "a.npz"), expected)


def test_two_bytes_of_anything_in_numpy_are_bfloat16(tmp_path: Path):
    tensor = numbers((4, 6), torch.bfloat16)
    np.savez(tmp_path / "a.npz", a=tensor.view(torch.uint8).numpy().view("V2"))
    check_same(open_weights(tmp_path / "a.npz"), {"a": tensor})


NUMPY_TYPES = ["f2", "<f4", ">f4", "f8", "i1", "<i2", ">i4", "i8", "u1", "<u2", ">u8", "?"]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(NUMPY_TYPES),
    st.lists(st.integers(0, 5), max_size=5),
    st.booleans(),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_any_array_comes_back_as_numpy_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    shape: list[int],
    is_fortran: bool,
    version: tuple[int, int],
):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(kind)
    array = np.asfortranarray(array) if is_fortran else array
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array(file, array, version=version)
    native = array.astype(array.dtype.newbyteorder("="))
    check_same(open_weights(path), {"x": torch.from_numpy(native.copy())})
    path.unlink()


# --- shards ----------------------------------------------------------------------------------


def write_shards(folder: Path, ending: str) -> tuple[Path, dict[str, Tensor]]:
    tensors = {f"layer.{i}": numbers((3, i), torch.float32, seed=i) for i in range(6)}
    places: dict[str, str] = {}
    for shard in range(3):
        name = f"model-{shard + 1:05}-of-00003.{ending}"
        part = {f"layer.{i}": tensors[f"layer.{i}"] for i in (shard, shard + 3)}
        if ending == "safetensors":
            safetensors.torch.save_file(part, folder / name)
        else:
            torch.save(part, folder / name)
        places |= dict.fromkeys(part, name)
    index = folder / f"model.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 180}, "weight_map": places}, indent=2))
    return index, tensors


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards_are_one_model(tmp_path: Path, ending: str):
    index, tensors = write_shards(tmp_path, ending)
    found = open_weights(index)
    assert found.path == index
    assert found.container == {"safetensors": "safetensors", "bin": "torch"}[ending]
    check_same(found, tensors)


def change_index(index: Path, **changes: str | None) -> None:
    content = json.loads(index.read_text())
    for name, place in changes.items():
        content["weight_map"][name.replace("_", ".")] = place
    index.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("layer_9", "model-00001-of-00003.safetensors", r"00001.*'layer\.9' is missing"),
        ("layer_0", "model-00002-of-00003.safetensors", r"00001.*'layer\.0', unlike"),
        ("layer_0", "model-00009-of-00003.safetensors", r"no such file|unlike"),
        ("layer_0", "../model.safetensors", "not the name of a file beside it"),
        ("layer_0", "/etc/passwd", "not the name of a file beside it"),
        ("layer_0", "..", "not the name"),
        ("layer_0", ".", "not the name"),
        ("layer_0", "a\0b", "no such file"),
        ("layer_0", "", "not the name"),
        ("layer_0", None, "not the name"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(
    tmp_path: Path, name: str, place: str | None, message: str
):
    index, _ = write_shards(tmp_path, "safetensors")
    change_index(index, **{name: place})
    with pytest.raises(CheckpointError, match=message) as caught:
        open_weights(index)
    assert str(tmp_path) in str(caught.value)


# --- what is no checkpoint -------------------------------------------------------------------


FOREIGN: dict[str, tuple[bytes, str]] = {
    "Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "pointer of Git LFS",
    ),
    "web page": (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
    "old web page": (b"<HTML><body>Sign in</body></HTML>", "a web page"),
    "XML": (b"<?xml version='1.0'?><Error/>", "XML"),
    "nothing": (b"", "is empty"),
    "text": (b"Not Found", "'Not Found'"),
    "JSON": (b'{"error": "gated repo"}', "text without weights"),
    "broken JSON": (b'{"weight_map": {', "text without weights"),
    "list of shards": (b'{"weight_map": ["a"]}', "text without weights"),
    "gzip": (b"\x1f\x8b\x08\0\0", "gzip"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\0\0\0", "HDF5"),
    "GGUF": (b"GGUF\3\0\0\0", "GGUF"),
    "zeros": (bytes(500), "not a checkpoint of a known kind"),
    "one byte": (b"\x80", "damaged pickle"),
    "zip of nothing": (b"PK\5\6" + bytes(18), "neither torch nor numpy"),
    "begin of a zip": (b"PK\3\4" + bytes(100), "cut short"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_no_checkpoint_is_named_for_what_it_is(tmp_path: Path, name: str):
    content, message = FOREIGN[name]
    path = tmp_path / "open_clip_model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_weights(path)
    assert str(path) in str(caught.value)


def test_a_folder_a_missing_file_and_a_pipe_are_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "none", "there is no such file"),
        (tmp_path / "pipe", "not an ordinary file"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_weights(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "nothing"),
        ({"epoch": 3}, "'epoch'"),
        ({"state_dict": {}}, "no weights found"),
        ([torch.zeros(2)], "a list"),
        (torch.zeros(2), "TensorView|tensor"),
        ({"a": torch.zeros(2), "b": 3.5}, "'b' is a float"),
        ({"a": torch.zeros(2), 3: torch.zeros(2)}, "name of a layer"),
    ],
)
def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path: Path, value: Any, message: str):
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        open_weights(tmp_path / "a.pt")


def test_a_whole_module_is_refused_with_its_class_and_what_to_do(tmp_path: Path):
    torch.save(nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear") as caught:
        open_weights(tmp_path / "a.pt")
    assert "state_dict()" in caught.value.hint


def test_numpy_objects_and_single_arrays_are_refused(tmp_path: Path):
    np.save(tmp_path / "dict.npy", np.array({"a": np.zeros(2)}, object), allow_pickle=True)
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", a=np.zeros(2), b=np.array([{}, {}], object))
    np.savez(tmp_path / "records.npz", a=np.zeros(2, [("x", "f4"), ("y", "i4")]))
    np.savez(tmp_path / "complex.npz", a=np.zeros(2, complex))
    for name, message in (
        ("dict.npy", "pickled Python objects"),
        ("one.npy", "one array without a name"),
        ("objects.npz", r"b\.npy.*pickled Python objects"),
        ("records.npz", "records"),
        ("complex.npz", "c16"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            open_weights(tmp_path / name)
        assert "numpy.savez" in caught.value.hint


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"a": torch.arange(4)}, path)
    tensor = open_weights(path).tensors["a"]
    safetensors.torch.save_file({"a": torch.arange(4, 8)}, tmp_path / "b.safetensors")
    (tmp_path / "b.safetensors").replace(path)
    with pytest.raises(CheckpointError, match="was changed while"):
        tensor.read()
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        tensor.read()
