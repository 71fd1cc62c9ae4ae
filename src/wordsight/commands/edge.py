"""From a model to what decides on a line: image tower and class vectors, nothing else."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wordsight.bundle import Bundle, open_bundle, write_bundle
from wordsight.bundle.classifier import BundleClassifier, ClassifierWords
from wordsight.bundle.store import CARD, IMAGE_GRAPH, check_replaceable
from wordsight.commands.classify import Progress, embed_classes
from wordsight.data.class_file import ClassFile
from wordsight.engine.choice import open_engine
from wordsight.engine.identity import model_checksum
from wordsight.engine.loading import is_bundle, locate
from wordsight.engine.model import Model
from wordsight.errors import BundleError, InputError
from wordsight.transfer.class_tree import Hierarchy
from wordsight.transfer.class_vectors import Classes
from wordsight.transfer.decisions import check_share

STARTS = 3
SIDE = 64
PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeBundle:
    """An edge bundle that was written."""

    path: Path
    classes: tuple[str, ...]
    threshold: float | None
    num_bytes: int
    """Of all its files."""
    num_bytes_before: int
    """Of all files of the model it was made from."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "path": str(self.path),
            "classes": list(self.classes),
            "threshold": self.threshold,
            "num_bytes": self.num_bytes,
            "num_bytes_before": self.num_bytes_before,
        }


def write_edge(
    model: str | Path,
    out: str | Path,
    classes: Classes | ClassFile | None = None,
    *,
    templates: Sequence[str] | None = None,
    language: str = "en",
    none_below: float | None = None,
    engine: str = "auto",
    progress: Progress | None = None,
) -> EdgeBundle:
    """Write a bundle that decides between classes and needs no text tower, tokenizer or torch.

    It holds the image tower as it lies in the model, of any precision, and what the sentences of
    the classes say as vectors; so it decides as the model does. Without classes, the classifier
    that lies in the model goes along: what `wordsight adapt` learnt, calibration and threshold
    included.

    Args:
        model: "mini" or a bundle with image.onnx.
        out: folder to write; a bundle that stands there is replaced.
        classes: names, sentences of each name, or a class file; None for those of the model.
        templates: sentences with `{}`; those of the class file or the model if not given.
        language: which sentences and templates to take, "en" or "ja".
        none_below: least probability of a label, between 0 and 1; a picture whose best class has
            less gets none.
        engine: what reads the sentences.
        progress: called with "sentences", the number done and of all.

    Raises:
        BundleError: if the model is damaged, or `out` is a folder that is not a bundle.
        InputError: if the model is no bundle or has no image.onnx, if classes are missing or
            cannot be used, or `out` is the model itself.
    """
    check_share(none_below)
    source, target = _open(locate(model)), Path(out)
    if target.resolve() == source.path.resolve():
        raise InputError(
            f"{target}: is the model itself, which would be lost", hint="another --out"
        )
    check_replaceable(target)
    if classes is None:
        classifier = _own(source, templates)
    else:
        source.need_text()
        opened = Model(source, open_engine(source, engine))
        said = embed_classes(
            opened, classes, templates=templates, language=language, progress=progress
        )
        tree = Hierarchy(said.groups, said.classes.names)  # that it is none shall be said at once
        words = ClassifierWords(
            names=tree.classes,
            method="sentences",
            temperature=1 / opened.logit_scale,
            num_none=len(said.none),
            groups=dict(said.groups),
            provenance={
                "made_by": "wordsight edge",
                "model": opened.name,
                "checksum": model_checksum(opened),
                "engine": opened.engine.identity,
            },
        )
        vectors = np.concatenate([said.classes.vectors, said.none])
        bias = np.zeros(len(vectors), np.float32)
        classifier = BundleClassifier(words=words, weights=vectors, bias=bias)
    if none_below is not None:
        classifier = replace(classifier, words=replace(classifier.words, threshold=none_below))
    return _write(source, target, classifier)


def _open(path: Path) -> Bundle:
    if not is_bundle(path):
        raise InputError(
            f"{path}: is a checkpoint, and an edge bundle is made from a bundle",
            hint="make one first: wordsight export CHECKPOINT --out BUNDLE",
        )
    bundle = open_bundle(path)
    if not bundle.has(IMAGE_GRAPH):
        raise InputError(
            f"{path}: holds no {IMAGE_GRAPH}, which an edge bundle takes over",
            hint="add it first: wordsight export MODEL --out BUNDLE",
        )
    return bundle


def _own(source: Bundle, templates: Sequence[str] | None) -> BundleClassifier:
    found = source.classifier()
    if found is None:
        raise InputError(
            "give the classes once: --labels cat,dog or --classes FILE; "
            f"{source.config.name} has none of its own",
            hint="a FILE may hold several sentences per class",
        )
    if templates:
        raise InputError(
            "--templates go with classes, and none are given: those of the model are taken",
            hint="leave --templates out, or give --labels or --classes",
        )
    return found


def _write(source: Bundle, target: Path, classifier: BundleClassifier) -> EdgeBundle:
    made = {"made_by": "wordsight edge", "model": source.config.name}
    config = replace(
        source.config, architecture={}, provenance={**source.config.provenance, "edge": made}
    )
    files: dict[str, bytes | Callable[[Path], None]] = {
        IMAGE_GRAPH: (source.path / IMAGE_GRAPH).read_bytes(),
        CARD: _card(source, classifier).encode(),
        **classifier.files(),
    }
    golden = source.golden()
    if golden is not None:  # what it says of pictures can be checked on the line too
        words, width = replace(golden.words, sentences=()), source.config.embed_dim
        golden = replace(golden, words=words, texts=np.zeros((0, width), np.float32))
        files |= golden.files()
    written = write_bundle(target, config, files)
    return EdgeBundle(
        path=target,
        classes=classifier.words.names,
        threshold=classifier.words.threshold,
        num_bytes=_size(written),
        num_bytes_before=_size(source),
    )


def _size(bundle: Bundle) -> int:
    return sum((bundle.path / name).stat().st_size for name in bundle.files)


def _card(source: Bundle, classifier: BundleClassifier) -> str:
    words, licence = classifier.words, source.config.provenance.get("licence", "not stated")
    names = "\n".join(f"- {name}" for name in words.names)
    limit = "" if words.threshold is None else f"Below {words.threshold:.0%} no label is given.\n\n"
    return f"""# {source.config.name}, for the edge

Made by `wordsight edge` from {source.config.name}; it decides between the classes below and reads
no sentences. Classifier: {words.method}. Licence of the model: {licence}.

{limit}## Classes

{names}

## Limits

It decides as the model does that it was made from: what was measured of that one on your pictures
holds for this one. Measure again after anything in the set-up (light, camera, supplier) changes.
"""


def cold_start(edge: Path) -> float:
    """Return the seconds from the start of a new process to its first decision, median of three.

    Raises:
        BundleError: if the process does not decide.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.ppm"
        pixels = bytes(range(256)) * (3 * SIDE * SIDE // 256)
        picture.write_bytes(b"P6 %d %d 255\n" % (SIDE, SIDE) + pixels)
        command = [sys.executable, "-P", "-m", "wordsight.edge", str(edge.resolve()), str(picture)]
        seconds: list[float] = []
        for _ in range(STARTS):
            begun = time.perf_counter()
            done = subprocess.run(  # noqa: S603 - this interpreter, and a module of this package
                command, check=False, capture_output=True, timeout=PATIENCE_S
            )
            seconds.append(time.perf_counter() - begun)
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip()
                raise BundleError(f"{edge}: a new process does not decide with it: {said}")
    return statistics.median(seconds)
