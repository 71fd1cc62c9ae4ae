"""Promise 5: opening a foreign model never runs code, and what is wrong with it is named.

Every bundle here passes its own checksums: an attacker can compute those too.
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import worlds
from tally import COUNT
from wordsight import load
from wordsight.bundle.onnx_file import check_onnx
from wordsight.errors import BundleError, WordsightError
from wordsight.transfer import class_vectors

Attack = Callable[[Path, Path], None]
"""Changes a bundle (first) so that it would create the canary file (second)."""


def use(folder: Path, engine: str) -> None:
    """Do with a model what people do."""
    model = load(folder, engine=engine)
    model.encode_image([Image.new("RGB", (40, 40), "red")])
    class_vectors(model, ["cat", "dog"])


class Bomb:
    """Creates the canary when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> Any:
        return open, (str(self.canary), "w")


def test_the_bomb_is_live(tmp_path: Path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "canary"))).close()
    assert (tmp_path / "canary").exists()


# --- model.safetensors -----------------------------------------------------------------------


def safetensors_file(header: object, body: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: list[Any], start: Any, end: Any, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def torch_save(canary: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"image.head.linear.weight": Bomb(canary)}, buffer)
    return buffer.getvalue()


def zip_file(canary: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(canary)))
        archive.writestr("archive/code/__torch__.py", f"open({str(canary)!r}, 'w')")
    return buffer.getvalue()


WEIGHTS: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda canary: pickle.dumps(Bomb(canary)),
    "torch.save": torch_save,
    "zip": zip_file,
    "empty": lambda _: b"",
    "seven bytes": lambda _: b"\0" * 7,
    "no header": lambda _: safetensors_file(b""),
    "101 MB header": lambda _: safetensors_file(b" " * 64, length=101_000_000),
    "header of 2^63 bytes": lambda _: safetensors_file(b"{}", length=1 << 63),
    "list as header": lambda _: safetensors_file([]),
    "number as entry": lambda _: safetensors_file({"a": 5}),
    "deep header": lambda _: safetensors_file(b"[" * 100_000),
    "duplicate names": lambda _: safetensors_file(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "overlap": lambda _: safetensors_file(
        {"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)
    ),
    "gap": lambda _: safetensors_file({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
    "negative offset": lambda _: safetensors_file({"a": entry([2], -4, 4)}, bytes(8)),
    "huge offset": lambda _: safetensors_file({"a": entry([1], 1 << 62, (1 << 62) + 4)}, bytes(4)),
    "offset that is a fraction": lambda _: safetensors_file({"a": entry([1], 0.0, 4.0)}, bytes(4)),
    "shape overflow": lambda _: safetensors_file(
        {"a": entry([1 << 32, 1 << 32, 4], 0, 16)}, bytes(16)
    ),
    "negative shape": lambda _: safetensors_file({"a": entry([-1, -4], 0, 16)}, bytes(16)),
    "shape in text": lambda _: safetensors_file({"a": entry(["4"], 0, 16)}, bytes(16)),
    "unknown type": lambda _: safetensors_file({"a": entry([4], 0, 16, "PICKLE")}, bytes(16)),
    "tail after the tensors": lambda _: safetensors_file({"a": entry([1], 0, 4)}, bytes(4) + b"x"),
    "metadata that is a number": lambda _: safetensors_file({"__metadata__": 3}),
    "no tensors": lambda _: safetensors_file({}),
    "one foreign tensor": lambda _: safetensors_file({"a": entry([1], 0, 4)}, bytes(4)),
    "head of one axis": lambda _: safetensors_file(
        {"image.head.linear.weight": entry([4], 0, 16)}, bytes(16)
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_hostile_weights_are_refused_by_name(bundle_copy: Path, tmp_path: Path, name: str):
    COUNT["hostile bundles"] += 1
    canary = tmp_path / "canary"
    (bundle_copy / "model.safetensors").write_bytes(WEIGHTS[name](canary))
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError) as caught:
        use(bundle_copy, "torch")
    assert str(bundle_copy) in str(caught.value)
    assert not canary.exists()


# --- architecture ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"image": 5, "text": []},
        {"image": {"kind": "os.system"}, "text": {"kind": "bert"}},
        {"image": {"kind": "efficientnet-lite", "image_size": "../../etc"}, "text": {}},
        {"text": {"kind": "bert", "vocab_size": 10**13}},
        {"text": {"kind": "bert", "vocab_size": 10**30}},
        {"text": {"kind": "bert", "vocab_size": -1}},
        {"text": {"kind": "bert", "width": 0}},
        {"text": {"kind": "bert", "width": 33}},
        {"text": {"kind": "bert", "depth": 10**9}},
        {"text": {"kind": "bert", "depth": 2}},
        {"text": {"kind": "bert", "__class__": "x"}},
        {"image": {"kind": "efficientnet-lite", "width_multiplier": 1e300}},
        {"image": {"kind": "efficientnet-lite", "depth_multiplier": 1e9}},
        {"image": {"kind": "efficientnet-lite", "num_classes": 10**14}},
    ],
)
def test_a_hostile_architecture_is_refused_before_memory_is_spent(
    bundle_copy: Path, architecture: dict[str, Any]
):
    COUNT["hostile bundles"] += 1
    path = bundle_copy / "config.json"
    own = json.loads(path.read_text())["architecture"]
    merged = {side: architecture.get(side, own[side]) for side in own} if architecture else {}
    for side, table in architecture.items():
        if isinstance(table, dict) and table.get("kind") == own[side]["kind"]:
            merged[side] = {**own[side], **table}
    worlds.change_config(bundle_copy, architecture=merged)
    with pytest.raises(BundleError) as caught:
        use(bundle_copy, "torch")
    assert str(bundle_copy) in str(caught.value)


# --- graphs ----------------------------------------------------------------------------------


def external(tensor: Any, location: str) -> Any:
    """Say that a tensor's numbers are in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="4")
    return tensor


def small_tensor(name: str = "stolen") -> Any:
    return numpy_helper.from_array(np.zeros(1, np.float32), name)


def in_initializer(model: Any, location: str) -> None:
    external(model.graph.initializer[0], location)


def in_attribute(model: Any, location: str) -> None:
    node = helper.make_node("Constant", [], ["x"], value=external(small_tensor(), location))
    model.graph.node.append(node)


def in_list_of_tensors(model: Any, location: str) -> None:
    node = helper.make_node("Constant", [], ["x"])
    attribute = node.attribute.add(name="values", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(external(small_tensor(), location))
    model.graph.node.append(node)


def subgraph(tensor: Any) -> Any:
    output = helper.make_tensor_value_info("stolen", TensorProto.FLOAT, [1])
    return helper.make_graph([], "inner", [], [output], [tensor])


def in_subgraph(model: Any, location: str) -> None:
    inner = subgraph(external(small_tensor(), location))
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    model.graph.node.append(node)


def in_list_of_graphs(model: Any, location: str) -> None:
    node = helper.make_node("Odd", [], ["y"])
    attribute = node.attribute.add(name="graphs", type=onnx.AttributeProto.GRAPHS)
    attribute.graphs.append(subgraph(external(small_tensor(), location)))
    model.graph.node.append(node)


def in_sparse_values(model: Any, location: str) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external(small_tensor(), location))


def in_sparse_indices(model: Any, location: str) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.indices.CopyFrom(external(small_tensor(), location))


def in_sparse_attribute(model: Any, location: str) -> None:
    node = helper.make_node("Constant", [], ["x"])
    attribute = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.CopyFrom(external(small_tensor(), location))
    model.graph.node.append(node)


def in_function(model: Any, location: str) -> None:
    function = model.functions.add(name="f", domain="d")
    node = helper.make_node("Constant", [], ["x"], value=external(small_tensor(), location))
    function.node.append(node)


def in_function_default(model: Any, location: str) -> None:
    function = model.functions.add(name="f", domain="d")
    attribute = function.attribute_proto.add(name="a", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(external(small_tensor(), location))


def in_training(model: Any, location: str) -> None:
    training = model.training_info.add()
    training.algorithm.CopyFrom(subgraph(external(small_tensor(), location)))


HIDING_PLACES = [
    in_initializer,
    in_attribute,
    in_list_of_tensors,
    in_subgraph,
    in_list_of_graphs,
    in_sparse_values,
    in_sparse_indices,
    in_sparse_attribute,
    in_function,
    in_function_default,
    in_training,
]


@pytest.mark.parametrize("location", ["../../../../etc/passwd", "/etc/passwd", "weights.bin"])
@pytest.mark.parametrize("hide", HIDING_PLACES)
def test_a_graph_that_points_at_other_files_is_refused_wherever_it_does(
    tiny: Path, tmp_path: Path, hide: Callable[[Any, str], None], location: str
):
    COUNT["hostile bundles"] += 1
    model = onnx.load(str(tiny / "tiny" / "image.onnx"))
    hide(model, location)
    path = tmp_path / "image.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=r"image\.onnx: keeps weights in other files"):
        check_onnx(path)


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def nested(depth: int) -> bytes:
    """Graphs in attributes of nodes of graphs, and so on."""
    graph = b""
    for _ in range(depth):
        graph = message(1, message(5, message(6, graph)))
    return message(7, graph)


GRAPHS: dict[str, Callable[[bytes, Path], bytes]] = {
    "empty": lambda _, __: b"",
    "text": lambda _, __: b"<html>404 not found</html>",
    "pickle": lambda _, canary: pickle.dumps(Bomb(canary)),
    "zip": lambda _, canary: zip_file(canary),
    "noise": lambda _, __: np.random.default_rng(0).bytes(5000),
    "zeros": lambda _, __: bytes(5000),
    "first half": lambda good, _: good[: len(good) // 2],
    "last byte missing": lambda good, _: good[:-1],
    "deep": lambda _, __: nested(40),
    "very deep": lambda _, __: nested(5000),
    "graph of a wrong wire type": lambda _, __: varint(7 << 3) + b"\1",
    "field number beyond 32 bits": lambda good, _: varint((1 << 35) | (7 << 3) | 2) + b"\0" + good,
    "endless number": lambda _, __: b"\xff" * 100,
    "length beyond the file": lambda _, __: varint(7 << 3 | 2) + varint(1 << 40) + b"x",
    "graph without anything": lambda _, __: message(7, b""),
}


def change(good: bytes, edit: Callable[[Any], None]) -> bytes:
    model = onnx.ModelProto.FromString(good)
    edit(model)
    return model.SerializeToString()


def foreign_operator(model: Any) -> None:
    model.opset_import.add(domain="evil.corp", version=1)
    model.graph.node[0].domain = "evil.corp"
    model.graph.node[0].op_type = "System"


def drop_embedding(model: Any) -> None:
    kept = [output for output in model.graph.output if output.name != "embedding"]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def unknown_input(model: Any) -> None:
    model.graph.node[0].input[0] = "nowhere"


def cycle(model: Any) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def lying_shape(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def numbers_that_are_none(model: Any) -> None:
    last = next(i for i in model.graph.initializer if i.name.endswith("linear.weight"))
    value = numpy_helper.to_array(last).copy()
    value[:] = np.nan
    last.CopyFrom(numpy_helper.from_array(value, last.name))


EDITS = [
    foreign_operator,
    drop_embedding,
    unknown_input,
    cycle,
    lying_shape,
    numbers_that_are_none,
]
GRAPHS |= {edit.__name__: (lambda good, _, edit=edit: change(good, edit)) for edit in EDITS}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("file", ["image.onnx", "text.onnx"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_hostile_graph_is_refused_by_name(
    bundle_copy: Path, tmp_path: Path, name: str, file: str, engine: str
):
    COUNT["hostile bundles"] += 1
    pytest.importorskip(engine)
    canary = tmp_path / "canary"
    good = (bundle_copy / file).read_bytes()
    (bundle_copy / file).write_bytes(GRAPHS[name](good, canary))
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError) as caught:
        use(bundle_copy, engine)
    assert str(bundle_copy / file) in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_graph_cut_short_anywhere_is_refused_though_its_checksum_fits(
    bundle_copy: Path, engine: str
):
    path = bundle_copy / "image.onnx"
    good = path.read_bytes()
    for share in np.linspace(0.01, 0.99, 15):
        COUNT["hostile bundles"] += 1
        path.write_bytes(good[: int(len(good) * share)])
        worlds.rewrite_sums(bundle_copy)
        with pytest.raises(BundleError, match=r"image\.onnx"):
            use(bundle_copy, engine)


# --- tokenizer, templates, settings ----------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        pickle.dumps({}),
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}',
        b'{"version": "1.0", "model": {"type": "WordPiece", "vocab": "../../etc/passwd"}}',
    ],
)
def test_a_hostile_tokenizer_is_refused_by_name(bundle_copy: Path, content: bytes):
    COUNT["hostile bundles"] += 1
    (bundle_copy / "tokenizer.json").write_bytes(content)
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(WordsightError, match=r"tokenizer\.json"):
        use(bundle_copy, "onnxruntime")


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_ids_that_the_text_tower_does_not_have_are_refused(bundle_copy: Path, engine: str):
    COUNT["hostile bundles"] += 1
    content = json.loads((bundle_copy / "tokenizer.json").read_text())
    content["model"]["vocab"]["cat"] = 10**8
    (bundle_copy / "tokenizer.json").write_text(json.dumps(content))
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError, match=r"text\.onnx|model\.safetensors"):
        use(bundle_copy, engine)


@pytest.mark.parametrize("content", [b"[en", b"\xff", b'[en]\ntemplates = ["no place"]'])
def test_hostile_templates_are_refused_by_name(bundle_copy: Path, content: bytes):
    COUNT["hostile bundles"] += 1
    (bundle_copy / "prompts.toml").write_bytes(content)
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(WordsightError, match=r"prompts\.toml"):
        use(bundle_copy, "onnxruntime")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
@pytest.mark.parametrize("width", [8, 17, 10**6])
def test_a_width_that_is_a_lie_is_named(bundle_copy: Path, width: int, engine: str):
    COUNT["hostile bundles"] += 1
    pytest.importorskip(engine)
    worlds.change_config(bundle_copy, embed_dim=width)
    with pytest.raises(BundleError, match="embed_dim"):
        use(bundle_copy, engine)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_pictures_of_another_size_than_the_graph_takes_are_named(bundle_copy: Path, engine: str):
    COUNT["hostile bundles"] += 1
    pytest.importorskip(engine)
    worlds.change_config(bundle_copy, preprocessing={"size": 33})
    with pytest.raises(BundleError, match=r"image\.onnx"):
        use(bundle_copy, engine)


def test_names_that_look_like_paths_are_only_names(bundle_copy: Path, tmp_path: Path):
    COUNT["hostile bundles"] += 1
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    worlds.change_config(
        bundle_copy,
        name="../../../etc/passwd",
        class_names=["/etc/passwd"],
        provenance={"image_tower": "/etc/passwd"},
    )
    use(bundle_copy, "onnxruntime")
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_open_but_never_give_a_vector(bundle_copy: Path, value: float):
    from safetensors.torch import load_file, save_file

    COUNT["hostile bundles"] += 1
    path = bundle_copy / "model.safetensors"
    weights = load_file(str(path))
    weights["image.head.linear.weight"][:] = value
    save_file(weights, str(path))
    worlds.rewrite_sums(bundle_copy)
    model = load(bundle_copy, engine="torch")
    with pytest.raises(BundleError, match=r"model\.safetensors: .*not finite numbers"):
        model.encode_image([Image.new("RGB", (40, 40), "red")])
    assert np.isfinite(model.encode_text(["a red circle"])).all()
