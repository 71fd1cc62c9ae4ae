"""Encoding says where its time went, keeps few batches ahead, and reads files as it is told."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import wordsight as ws
from wordsight.cli.pace import say_pace
from wordsight.engine.pace import Pace
from wordsight.engine.pictures import BATCHES_AHEAD, encode_pictures
from wordsight.errors import ImageError
from wordsight.images import ImageLimits, Reading, prepare_batch
from wordsight.language import Phrases
from wordsight.model.outputs import EMBEDDING
from wordsight.terminal import Terminal


@pytest.fixture(scope="module")
def model(tiny: Path) -> ws.Model:
    return ws.load(tiny / "tiny", engine="onnxruntime")


def jpeg(seed: int, width: int = 90, height: int = 70) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG")
    return file.getvalue()


def batches(model: ws.Model, sources, **options):
    recipe = model.source.config.preprocessing
    return encode_pictures(
        model.engine.image, sources, recipe, outputs=(EMBEDDING,), batch_size=4, **options
    )


def test_the_pace_counts_every_picture_and_all_of_the_time(model: ws.Model):
    before = model.pace
    encoded = model.encode_image_files([jpeg(n) for n in range(10)] + [b"no picture"])
    pace = encoded.pace
    assert (pace.pictures, len(encoded.errors)) == (11, 1)
    assert min(pace.encoding, pace.waiting, pace.preparing) > 0
    assert pace.encoding + pace.waiting <= pace.seconds
    assert model.pace == before + pace
    assert pace.per_second == pytest.approx(11 / pace.seconds)


def test_nothing_has_no_pace(model: ws.Model):
    assert model.encode_image_files([]).pace == Pace()
    assert Pace().per_second == 0


def test_paces_add_up():
    one = Pace(pictures=2, seconds=3, encoding=2, waiting=0.5, preparing=1)
    assert one + one == Pace(pictures=4, seconds=6, encoding=4, waiting=1, preparing=2)


@pytest.mark.parametrize(
    ("encoding", "waiting", "limit"),
    [(9.1, 0.9, "the tower"), (8.9, 1.1, "reading and preparing"), (1, 0, "the tower"),
     (0, 1, "reading and preparing"), (0, 0, "the tower")],
)  # fmt: skip
def test_the_tower_limits_unless_it_waits_a_tenth_of_its_time(encoding, waiting, limit):
    assert Pace(encoding=encoding, waiting=waiting).limited_by == limit


def test_slow_reading_is_found_out(model: ws.Model):
    def slow(source):
        for _ in range(4):
            Image.new("RGB", (700, 700)).resize((900, 900), Image.Resampling.LANCZOS)
        return source

    pace = sum((batch.pace for batch in batches(model, [jpeg(1)] * 12, opened=slow)), Pace())
    assert pace.limited_by == "reading and preparing"
    assert pace.preparing > pace.encoding


def test_few_batches_are_ahead_however_many_pictures_there_are(model: ws.Model):
    opened, lock = [], threading.Lock()

    def count(source):
        with lock:
            opened.append(source)
        return source

    running = batches(model, [jpeg(1)] * 400, opened=count)
    next(running)
    running.close()
    threads = min(8, os.cpu_count() or 1)
    assert len(opened) <= 4 * (threads + BATCHES_AHEAD)


def test_settings_of_reading_reach_the_files(model: ws.Model):
    sources = [jpeg(n, 900, 700) for n in range(3)]
    recipe = model.source.config.preprocessing
    for reading in (Reading(exact=True), Reading(), Reading(scaled_jpeg=True)):
        pixels = prepare_batch(sources, recipe, reading=reading).pixels
        expected = model.engine.image.run(pixels, (EMBEDDING,))[EMBEDDING]
        found = model.encode_image(sources, reading=reading)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    strict = Reading(limits=ImageLimits(max_pixels=1000))
    with pytest.raises(ImageError, match="limit is 1000"):
        model.encode_image(sources, reading=strict)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_people_are_told_the_pace_of_long_runs_only(language: str, capsys):
    terminal = Terminal(Phrases.load(language))
    say_pace(terminal, Pace(pictures=9, seconds=4.9, encoding=4, waiting=0.5))
    assert capsys.readouterr().out == ""
    say_pace(terminal, Pace(pictures=1200, seconds=60, encoding=45, waiting=15))
    say_pace(terminal, Pace(pictures=120, seconds=60, encoding=59, waiting=0))
    preparing, tower = capsys.readouterr().out.splitlines()
    assert all(part in preparing for part in ("1,200", "60", "20", "25%"))
    assert all(part in tower for part in ("120", "2.0", "0%"))
    assert preparing.partition("25%")[2] != tower.partition("0%")[2]
