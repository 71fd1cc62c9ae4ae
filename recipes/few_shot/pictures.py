"""The five sets: pictures, their classes, the part each may serve for, and their features.

Shape letters: N pictures, C classes, E joint space.
"""

import csv
import hashlib
import tarfile
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import wordsight as ws
from wordsight.files import write_bytes
from wordsight.transfer import class_vectors

SENTENCES = Path(__file__).parent / "sentences.toml"
TEST_LIMIT = 1000
"""Test pictures of a set at most; more would narrow the intervals and take minutes to embed."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Labelled pictures of one set, before they are embedded."""

    images: list[Path | bytes]
    labels: list[str]
    is_test: list[bool]
    groups: list[str]
    """Pictures of one group show one object; it never lies on both sides of a split."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """One set as the methods see it."""

    name: str
    embeddings: NDArray[np.float32]
    """(N, E)"""
    labels: NDArray[np.str_]
    is_test: NDArray[np.bool_]
    groups: NDArray[np.str_]
    classes: tuple[str, ...]
    class_vectors: NDArray[np.float32]
    """(C, E), from the sentences alone."""


def of_shards(folder: Path) -> Pictures:
    """Return the tar shards of a set: learning part and the first `TEST_LIMIT` of the test part."""
    found = Pictures([], [], [], [])
    for part in ("train", "test"):
        with tarfile.open(folder / f"{part}-000000.tar") as tar:
            content = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
        names = sorted(name for name in content if name.endswith(".jpg"))
        for name in names[: TEST_LIMIT if part == "test" else None]:
            found.images.append(content[name])
            found.labels.append(content[name.replace(".jpg", ".txt")].decode().strip())
            found.is_test.append(part == "test")
            found.groups.append(f"{part} {name}")
    return found


def of_table(folder: Path, *, group: str | None = None, shares: int = 2) -> Pictures:
    """Return the pictures of labels.csv; without a `split` column every other group is for tests.

    Groups are dealt class by class in the order of a hash of their name, rarest class first, so
    that both sides hold every class and no group lies on both.
    """
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = [row[group] if group else row["path"] for row in rows]
    labels = [row["class"] for row in rows]
    if "split" in rows[0]:
        is_test = [row["split"] == "test" for row in rows]
    else:
        tested = test_groups(labels, groups, shares)
        is_test = [name in tested for name in groups]
    return Pictures([folder / row["path"] for row in rows], labels, is_test, groups)


def test_groups(labels: list[str], groups: list[str], shares: int) -> set[str]:
    """Return the groups that are for tests: of each class every `shares`-th in hash order."""
    members: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        members.setdefault(label, set()).add(group)
    dealt: set[str] = set()
    tested: set[str] = set()
    for label in sorted(members, key=lambda name: (len(members[name]), name)):
        new = sorted(members[label] - dealt, key=lambda g: hashlib.sha256(g.encode()).digest())
        tested.update(new[::shares])
        dealt.update(new)
    return tested


def read_pictures(data: Path, name: str) -> Pictures:
    """Return the pictures of one of the five sets."""
    if name == "cifar10":
        return of_shards(data / name)
    return of_table(data / name, group="tile_group" if name == "magnetic_tile" else None)


def load_features(data: Path, work: Path, name: str, model: ws.Model) -> FeatureSet:
    """Embed a set, or take its features from the folder `work` where an earlier run left them."""
    pictures = read_pictures(data, name)
    embeddings = embedded(pictures.images, work / f"{name}.npz", model)
    labels = np.array(pictures.labels)
    with SENTENCES.open("rb") as file:
        written = tomllib.load(file).get(name, {})
    classes = {
        label: written.get(label, [label.replace("_", " ").replace("-", " ")])
        for label in sorted(set(pictures.labels))
    }
    templates = None if name not in WITH_SENTENCES else ("{}",)
    if templates is None:
        templates = model.source.prompts().of("en")
    words = class_vectors(model, classes, templates=templates)
    return FeatureSet(
        name,
        embeddings,
        labels,
        np.array(pictures.is_test),
        np.array(pictures.groups),
        words.names,
        words.vectors,
    )


WITH_SENTENCES = ("magnetic_tile", "neu_det_steel")
"""Sets whose TOML entries are whole sentences; those of the others go into the templates."""


def embedded(images: list[Path | bytes], path: Path, model: ws.Model) -> NDArray[np.float32]:
    """Return (N, E) features, from `path` if it holds those of these pictures and this model."""
    key = hashlib.sha256(f"{model.name} {model.embed_dim}".encode())
    for image in images:
        key.update(image if isinstance(image, bytes) else image.read_bytes())
    if path.exists():
        with np.load(path) as stored:
            if str(stored["key"]) == key.hexdigest():
                return stored["embeddings"]
    rows = model.encode_image(images)
    buffer = BytesIO()
    np.savez(buffer, key=key.hexdigest(), embeddings=rows)
    write_bytes(path, buffer.getvalue())
    return rows
