"""An edge bundle decides as the model it was made from, with three packages and nothing else."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wordsight as ws
import worlds
from wordsight import edge as on_the_line
from wordsight.bundle import open_bundle, write_bundle
from wordsight.bundle.classifier import BundleClassifier, ClassifierWords
from wordsight.bundle.golden import Golden, GoldenWords
from wordsight.cli import app
from wordsight.commands.classify import classify
from wordsight.commands.edge import write_edge
from wordsight.commands.verify import verify
from wordsight.data.class_file import read_class_file
from wordsight.errors import BundleError, InputError, WordsightError
from wordsight.transfer import class_vectors

NAMES = ["red circle", "blue cross", "green line"]
FILES = {"README.md", "classifier.json", "classifier.npz", "config.json", "image.onnx"}
CLASS_FILE = """
[classes]
"red circle" = ["a red circle", "a big red circle"]
"blue cross" = "a blue cross"
"green line" = ["a green line"]
[hierarchy]
shape = ["red circle", "blue cross"]
[none]
en = ["a yellow square", "a black triangle"]
"""
BLOCKER = """
import sys

class Blocker:
    allowed = {*sys.stdlib_module_names, "wordsight", "numpy", "PIL", "onnxruntime"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number, (shape, colour) in enumerate(
        (shape, colour) for shape in worlds.SHAPES for colour in ("red", "blue", "green")
    ):
        kind = "jpg" if number % 2 else "png"
        worlds.draw(shape, colour, number).save(folder / f"{number}.{kind}")
    return folder


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An edge bundle of the tiny model; not to be changed."""
    out = tmp_path_factory.mktemp("edge") / "EDGE"
    write_edge(tiny / "tiny", out, NAMES)
    return out


def paths_of(album: Path) -> list[Path]:
    return sorted(album.iterdir(), key=lambda path: int(path.stem))


def in_a_bare_process(code: str, *arguments: object, stdin: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-c", BLOCKER + code, *map(str, arguments)],
        capture_output=True,
        check=False,
        input=stdin,
        encoding="utf-8",
    )


def test_it_holds_the_image_tower_as_it_lies_there_and_the_vectors_of_the_classes(
    tiny: Path, made: Path
):
    bundle, whole = open_bundle(made), open_bundle(tiny / "tiny")
    assert set(bundle.files) == FILES
    assert bundle.files["image.onnx"] == whole.files["image.onnx"]
    assert not bundle.has_text
    found = bundle.classifier()
    model = ws.load(tiny / "tiny", engine="onnxruntime")
    assert found.weights.tobytes() == class_vectors(model, NAMES).vectors.tobytes()
    assert found.words.names == tuple(NAMES)
    assert bundle.config.preprocessing == whole.config.preprocessing
    assert bundle.config.provenance["licence"] == "CC0"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_vectors_are_the_same_to_the_bit_and_decisions_are_those_of_words(
    tiny: Path, made: Path, album: Path, engine: str
):
    if engine == "openvino":
        pytest.importorskip("openvino")
    paths = paths_of(album)
    whole, small = ws.load(tiny / "tiny", engine=engine), ws.load(made, engine=engine)
    rows = whole.encode_image(paths)
    assert small.encode_image(paths).tobytes() == rows.tobytes()
    cosines = rows.astype(np.float64) @ class_vectors(whole, NAMES).vectors.T.astype(np.float64)
    powers = np.exp(whole.logit_scale * cosines)
    chances = powers / powers.sum(axis=1, keepdims=True)
    for decision, row in zip(ws.decide(small, paths), chances, strict=True):
        assert decision.label == NAMES[int(row.argmax())]
        np.testing.assert_allclose([chance for _, chance in decision.scores], row, atol=1e-5)


def test_groups_and_none_of_these_go_along(tiny: Path, album: Path, tmp_path: Path):
    (tmp_path / "c.toml").write_text(CLASS_FILE)
    said = read_class_file(tmp_path / "c.toml")
    model, paths = ws.load(tiny / "tiny", engine="onnxruntime"), paths_of(album)
    write_edge(tiny / "tiny", tmp_path / "edge", said, none_below=0.5)
    small = ws.load(tmp_path / "edge", engine="onnxruntime")
    given = set()
    for limit in (0.3, 0.45, 0.6, None):
        expected = classify(model, paths, said, none_below=limit or 0.5)
        found = ws.decide(small, paths, none_below=limit)
        assert [one.label for one in found] == [one.label for one in expected]
        for one, other in zip(found, expected, strict=True):
            chances = [chance for _, chance in other.scores]
            np.testing.assert_allclose([chance for _, chance in one.scores], chances, atol=1e-5)
        given |= {one.label for one in expected}
    assert {"shape", "", "red circle"} <= given


def test_what_was_learnt_goes_along_to_the_byte(tiny: Path, album: Path, tmp_path: Path):
    whole = open_bundle(tiny / "tiny")
    random = np.random.default_rng(5)
    keys = random.normal(size=(6, worlds.EMBED)).astype(np.float32)
    learnt = BundleClassifier(
        words=ClassifierWords(
            names=("a", "b"), method="few-shot tip-adapter", temperature=0.7, threshold=0.6,
            strength=1.5, sharpness=4.0,
        ),
        weights=random.normal(size=(2, worlds.EMBED)).astype(np.float32),
        bias=np.array([0.1, -0.1], np.float32),
        keys=keys / np.linalg.norm(keys, axis=1, keepdims=True),
        values=np.eye(2, dtype=np.float32)[random.integers(2, size=6)],
    )  # fmt: skip
    files = {n: (whole.path / n).read_bytes() for n in whole.files if n != "config.json"}
    write_bundle(tmp_path / "learnt", whole.config, {**files, **learnt.files()})
    done = write_edge(tmp_path / "learnt", tmp_path / "edge")
    for name in ("classifier.json", "classifier.npz", "image.onnx"):
        assert (tmp_path / "edge" / name).read_bytes() == (tmp_path / "learnt" / name).read_bytes()
    assert done.threshold == 0.6
    assert done.num_bytes < done.num_bytes_before
    paths = paths_of(album)
    before = ws.decide(ws.load(tmp_path / "learnt", engine="onnxruntime"), paths)
    assert ws.decide(ws.load(tmp_path / "edge", engine="onnxruntime"), paths) == before
    assert write_edge(tmp_path / "edge", tmp_path / "edge2", none_below=0.9).threshold == 0.9
    with pytest.raises(InputError, match="templates go with classes"):
        write_edge(tmp_path / "learnt", tmp_path / "edge3", templates=["a {}"])


def test_it_runs_with_onnxruntime_numpy_and_pillow_alone(made: Path, album: Path, tmp_path: Path):
    code = """
import json, sys
import numpy as np
import wordsight as ws
from wordsight.errors import InputError
model = ws.load(sys.argv[1])
paths = sys.argv[3:]
np.save(sys.argv[2], model.encode_image(paths))
found = [one.to_json() for one in ws.decide(model, [*paths, b"no picture"])]
try:
    model.encode_text(["a dog"])
except InputError as error:
    found.append(str(error))
allowed = {*sys.stdlib_module_names, "wordsight", "numpy", "PIL", "onnxruntime"}
others = {name.split(".")[0] for name in sys.modules} - allowed
found.append(sorted(name for name in others if not name.startswith("_")))
print(json.dumps(found))
"""
    paths = paths_of(album)
    done = in_a_bare_process(code, made, tmp_path / "rows.npy", *paths)
    assert done.returncode == 0, done.stderr
    *decisions, bad, said, others = json.loads(done.stdout)
    assert set(others) <= {"cython_runtime"}  # a part of numpy
    assert "error" in bad
    assert "is an edge bundle" in said
    model = ws.load(made, engine="onnxruntime")
    assert np.abs(np.load(tmp_path / "rows.npy") - model.encode_image(paths)).max() < 0.02
    assert [one["label"] for one in decisions] == [one.label for one in ws.decide(model, paths)]


def test_pictures_without_loss_give_the_same_bits_with_three_packages(made: Path, tmp_path: Path):
    picture = tmp_path / "p.png"
    worlds.draw("circle", "red", 3).save(picture)
    code = (
        "import numpy as np, wordsight as ws\n"
        "np.save(sys.argv[2], ws.load(sys.argv[1]).encode_image([sys.argv[3]]))\n"
    )
    done = in_a_bare_process(code, made, tmp_path / "rows.npy", picture)
    assert done.returncode == 0, done.stderr
    here = ws.load(made, engine="onnxruntime").encode_image([picture])
    assert np.load(tmp_path / "rows.npy").tobytes() == here.tobytes()


def test_a_model_that_reads_sentences_says_which_package_it_lacks(tiny: Path, album: Path):
    code = "import wordsight.edge\nraise SystemExit(wordsight.edge.main(sys.argv[1:]))\n"
    done = in_a_bare_process(code, tiny / "tiny", album)
    assert done.returncode == 3
    assert "the package 'ftfy' is not installed" in done.stderr
    assert "only edge bundles run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_line_gets_an_answer_for_every_path_it_writes(made: Path, album: Path, tmp_path: Path):
    (tmp_path / "bad.jpg").write_text("no picture")
    paths = [*paths_of(album)[:3], tmp_path / "bad.jpg", tmp_path / "absent.jpg"]
    code = "import wordsight.edge\nraise SystemExit(wordsight.edge.main(sys.argv[1:]))\n"
    done = in_a_bare_process(code, made, stdin="".join(f"{path}\n" for path in paths))
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["path"] for line in lines] == [str(path) for path in paths]
    assert all(line["label"] in NAMES for line in lines[:3])
    assert all("error" in line for line in lines[3:])


def test_its_lines_are_those_of_classify(
    made: Path, album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert on_the_line.main([str(made), str(album), "--none-below", "0.4"]) == 0
    lines = capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        app(f"classify {album} --model {made} --none-below 0.4 --json")
    assert not stop.value.code
    assert capsys.readouterr().out == lines
    assert on_the_line.main([str(made), str(album), "--none-below", "7"]) == 2
    assert "--none-below must lie between 0 and 1" in capsys.readouterr().err
    assert on_the_line.main(["absent", str(album)]) == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert on_the_line.main([str(made)]) == 0
    assert capsys.readouterr().out == ""


def test_a_model_without_classes_is_refused_with_what_to_do(tiny: Path):
    with pytest.raises(InputError, match="no classes of its own") as caught:
        ws.decide(ws.load(tiny / "tiny"), [])
    assert "wordsight edge" in caught.value.hint


SENTENCES = [
    "classify {album} --labels cat,dog --model {edge}",
    "classify {album} --labels cat,dog --templates {templates} --model {edge}",
    "edge {edge} --labels cat,dog --out {out}",
    "evaluate {labels} --models {edge} --out {out}",
    "adapt {labels} --model {edge} --out {out} --method few-shot",
]


@pytest.mark.parametrize("command", SENTENCES)
def test_whatever_needs_sentences_says_so_once(
    made: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
):
    folder = tmp_path / "labels"
    for number in range(8):
        place = folder / ("red", "blue")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        worlds.draw("circle", place.name, number).save(place / f"{number}.png")
    (tmp_path / "t.txt").write_text("a {}\n")
    words = command.format(
        album=album, edge=made, out=tmp_path / "out", labels=folder, templates=tmp_path / "t.txt"
    )
    said = ""
    try:
        app(words.split())
    except InputError as error:
        said = str(error)
    except SystemExit as stop:
        assert stop.code
    assert (capsys.readouterr().out + said).count("is an edge bundle") == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.encode_text(["a dog"]),
        lambda model: model.tokenize(["a dog"]),
        lambda model: class_vectors(model, ["cat", "dog"]),
        lambda model: class_vectors(model, [f"word{n}" for n in range(70)]),
        lambda model: ws.ZeroShotClassifier(model, ["cat", "dog"]).fit(),
        lambda model: model.engine.text.run(np.zeros((1, 3), np.int64)),
    ],
)
def test_the_library_says_it_too(made: Path, use: Any):
    with pytest.raises(InputError, match="is an edge bundle") as caught:
        use(ws.load(made, engine="onnxruntime"))
    assert "wordsight edge MODEL" in caught.value.hint


def test_what_needs_no_sentences_works(
    made: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert verify(str(made)).engines
    for command in (f"verify {made}", f"doctor {made}"):
        with pytest.raises(SystemExit) as stop:
            app(command)
        assert not stop.value.code
    assert "3 classes" in capsys.readouterr().out
    pytest.importorskip("pyarrow")
    with pytest.raises(SystemExit) as stop:
        app(f"embed {album} --out {tmp_path / 'f.parquet'} --model {made}")
    assert not stop.value.code
    with pytest.raises(InputError, match="is an edge bundle"):
        app(["search", str(tmp_path / "f.parquet"), "a red circle"], result_action="return_value")


def test_golden_pictures_go_along_without_their_sentences(tiny: Path, tmp_path: Path):
    whole = open_bundle(tiny / "tiny")
    model = ws.load(tiny / "tiny", engine="onnxruntime")
    pictures = np.random.default_rng(0).random((2, 40, 40, 3), np.float32)
    words = GoldenWords(sentences=("a red circle",), image_cosine=1.0, text_cosine=1.0)
    golden = Golden(
        words=words,
        pictures=pictures,
        images=model.encode_image([*pictures]),
        texts=model.encode_text(words.sentences),
    )
    files = {n: (whole.path / n).read_bytes() for n in whole.files if n != "config.json"}
    write_bundle(tmp_path / "whole", whole.config, {**files, **golden.files()})
    write_edge(tmp_path / "whole", tmp_path / "edge", NAMES)
    found = open_bundle(tmp_path / "edge").golden()
    assert found.words.sentences == ()
    assert np.array_equal(found.images, golden.images)
    assert verify(str(tmp_path / "edge")).engines


def test_the_command_says_size_and_start(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stop:
        app(f"edge {tiny / 'tiny'} --labels cat,dog --out {tmp_path / 'one'} --lang en")
    assert not stop.value.code
    said = capsys.readouterr().out
    assert "2 classes" in said
    assert " MB" in said
    assert "median of 3" in said
    with pytest.raises(SystemExit):
        app(f"edge {tiny / 'tiny'} --labels cat,dog --out {tmp_path / 'one'} --json")
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["cat", "dog"]
    assert 0 < found["num_bytes"] < found["num_bytes_before"]
    assert found["cold_start_s"] > 0


def test_what_cannot_be_one_is_refused_before_anything_is_written(tiny: Path, tmp_path: Path):
    tiny_bundle, out = tiny / "tiny", tmp_path / "out"
    with pytest.raises(InputError, match="is the model itself"):
        write_edge(tiny_bundle, tiny_bundle, NAMES)
    with pytest.raises(InputError, match="give the classes once"):
        write_edge(tiny_bundle, out)
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        write_edge(tiny_bundle, out, NAMES, none_below=1.5)
    whole = open_bundle(tiny_bundle)
    kept = ("model.safetensors", "tokenizer.json")
    write_bundle(
        tmp_path / "torch", whole.config, {n: (tiny_bundle / n).read_bytes() for n in kept}
    )
    with pytest.raises(InputError, match=r"holds no image\.onnx") as caught:
        write_edge(tmp_path / "torch", out, NAMES)
    assert "wordsight export" in caught.value.hint
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="will not be replaced"):
        write_edge(tiny_bundle, tmp_path / "mine", NAMES)
    with pytest.raises(InputError, match="is a checkpoint"):
        write_edge(tmp_path / "mine", out, NAMES)
    with pytest.raises(InputError, match="in two groups"):
        (tmp_path / "c.toml").write_text(
            'classes = ["a", "b"]\n[hierarchy]\nx = ["a"]\ny = ["a"]\n'
        )
        write_edge(tiny_bundle, out, read_class_file(tmp_path / "c.toml"))
    assert not out.exists()


def test_a_file_in_the_place_of_a_bundle_is_called_what_it_is(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"\x80")
    with pytest.raises(BundleError, match="is a file, and a bundle is a folder") as caught:
        verify(str(tmp_path / "model.pt"))
    assert "wordsight export FILE" in caught.value.hint


def test_training_that_starts_from_graphs_names_the_missing_tower(made: Path, tmp_path: Path):
    from wordsight.training.towers import open_text_tower

    with pytest.raises(WordsightError, match="is an edge bundle"):
        open_text_tower(str(made), tmp_path)
