"""The doctor on a checkpoint: what it is, read from the files of the libraries themselves."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("open_clip")
pytest.importorskip("transformers")

from transformers import CLIPModel, SiglipModel

import foreign_worlds
import wordsight
from wordsight.checkpoints.checkpoint import Overrides
from wordsight.commands.description import nearest_model
from wordsight.commands.examination import CheckpointReport, examine_checkpoint
from wordsight.errors import CheckpointError, InputError
from wordsight.images import Preprocessing
from wordsight.model import zoo

FORMATS = {
    "ViT-tiny.pt": "openai",
    "my-open-clip": "open_clip",
    "my-clip-hf": "hf",
    "my-siglip-hf": "hf",
    "siglip.npz": "big_vision",
}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of every library; not to be changed."""
    return foreign_worlds.write_all(tmp_path_factory.mktemp("foreign"))


def row(report: CheckpointReport, section: str, name: str) -> Any:
    (found,) = (r for r in report.rows if (r.section, r.name) == (section, name))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_checkpoint_is_what_its_library_made(foreign: Path, name: str):
    report = examine_checkpoint(foreign / name)
    assert report.num_broken == 0
    found = json.loads(json.dumps(report.to_json()))
    is_siglip = "siglip" in name
    home = SiglipModel if is_siglip else CLIPModel
    folder = foreign / ("my-siglip-hf" if is_siglip else "my-clip-hf")
    parameters = sum(p.numel() for p in home.from_pretrained(folder).parameters())
    assert found["format"] == FORMATS[name]
    assert found["num_parameters"] == parameters
    assert found["num_bytes"] == 4 * parameters
    assert list(found["tensor_types"]) == ["float32"]
    assert found["embed_dim"] == (foreign_worlds.WIDTH if is_siglip else foreign_worlds.EMBED)
    expected = (foreign_worlds.SIGLIP_CONTEXT, foreign_worlds.SIGLIP_PIECES)
    if not is_siglip:
        expected = (foreign_worlds.CONTEXT, foreign_worlds.VOCABULARY)
    assert (found["context_length"], found["vocab_size"]) == expected
    assert found["preprocessing"]["size"] == foreign_worlds.SIDE
    assert found["preprocessing"]["resize"] == ("squash" if is_siglip else "shortest")
    assert found["image"]["kind"] == "vision-transformer"
    assert found["has_tokenizer"] is (name != "siglip.npz")
    assert found["notes"]
    assert row(report, "weights", "numbers").value == "all finite"


def test_a_missing_vocabulary_is_missing_and_not_broken(foreign: Path):
    found = row(examine_checkpoint(foreign / "siglip.npz"), "text", "tokenizer")
    assert found.state == "missing"
    assert "--tokenizer" in found.advice
    overrides = Overrides(tokenizer=foreign / "siglip.model")
    found = row(
        examine_checkpoint(foreign / "siglip.npz", overrides=overrides), "text", "tokenizer"
    )
    assert found.state == "ok"


def test_numbers_that_are_none_are_found_with_their_layer(foreign: Path, tmp_path: Path):
    arrays = dict(np.load(foreign / "siglip.npz"))
    arrays["txt/head/bias"] = np.full_like(arrays["txt/head/bias"], np.inf)
    arrays["img/embedding/bias"][3] = np.nan
    np.savez(tmp_path / "damaged.npz", **arrays)
    report = examine_checkpoint(tmp_path / "damaged.npz")
    found = row(report, "weights", "numbers")
    assert report.num_broken == 1
    assert found.state == "broken"
    assert "not finite in 2 layers" in found.value
    assert "image.tower.patch_embedding.bias" in found.value
    assert "text.head.linear.bias" in found.value


def test_preprocessing_of_another_size_is_broken(foreign: Path):
    overrides = Overrides(preprocessing=Preprocessing(size=64))
    report = examine_checkpoint(foreign / "my-clip-hf", overrides=overrides)
    found = row(report, "model", "preprocessing")
    assert found.state == "broken"
    assert "the tower takes 32 px" in found.value


def test_half_precision_is_counted(foreign: Path, tmp_path: Path):
    model = CLIPModel.from_pretrained(foreign / "my-clip-hf").half()
    model.save_pretrained(tmp_path / "half")
    found = examine_checkpoint(tmp_path / "half").to_json()
    assert found["tensor_types"] == {"float16": len(list(model.parameters()))} or set(
        found["tensor_types"]
    ) == {"float16"}
    assert found["num_bytes"] == 2 * found["num_parameters"]


@pytest.mark.parametrize("name", zoo.names())
def test_every_known_architecture_is_nearest_to_itself(name: str):
    assert nearest_model(zoo.find(name).architecture) == name


def test_what_differs_from_the_nearest_is_named_unless_it_is_almost_everything(foreign: Path):
    known = zoo.find("ViT-B-16").architecture
    shallow = replace(known, text=replace(known.text, depth=11))
    assert nearest_model(shallow) == "ViT-B-16, with text.depth 11 instead of 12"
    small = examine_checkpoint(foreign / "my-clip-hf").to_json()["nearest"]
    assert re.fullmatch(r"none: \S+ is the nearest, and \d+ settings differ", small)


def test_the_end_token_by_its_id_is_the_largest_id_in_other_words():
    known = zoo.find("ViT-B-16").architecture
    text = replace(known.text, pooling="end", end_id=known.text.vocab_size - 1)
    assert nearest_model(replace(known, text=text)) == "ViT-B-16"


def test_a_bundle_of_graphs_is_described_by_its_config():
    report = examine_checkpoint("mini")
    assert report.num_broken == 0
    values = report.to_json()
    assert (values["format"], values["name"]) == ("bundle", "mini")
    assert "every checksum right" in row(report, "weights", "size").value
    model = wordsight.load("mini")
    assert values["embed_dim"] == model.embed_dim


def test_a_bundle_with_towers_of_another_family_is_still_a_bundle(tiny: Path):
    report = examine_checkpoint(tiny / "tiny")
    assert report.to_json()["format"] == "bundle"
    assert "CLIP family" in row(report, "notes", "1").value


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, foreign: Path):
    with pytest.raises(InputError, match="neither a shipped model nor"):
        examine_checkpoint(tmp_path / "nothing")
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><html>")
    with pytest.raises(CheckpointError, match="a web page"):
        examine_checkpoint(tmp_path / "page.pt")
    copy = Path(shutil.copytree(foreign / "my-siglip-hf", tmp_path / "cut"))
    with (copy / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        examine_checkpoint(copy)


def test_nothing_of_the_model_is_run(foreign: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a module was run")

    monkeypatch.setattr(torch.nn.Module, "__call__", never)
    assert examine_checkpoint(foreign / "my-siglip-hf").num_broken == 0
