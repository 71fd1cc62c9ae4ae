"""A classifier in a bundle: what it answers, what is refused; equal ones are equal bytes."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import worlds
from wordsight.bundle import open_bundle, write_bundle
from wordsight.bundle.classifier import BundleClassifier, ClassifierWords, read_classifier
from wordsight.errors import BundleError

EMBED = worlds.EMBED


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made(classes: int = 3, keys: int = 0, *, seed: int = 0, **words: object) -> BundleClassifier:
    random = np.random.default_rng(seed)
    given_keys = {}
    if keys:
        given_keys = {
            "keys": unit(random.normal(size=(keys, EMBED))),
            "values": np.eye(classes, dtype=np.float32)[random.integers(classes, size=keys)],
        }
    return BundleClassifier(
        words=ClassifierWords(
            names=tuple(f"class {n}" for n in range(classes)), method="test", **words
        ),
        weights=random.normal(size=(classes, EMBED)).astype(np.float32),
        bias=random.normal(size=classes).astype(np.float32),
        **given_keys,
    )


def written(bundle: Path, classifier: BundleClassifier) -> Path:
    for name, content in classifier.files().items():
        (bundle / name).write_bytes(content)
    worlds.rewrite_sums(bundle)
    return bundle


def pictures(count: int = 5, seed: int = 7) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, EMBED)))


def test_a_linear_classifier_is_a_matrix_and_a_bias():
    one, rows = made(temperature=2.0), pictures()
    logits = rows.astype(np.float64) @ one.weights.T.astype(np.float64) + one.bias
    assert np.abs(one.logits(rows) - logits).max() < 1e-6
    powers = np.exp(logits / 2)
    assert np.abs(one.probabilities(rows) - powers / powers.sum(1, keepdims=True)).max() < 1e-6


def test_examples_add_what_tip_adapter_says():
    one, rows = made(keys=6, strength=1.5, sharpness=4.0), pictures()
    for n, row in enumerate(rows.astype(np.float64)):
        logits = one.weights.astype(np.float64) @ row + one.bias
        for key, value in zip(one.keys, one.values, strict=True):
            logits = logits + 1.5 * np.exp(-4.0 * (1 - row @ key.astype(np.float64))) * value
        assert np.abs(one.logits(rows)[n] - logits).max() < 1e-6


def test_neighbours_vote_by_nearness():
    one = made(keys=6, strength=0.25, sharpness=10.0, neighbours=2)
    for row, found in zip(pictures(), one.logits(pictures()), strict=True):
        near = [(float(row @ key), value) for key, value in zip(one.keys, one.values, strict=True)]
        near = sorted(near, key=lambda pair: -pair[0])[:2]
        votes = sum(np.exp(10 * cosine) * value for cosine, value in near)
        votes = votes / votes.sum()
        words = np.exp(one.weights @ row + one.bias)
        expected = np.log(0.75 * words / words.sum() + 0.25 * votes)
        assert np.abs(found - expected).max() < 1e-4


@settings(max_examples=30, deadline=None)
@given(
    weights=hnp.arrays(np.float32, (4, EMBED), elements=st.floats(-1e6, 1e6, width=32)),
    temperature=st.floats(1e-3, 1e3),
)
def test_what_is_written_is_read_again_to_the_bit(tmp_path_factory, weights, temperature):
    folder = tmp_path_factory.mktemp("one")
    words = ClassifierWords(
        names=("a", "b", "c", "d"), method="m", temperature=temperature, threshold=0.5
    )
    one = BundleClassifier(words=words, weights=weights, bias=np.zeros(4, np.float32))
    for name, content in one.files().items():
        (folder / name).write_bytes(content)
    found = read_classifier(folder, EMBED)
    assert found.words == words
    assert found.weights.tobytes() == weights.tobytes()
    assert found.files() == one.files()


def test_a_bundle_with_a_classifier_opens_and_one_without_says_so(bundle_copy: Path):
    assert open_bundle(bundle_copy).classifier() is None
    one = made(keys=4, strength=1.0, sharpness=5.0)
    found = open_bundle(written(bundle_copy, one)).classifier()
    assert found is not None
    assert np.array_equal(found.logits(pictures()), one.logits(pictures()))


def test_one_changed_byte_is_noticed(bundle_copy: Path):
    path = written(bundle_copy, made()) / "classifier.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"classifier\.npz: damaged"):
        open_bundle(bundle_copy)


def test_words_without_numbers_are_refused(bundle_copy: Path):
    written(bundle_copy, made())
    (bundle_copy / "classifier.npz").unlink()
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError, match="belong together"):
        open_bundle(bundle_copy)


def npz(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def promise(shape: tuple[int, ...]) -> bytes:
    """A header that promises an array which is not there."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


GOOD = npy(np.zeros((3, EMBED), np.float32))
BIAS = npy(np.zeros(3, np.float32))
HOSTILE = {
    "not a zip": b"nothing",
    "packed": npz(zipfile.ZIP_DEFLATED, weights=GOOD, bias=BIAS),
    "objects": npz(weights=npy(np.array([print], object), pickled=True), bias=BIAS),
    "a promise": npz(weights=promise((1 << 40, EMBED)), bias=BIAS),
    "another name": npz(weights=GOOD, bias=BIAS, more=BIAS),
    "no bias": npz(weights=GOOD),
    "doubles": npz(weights=npy(np.zeros((3, EMBED))), bias=BIAS),
    "another width": npz(weights=npy(np.zeros((3, 2), np.float32)), bias=BIAS),
    "another count": npz(weights=npy(np.zeros((4, EMBED), np.float32)), bias=BIAS),
    "no number": npz(weights=npy(np.full((3, EMBED), np.nan, np.float32)), bias=BIAS),
    "values alone": npz(weights=GOOD, bias=BIAS, values=GOOD),
    "cut": npz(weights=GOOD[:-4], bias=BIAS),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_numbers_are_refused_by_name(bundle_copy: Path, case: str):
    written(bundle_copy, made())
    (bundle_copy / "classifier.npz").write_bytes(HOSTILE[case])
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError, match=r"classifier\.npz"):
        open_bundle(bundle_copy)


def test_sentences_about_none_of_them_share_the_greatest_of_their_logits():
    one, rows = made(classes=5, num_none=0), pictures()
    words = ClassifierWords(names=("a", "b", "c"), method="test", num_none=2, temperature=0.5)
    two = BundleClassifier(words=words, weights=one.weights, bias=one.bias)
    two.check(EMBED, where="here")
    logits = one.logits(rows)
    expected = np.column_stack([logits[:, :3], logits[:, 3:].max(axis=1)])
    assert np.array_equal(two.logits(rows), expected)
    powers = np.exp(expected / 0.5)
    chances = two.probabilities(rows)
    assert np.abs(chances - powers / powers.sum(1, keepdims=True)).max() < 1e-9
    for num_none in (1, 3):
        words = ClassifierWords(names=("a", "b", "c"), method="test", num_none=num_none)
        with pytest.raises(BundleError, match="weights is float32 of shape"):
            BundleClassifier(words=words, weights=one.weights, bias=one.bias).check(
                EMBED, where="here"
            )


def test_examples_and_sentences_about_none_are_refused_together(bundle_copy: Path):
    path = written(bundle_copy, made(keys=4, strength=1.0)) / "classifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_none": 1}))
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError, match="examples, which cannot vote for none"):
        open_bundle(bundle_copy)


def edge_of(bundle: Path, *kept: str) -> Path:
    """Keep some files of a bundle with a classifier, and rewrite its checksums."""
    written(bundle, made())
    for file in bundle.iterdir():
        if file.name not in (*kept, "config.json", "SHA256SUMS"):
            file.unlink()
    worlds.rewrite_sums(bundle)
    return bundle


def test_without_a_text_tower_there_must_be_a_classifier_and_no_tokenizer(
    bundle_copy: Path, tmp_path: Path
):
    whole = Path(shutil.copytree(bundle_copy, tmp_path / "whole"))
    edge = edge_of(bundle_copy, "image.onnx", "classifier.json", "classifier.npz")
    assert not open_bundle(edge).has_text
    assert open_bundle(edge).has_graphs
    refused = [
        ("image.onnx",),
        ("image.onnx", "tokenizer.json"),
        ("image.onnx", "tokenizer.json", "classifier.json", "classifier.npz"),
        ("classifier.json", "classifier.npz"),
        ("text.onnx", "tokenizer.json", "classifier.json", "classifier.npz"),
    ]
    for number, kept in enumerate(refused):
        copy = edge_of(Path(shutil.copytree(whole, tmp_path / str(number))), *kept)
        with pytest.raises(BundleError, match=r"holds no weights: expected image\.onnx"):
            open_bundle(copy)
    with pytest.raises(BundleError, match=r"tokenizer\.json is missing"):
        open_bundle(edge_of(whole, "image.onnx", "text.onnx", "classifier.json", "classifier.npz"))


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]},
        {"names": ["a", "a", "b"]},
        {"schema": 2},
        {"temperature": 0},
        {"threshold": 1.5},
        {"strength": -1},
        {"neighbours": 2, "strength": 1.0},
        {"num_none": -1},
        {"num_none": 1},
        {"groups": {"class 0": ["class 1"]}},
        {"groups": {"group": ["nowhere"]}},
        {"groups": {"group": []}},
        {"groups": {"one": ["class 0"], "two": ["class 0"]}},
        {"groups": {"one": ["two"], "two": ["one"]}},
        {"groups": {"one": ["one"]}},
        {"groups": {"one": "class 0"}},
        {"code": "print()"},
    ],
)
def test_words_out_of_range_are_refused_by_name(bundle_copy: Path, change: dict[str, object]):
    path = written(bundle_copy, made()) / "classifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(BundleError, match=r"classifier\.(json|npz)"):
        open_bundle(bundle_copy)


def test_the_classifier_goes_where_the_bundle_goes(bundle_copy: Path, tmp_path: Path):
    bundle = open_bundle(bundle_copy)
    files = {
        name: (bundle.path / name).read_bytes() for name in bundle.files if name != "config.json"
    }
    new = write_bundle(tmp_path / "new", bundle.config, {**files, **made().files()})
    assert new.classifier() is not None
    moved = Path(shutil.copytree(new.path, tmp_path / "moved"))
    assert open_bundle(moved).files == new.files
