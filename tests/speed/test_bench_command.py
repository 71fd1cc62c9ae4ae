"""`wordsight bench` measures every engine on the user's own pictures and sentences."""

import json
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import worlds
from wordsight import load
from wordsight.bundle import open_bundle
from wordsight.cli import main
from wordsight.commands import bench_table
from wordsight.commands.bench import Benched, BenchSettings, bench
from wordsight.commands.edge import write_edge
from wordsight.engine.choice import usable_engines
from wordsight.engine.pace import Pace
from wordsight.errors import DataError, InputError, MissingError
from wordsight.language import Phrases
from wordsight.speed.contender import Entry, Wordsight
from wordsight.speed.material import draw_sentences, evenly, read_sentences
from wordsight.speed.peak import SIZES, fastest_product
from wordsight.speed.start import peak_memory, start_fresh

SHORT = 0.02
ENGLISH = Phrases.load("en")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("写真 album")
    for number, colour in enumerate(worlds.COLOURS):
        worlds.draw("circle", colour, number).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture at all")
    return folder


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "sentences.txt"
    file.write_text("\ufeffa red circle\n\na blue cross on a table\na red circle\n", "utf-8")
    return file


@pytest.fixture(scope="module")
def found(tiny: Path, album: Path, lines: Path) -> Benched:
    settings = BenchSettings(seconds=SHORT, threads=1)
    return bench(tiny / "tiny", pictures=[str(album)], sentences=lines, settings=settings)


def test_every_engine_that_works_here_is_measured_and_all_say_the_same(found: Benched):
    bundle = open_bundle(found.path)
    assert tuple(found.figures) == usable_engines(bundle)
    assert "torch" in found.figures
    for figures in found.figures.values():
        assert figures.sameness is not None
        assert figures.sameness.pictures > 0.99999
        assert figures.sameness.sentences is not None
        assert figures.sameness.sentences > 0.99999


def test_the_cosines_are_those_of_vectors_computed_apart(found: Benched, tiny: Path, album: Path):
    paths = [album / f"{number}.png" for number in range(len(worlds.COLOURS))]
    first, *others = found.entries.values()
    ours = load(first.path, engine=first.engine, threads=1).encode_image(paths)
    for entry in others:
        theirs = load(entry.path, engine=entry.engine, threads=1).encode_image(paths)
        cosines = [
            np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in zip(ours.astype(float), theirs.astype(float), strict=True)
        ]
        sameness = found.figures[entry.name].sameness
        assert sameness is not None
        assert sameness.pictures == pytest.approx(min(cosines), abs=1e-5)


def test_unreadable_pictures_and_repeated_sentences_are_not_measured_with(found: Benched):
    assert found.num_pictures == len(worlds.COLOURS)
    assert found.num_unreadable == 1
    assert found.num_sentences == 2
    model = load(found.path)
    counted = model.tokenizer.encode(["a red circle", "a blue cross on a table"]).lengths
    assert found.mean_tokens == pytest.approx(counted.mean())


def test_every_turn_counts_and_every_contender_has_as_many(found: Benched):
    for figures in found.figures.values():
        assert figures.tower.n >= 3
        assert figures.tower.low <= figures.tower.median <= figures.tower.high
        assert figures.start.n == 1
        assert figures.limited_by == Pace(waiting=1.0).limited_by or figures.limited_by
    assert len({figures.picture.n for figures in found.figures.values()}) == 1


def test_the_fastest_is_the_one_that_reads_most_pictures(found: Benched):
    rates = {name: figures.files.median for name, figures in found.figures.items()}
    assert rates[found.fastest] == max(rates.values())


def test_the_share_of_the_peak_is_operations_in_a_second_over_the_fastest_product(found: Benched):
    for name, figures in found.figures.items():
        peak = found.peaks[found.arithmetic[name]].per_second
        assert found.operations.picture is not None
        share = found.share(name).pictures
        assert share == pytest.approx(figures.tower.median * found.operations.picture / peak)
    without = replace(found, peaks={})
    assert without.share(found.fastest).pictures is None


def test_operations_that_cannot_be_counted_leave_no_share(found: Benched):
    counted = replace(found.operations, picture=None, sentence=None, reason="because")
    uncounted = replace(found, operations=counted)
    assert uncounted.share(found.fastest).pictures is None
    _, rows = bench_table.own_table(uncounted, ENGLISH)
    assert ENGLISH("bench.share_pictures") not in [row[0] for row in rows]
    assert any("because" in line for line in bench_table.notes(uncounted, ENGLISH))


def test_the_json_is_plain_and_every_key_of_it_is_documented(found: Benched):
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    page = (Path(__file__).parents[2] / "docs" / "bench.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_0-9]+)`", page))
    assert sorted(keys_of(values) - named) == []
    assert values["schema"] == 1
    assert [one["name"] for one in values["contenders"]] == list(found.entries)
    assert values["quiet"]["is_quiet"] == (not values["quiet"]["reasons"])


def keys_of(values: Any) -> set[str]:
    """All keys but the names of contenders and precisions."""
    if isinstance(values, list):
        return set().union(*(keys_of(value) for value in values))
    if not isinstance(values, Mapping):
        return set()
    inner = set().union(*(keys_of(value) for value in values.values()))
    return {key for key in values if " " not in key} | inner


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_table_has_a_row_of_every_measure_and_a_column_of_every_contender(found, language):
    say = Phrases.load(language)
    columns, rows = bench_table.own_table(found, say)
    assert columns == [say("bench.measure"), *found.figures]
    titles = [row[0] for row in rows]
    measures = ("tower", "files", "sentences", "picture", "sentence", "start", "memory")
    assert titles[: len(measures)] == [say(f"bench.{name}") for name in measures]
    assert all(len(row) == len(columns) and all(row) for row in rows)
    quietness = bench_table.notes(found, say)[0]
    start = {"en": ("The machine was quiet", "DISTURBED"), "ja": ("測定中", "測定が乱され")}
    assert quietness.startswith(start[language][not found.quiet.is_quiet])


def test_a_disturbed_machine_is_said_first_and_by_whom(found: Benched):
    quiet = replace(found.quiet, is_quiet=False, reasons=("others", "stolen", "clock"))
    line = bench_table.notes(replace(found, quiet=quiet), ENGLISH)[0]
    assert line.startswith("DISTURBED, do not quote these figures: other programs used")
    assert "the host of this virtual machine took" in line
    assert "of its best speed" in line
    calm = replace(found.quiet, is_quiet=True, reasons=())
    line = bench_table.notes(replace(found, quiet=calm), ENGLISH)[0]
    assert line.startswith("The machine was quiet")


def run(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["wordsight", "bench", *map(str, arguments)])
    try:
        with warnings.catch_warnings():  # cyclopts suspects a test that passes no arguments
            warnings.filterwarnings("ignore", message="Cyclopts application invoked without")
            main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_prints_one_object(tiny, album, monkeypatch, capsys):
    model, folder = tiny / "tiny", str(album)
    options = ("--pictures", folder, "--engine", "onnxruntime", "--seconds", SHORT)
    both = ("--precision", "float32,bfloat16")
    assert run(model, *options, *both, "--json", monkeypatch=monkeypatch) == 0
    values = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in values["contenders"]] == ["onnxruntime float32"]
    assert values["material"]["num_pictures"] == len(worlds.COLOURS)
    # What cannot run in a precision is left out, not measured in another one.
    (left_out,) = values["left_out"]
    assert left_out["contender"] == "onnxruntime bfloat16"
    assert "bfloat16" in left_out["reason"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-model"], 2, "neither a shipped model nor a folder"),
        (["--pictures", "nowhere"], 2, "there is no such file or folder"),
        (["--sentences", "nowhere.txt"], 2, "cannot be read as UTF-8 text"),
        (["--seconds", "0"], 2, "seconds are 0.0; expected"),
        (["--wait", "-1"], 2, "seconds to wait are -1.0"),
        (["--threads", "0"], 2, "threads are 0; expected 1 or more"),
        (["--precision", "float8"], 2, "there is no precision 'float8'"),
        (["--against", "jax_clip"], 2, "nothing is known of how to measure 'jax_clip'"),
        (["--engine", "torch"], 3, "the bundle holds no torch weights"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(
    arguments, code, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, monkeypatch=monkeypatch) == code
    assert said in capsys.readouterr().err


def test_a_rival_that_is_not_installed_is_named_with_what_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    options = ("--engine", "onnxruntime", "--against", "open_clip")
    assert run(*options, monkeypatch=monkeypatch) == 3
    assert "hint: pip install open_clip_torch" in capsys.readouterr().err


def test_pictures_of_which_none_can_be_read_are_refused(tiny, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    settings = BenchSettings(engine="onnxruntime", seconds=SHORT)
    with pytest.raises(DataError, match="none of 1 pictures can be read: "):
        bench(tiny / "tiny", pictures=[str(tmp_path)], settings=settings)


def test_a_file_without_sentences_is_refused(tmp_path):
    file = tmp_path / "empty.txt"
    file.write_text(" \n\n")
    with pytest.raises(InputError, match="holds no sentence"):
        read_sentences(file)


def test_drawn_sentences_differ_and_are_as_long_as_captions():
    drawn = draw_sentences(500)
    assert len(set(drawn)) == 500
    words = [len(sentence.split()) for sentence in drawn]
    assert 9.5 < np.mean(words) < 11.5
    assert min(words) >= 5
    assert drawn == draw_sentences(500)
    assert drawn != draw_sentences(500, seed=1)


def test_some_of_many_are_spread_evenly():
    assert evenly(range(10), 5) == [0, 2, 4, 6, 8]
    assert evenly(range(3), 5) == [0, 1, 2]


def test_a_fresh_process_says_how_long_and_how_much_memory_it_took(tiny: Path, album: Path):
    entry = Entry(library="wordsight", path=str(tiny / "tiny"), model="tiny", engine="onnxruntime")
    ballast = bytearray(256 * 2**20)  # a child must not be charged with what its parent holds
    start = start_fresh(entry, [album / "0.png"], ["a red circle"])
    assert 0.05 < start.seconds < 60
    assert start.memory is not None
    assert 20e6 < start.memory < 400e6
    own = peak_memory()
    assert own is not None
    assert own > len(ballast)


def test_a_process_that_dies_is_named_with_what_it_said(tmp_path: Path):
    entry = Entry(library="wordsight", path=str(tmp_path / "gone"), model="", engine="onnxruntime")
    with pytest.raises(MissingError, match=r"speed.start ended with code 1: .*InputError"):
        start_fresh(entry, [], [])


def test_all_arithmetic_that_torch_has_is_measured(found: Benched):
    assert {"float32", "bfloat16"} <= set(found.peaks)
    assert all(peak.per_second > 1e8 for peak in found.peaks.values())
    assert all(peak.size in SIZES for peak in found.peaks.values())


def test_the_fastest_product_is_that_of_the_best_size(monkeypatch):
    now = 0.0
    speeds = dict(zip(SIZES, (1e9, 4e9, 3e9, 2e9), strict=True))

    def prepare(size):
        def multiply() -> None:
            nonlocal now
            now += 2 * size**3 / speeds[size]

        return multiply

    monkeypatch.setattr("wordsight.speed.peak.time.perf_counter", lambda: now)
    assert fastest_product(prepare, 100.0) == (pytest.approx(4e9), SIZES[1])
    now = 0.0
    assert fastest_product(prepare, 1e-6)[1] == SIZES[0]  # larger ones would take too long


def test_a_graph_that_rounds_what_flows_through_it_counts_as_int8(bundle_copy: Path):
    entry = Entry(library="wordsight", path=str(bundle_copy), model="", engine="onnxruntime")
    assert Wordsight(entry).arithmetic == "float32"
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(bundle_copy / "image.onnx")
    name = graph.graph.input[0].name
    scale = onnx.numpy_helper.from_array(np.array(0.05, np.float32), "scale")
    zero = onnx.numpy_helper.from_array(np.array(0, np.int8), "zero")
    graph.graph.initializer.extend([scale, zero])
    for node in graph.graph.node:
        node.input[:] = ["rounded" if one == name else one for one in node.input]
    pair = (
        onnx.helper.make_node("QuantizeLinear", [name, "scale", "zero"], ["levels"]),
        onnx.helper.make_node("DequantizeLinear", ["levels", "scale", "zero"], ["rounded"]),
    )
    for place, node in enumerate(pair):
        graph.graph.node.insert(place, node)
    onnx.save(graph, bundle_copy / "image.onnx")
    worlds.rewrite_sums(bundle_copy)
    assert Wordsight(entry).arithmetic == "int8"
    assert Wordsight(replace(entry, engine="torch")).arithmetic == "float32"


def test_bfloat16_counts_as_such_where_the_engine_has_it(tiny: Path):
    entry = Entry(library="wordsight", path=str(tiny / "tiny"), model="", precision="bfloat16")
    assert Wordsight(replace(entry, engine="torch")).arithmetic == "bfloat16"


def test_a_model_that_reads_no_sentences_is_measured_on_pictures_alone(tiny, tmp_path, album):
    write_edge(tiny / "tiny", tmp_path / "edge", ["red circle", "blue cross"])
    settings = BenchSettings(engine="onnxruntime", seconds=SHORT, threads=1)
    found = bench(tmp_path / "edge", pictures=[str(album)], settings=settings)
    assert found.figures["onnxruntime"].sentences is None
    assert found.num_sentences == 0
    assert found.operations.picture is not None
    assert found.share("onnxruntime").pictures is not None
    _, rows = bench_table.own_table(found, ENGLISH)
    titles = [row[0] for row in rows]
    assert ENGLISH("bench.files") in titles
    assert ENGLISH("bench.sentences") not in titles
