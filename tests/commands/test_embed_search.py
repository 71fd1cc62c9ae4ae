"""`wordsight embed` encodes only what changed, and `wordsight search` finds what fits."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import worlds
from tally import COUNT
from wordsight import Index, load
from wordsight.cli import main
from wordsight.commands import embedding_run as module
from wordsight.commands.embed import embed
from wordsight.engine import Model
from wordsight.errors import BusyError, DataError, InputError, MissingError
from wordsight.locks import locked

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "写真 アルバム"
    (folder / "夜").mkdir(parents=True)
    for number, colour in enumerate(worlds.COLOURS):
        worlds.draw("circle", colour, number).save(folder / f"{number}.png")
    worlds.draw("cross", "blue", 9).save(folder / "夜" / "漢字　青.jpg")
    return folder


class Outcome:
    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["wordsight", *map(str, arguments)])
        monkeypatch.setenv("WORDSIGHT_LANG", "en")
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            with warnings.catch_warnings():  # cyclopts suspects a test that passes no arguments
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without")
                main()
        except SystemExit as end:
            code = int(end.code or 0)
        found = capsys.readouterr()
        assert "Traceback" not in found.out + found.err
        return Outcome(code, found.out, found.err)

    return call


def pictures(album: Path) -> list[Path]:
    return sorted(path for path in album.rglob("*") if path.suffix in (".png", ".jpg"))


def assert_true_vectors(model: Model, out: Path, paths: list[Path]) -> None:
    """Read the file with pyarrow alone and compare with what the model says of each picture."""
    table = pq.read_table(out)
    found = dict(zip(table["path"].to_pylist(), table["embedding"].to_pylist(), strict=True))
    assert set(found) == {path.relative_to(out.parent).as_posix() for path in paths}
    for path in paths:
        right = model.encode_image([path])[0]
        own = found[path.relative_to(out.parent).as_posix()]
        np.testing.assert_allclose(own, right, atol=1e-5)


def test_the_file_says_what_each_picture_was_and_which_model_saw_it(
    model: Model, album: Path, tmp_path: Path
):
    import hashlib

    out = tmp_path / "f.parquet"
    done = embed(model, pictures(album), out)
    assert (done.num_pictures, done.num_encoded, done.unreadable) == (7, 7, ())
    assert_true_vectors(model, out, pictures(album))
    table = pq.read_table(out)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), worlds.EMBED)
    for row in table.to_pylist():
        path = tmp_path / row["path"]
        assert row["folder"] == path.parent.relative_to(tmp_path).as_posix()
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (row["size"], row["modified"]) == (path.stat().st_size, path.stat().st_mtime_ns)
    said = json.loads(table.schema.metadata[b"wordsight"])
    assert said["name"] == model.name
    assert len(said["checksum"]) == 32
    assert said["embed_dim"] == worlds.EMBED


def test_only_new_and_changed_pictures_are_encoded_and_vanished_ones_go(
    model: Model, album: Path, tmp_path: Path
):
    out = tmp_path / "f.parquet"
    embed(model, pictures(album), out)
    before = out.stat().st_mtime_ns
    done = embed(model, pictures(album), out)
    assert (done.num_encoded, done.num_removed, out.stat().st_mtime_ns) == (0, 0, before)

    (album / "0.png").unlink()
    worlds.draw("square", "green", 50).save(album / "1.png")
    worlds.draw("square", "red", 51).save(album / "new.png")
    shutil.copyfile(album / "2.png", album / "copy of 2.png")
    os.utime(album / "3.png", ns=(1, 1))
    done = embed(model, pictures(album), out)
    assert (done.num_pictures, done.num_encoded, done.num_removed) == (8, 2, 1)
    assert_true_vectors(model, out, pictures(album))


def test_files_of_several_row_groups_are_brought_up_to_date(
    model: Model, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from wordsight.data import embedding_file

    for where in (embedding_file, module):
        monkeypatch.setattr(where, "GROUP_ROWS", 3)
    monkeypatch.setattr(module, "CHUNK", 2)
    out = tmp_path / "f.parquet"
    embed(model, pictures(album), out)
    assert pq.ParquetFile(out).num_row_groups == 3
    for number in range(20, 26):
        worlds.draw("triangle", "white", number).save(album / f"{number}.png")
    (album / "4.png").unlink()
    assert embed(model, pictures(album), out).num_encoded == 6
    assert_true_vectors(model, out, pictures(album))
    whole, index = pq.read_table(out), Index.open(out, columns=["size"])
    query = np.array(whole["embedding"][5].as_py())[None]
    assert index.search(query, 1).keys == [[str(tmp_path / whole["path"][5].as_py())]]


def test_columns_of_others_stay_with_their_pictures(model: Model, album: Path, tmp_path: Path):
    out = tmp_path / "f.parquet"
    embed(model, pictures(album), out)
    table = pq.read_table(out)
    names = [Path(path).stem for path in table["path"].to_pylist()]
    pq.write_table(table.append_column("name", pa.array(names)), out)
    (album / "0.png").unlink()
    worlds.draw("square", "red", 51).save(album / "new.png")
    embed(model, pictures(album), out)
    for row in pq.read_table(out).to_pylist():
        stem = Path(row["path"]).stem
        assert row["name"] == (None if stem == "new" else stem)


def test_unreadable_pictures_are_listed_and_cost_nothing_else(run: Any, tiny: Path, album: Path):
    (album / "bad.png").write_bytes(b"no picture")
    out = album / "f.parquet"
    options = ("embed", album, "--out", out, "--model", tiny / "tiny")
    done = run(*options)
    assert done.code == 1
    assert "bad.png" in done.out
    assert "7 pictures" in done.out
    again = run(*options, "--json")
    assert again.code == 1
    assert again.lines[0]["encoded"] == 0
    assert [Path(one["path"]).name for one in again.lines[0]["unreadable"]] == ["bad.png"]


def test_where_no_picture_can_be_read_the_old_file_stays(model: Model, album: Path, tmp_path: Path):
    out = tmp_path / "f.parquet"
    embed(model, pictures(album), out)
    before = out.read_bytes()
    bad = album / "bad.png"
    bad.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 1 pictures.*bad\.png"):
        embed(model, [bad], out)
    assert out.read_bytes() == before


KILLED = """
import os, signal, sys
from pathlib import Path
from wordsight import load
from wordsight.commands import embedding_run as module
from wordsight.commands.embed import embed
module.CHUNK = 2
def progress(step, done, of):
    if done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "-1":
    module.write_embeddings = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
    progress = None
model = load(sys.argv[1])
paths = [Path(line) for line in sys.argv[3].splitlines()]
embed(model, paths, sys.argv[2], progress=progress)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize(("moment", "kept"), [(3, 2), (5, 4), (-1, 6)])
def test_a_killed_run_leaves_the_old_file_and_loses_no_finished_batch(
    model: Model, tiny: Path, album: Path, tmp_path: Path, moment: int, kept: int
):
    out = tmp_path / "f.parquet"
    embed(model, pictures(album)[:1], out)
    before = out.read_bytes()
    listed = "\n".join(map(str, pictures(album)))
    arguments = [str(tiny / "tiny"), str(out), listed, str(moment)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert out.read_bytes() == before
    resumed = embed(model, pictures(album), out)
    assert resumed.num_encoded <= 6 - (kept - 1 if moment > 0 else kept)
    assert_true_vectors(model, out, pictures(album))
    assert not list(tmp_path.glob(".f.parquet.journal/*/*.npy"))


def test_two_runs_into_one_file_are_refused(model: Model, album: Path, tmp_path: Path):
    with locked(tmp_path / ".f.parquet.journal"), pytest.raises(BusyError):
        embed(model, pictures(album), tmp_path / "f.parquet")


@pytest.fixture
def embedded(run: Any, tiny: Path, album: Path, tmp_path: Path) -> Iterator[Path]:
    out = tmp_path / "f.parquet"
    assert run("embed", album, "--out", out, "--model", tiny / "tiny").code == 0
    with contextlib.chdir(album):
        yield out


def cosines(model: Model, album: Path, vector: np.ndarray) -> list[tuple[str, float]]:
    vector = vector / np.linalg.norm(vector)
    pairs = [(str(path), float(model.encode_image([path])[0] @ vector)) for path in pictures(album)]
    return sorted(pairs, key=lambda pair: -pair[1])


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        (["a red circle"], [(1, "a red circle")]),
        (["a red circle", "--not", "a cross"], [(1, "a red circle"), (-1, "a cross")]),
        (
            ["--image", "夜/漢字　青.jpg", "--and", "red", "--not", "blue"],
            [(1, Path("夜/漢字　青.jpg")), (1, "red"), (-1, "blue")],
        ),
        (["--image", "2.png"], [(1, Path("2.png"))]),
    ],
)
def test_search_finds_what_the_sum_of_vectors_finds(
    run: Any, model: Model, album: Path, embedded: Path, options: list[str], terms: Any
):
    done = run("search", embedded, *options, "--top", 4, "--json")
    assert done.code == 0, done.err
    encode = {str: model.encode_text, type(Path()): model.encode_image}
    vector = sum(weight * encode[type(what)]([what])[0] for weight, what in terms)
    right = cosines(model, album, vector)[:4]
    assert [line["path"] for line in done.lines] == [path for path, _ in right]
    np.testing.assert_allclose(
        [line["score"] for line in done.lines], [s for _, s in right], atol=1e-5
    )


def test_where_keeps_pictures_with_the_value(run: Any, embedded: Path):
    done = run("search", embedded, "red", "--where", "folder=写真 アルバム/夜", "--json")
    assert [Path(line["path"]).name for line in done.lines] == ["漢字　青.jpg"]
    size = pq.read_table(embedded)["size"][0].as_py()
    assert run("search", embedded, "red", "--where", f"size={size}", "--json").lines
    found = run(
        "search", embedded, "red", "--where", f"size>{size}", "--where", "folder!=x", "--json"
    )
    sizes = pq.read_table(embedded)["size"].to_pylist()
    assert len(found.lines) == sum(one > size for one in sizes)
    unfit = run("search", embedded, "red", "--where", "size>large")
    assert unfit.code == 2
    assert "holds numbers" in unfit.err
    wrong = run("search", embedded, "red", "--where", "folde=x")
    assert wrong.code == 2
    assert "did you mean" in wrong.err or "folder" in wrong.err
    assert run("search", embedded, "red", "--where", "folder").code == 2


def test_the_page_shows_the_pictures_and_counts_the_lost_ones(
    run: Any, embedded: Path, album: Path, tmp_path: Path
):
    (album / "3.png").unlink()
    page = tmp_path / "out.html"
    done = run("search", embedded, "a red <circle>", "--contact-sheet", page)
    assert done.code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<article") == 6
    assert "a red &lt;circle&gt;" in text
    assert "3.png" in text


def test_pictures_and_file_can_be_moved_together(
    run: Any, embedded: Path, album: Path, tmp_path: Path
):
    place = tmp_path / "elsewhere"
    place.mkdir()
    shutil.move(album, place / album.name)
    shutil.move(embedded, place / "f.parquet")
    for line in run("search", place / "f.parquet", "red", "--json").lines:
        assert Path(line["path"]).is_file()


def test_another_model_is_refused(
    run: Any, tiny: Path, album: Path, embedded: Path, bundle_copy: Path
):
    from wordsight.files import sha256

    prompts = bundle_copy / "prompts.toml"
    old = sha256(prompts)
    prompts.write_text('[en]\ntemplates = ["{}"]\n')
    sums = bundle_copy / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(old, sha256(prompts)))
    before = embedded.read_bytes()
    for command in (("search", embedded, "red"), ("embed", album, "--out", embedded)):
        done = run(*command, "--model", bundle_copy)
        assert done.code == 2
        assert "cannot be compared" in done.err
        assert str(tiny / "tiny") in done.err
    assert embedded.read_bytes() == before


def test_a_model_that_was_moved_is_asked_for(
    run: Any, bundle_copy: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert run("embed", album, "--out", "f.parquet", "--model", bundle_copy.name).code == 0
    monkeypatch.chdir(album)
    out = tmp_path / "f.parquet"
    right = run("search", out, "red", "--json")
    assert len(right.lines) == 7
    shutil.move(bundle_copy, tmp_path / "moved")
    gone = run("search", out, "red")
    assert gone.code == 2
    assert "--model" in gone.err
    assert run("search", out, "red", "--json", "--model", tmp_path / "moved").lines == right.lines


def test_damaged_and_foreign_files_are_refused_and_stay(
    run: Any, album: Path, embedded: Path, tiny: Path, tmp_path: Path
):
    whole = embedded.read_bytes()
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"path": ["a"]}), foreign)
    stripped = tmp_path / "stripped.parquet"
    pq.write_table(pq.read_table(embedded).replace_schema_metadata(None), stripped)
    short = tmp_path / "short.parquet"
    table = pq.read_table(embedded)
    lists = pa.array([row[:-1] for row in table["embedding"].to_pylist()], pa.list_(pa.float32()))
    pq.write_table(
        table.set_column(table.schema.names.index("embedding"), "embedding", lists), short
    )
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    text = tmp_path / "text.parquet"
    text.write_text("no parquet")
    for path in (foreign, stripped, short, cut, text):
        before = path.read_bytes()
        done = run("search", path, "red", "--model", tiny / "tiny")
        assert done.code == 2, path
        assert path.name in done.err
        if path != short:  # vectors are read where they are needed
            assert run("embed", album, "--out", path, "--model", tiny / "tiny").code == 2
        assert path.read_bytes() == before


def test_every_damaged_byte_is_refused_or_harmless(model: Model, album: Path, tmp_path: Path):
    from wordsight.commands.search import compose, search
    from wordsight.errors import WordsightError

    out = tmp_path / "f.parquet"
    embed(model, pictures(album), out)
    whole = bytearray(out.read_bytes())
    query = compose("red", None, (), ())
    right, num_refused = search(model, out, query), 0
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        out.write_bytes(damaged)
        try:
            found = search(model, out, query)
        except WordsightError:
            num_refused += 1
        else:
            assert found == right
    assert num_refused > 20
    COUNT["damaged vector files"] += 60


def test_what_is_missing_is_said(
    run: Any, tiny: Path, album: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
):
    assert run("search", album / "none.parquet", "red").code == 2
    assert "what shall be found" in run("search", embedded).err
    assert run("search", embedded, "red", "--top", 0).code == 2
    assert ".parquet" in run("embed", album, "--out", "f.npz").err
    Image.new("RGB", (4, 4)).save(album / "blank.png")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for command in (("search", embedded, "red"), ("embed", album, "--out", "f.parquet")):
        done = run(*command)
        assert done.code == MissingError.exit_code
        assert 'pip install "wordsight[parquet]"' in done.err


def test_an_unsuitable_name_is_refused_before_anything_is_done(model: Model, tmp_path: Path):
    with pytest.raises(InputError, match="must end in"):
        embed(model, [tmp_path / "x.png"], tmp_path / "f.npz")
    assert not list(tmp_path.iterdir())
