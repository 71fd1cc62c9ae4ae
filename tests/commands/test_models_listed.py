"""`wordsight models` says what there is, what it costs, and what this machine has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wordsight.commands.models import ModelRow, hub_cache, list_models
from wordsight.model import zoo

VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def rows() -> dict[str, ModelRow]:
    return {row.name: row for row in list_models()}


def download(cache: Path, repository: str, *files: str) -> None:
    """Lay files as huggingface_hub does: blobs, and links to them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    for number, file in enumerate(files):
        blob = folder / "blobs" / str(number)
        blob.write_bytes(b"something")
        (snapshot / file).symlink_to(blob)


def test_the_shipped_model_comes_first_and_is_installed(cache: Path):
    mini, *others = list_models()
    assert mini.name == "mini"
    assert mini.installed == ("mini",)
    assert mini.image_size == 224
    assert mini.embed_dim == 384
    assert mini.context_length == 128
    assert "Apache-2.0" in mini.licences[0]
    assert mini.size is None
    assert [row.name for row in others] == list(zoo.names())
    assert not any(row.installed for row in others)


def test_a_row_says_what_the_model_costs(cache: Path):
    row = rows()["ViT-B-32-quickgelu"]
    assert row.size is not None
    assert row.size.num_parameters == 151_277_313
    assert row.size.image.operations == pytest.approx(8.82e9, rel=1e-3)  # open_clip's own table
    assert row.size.text.operations == pytest.approx(5.96e9, rel=1e-3)
    assert (row.image_size, row.embed_dim, row.context_length) == (224, 512, 77)
    assert row.licences == ("CC-BY-NC-4.0",)  # of MetaCLIP; OpenAI's card states none
    assert row.weights[0].source == "hf:openai/clip-vit-base-patch32"
    assert row.weights[0].licence == ""


def test_fetched_weights_are_found_by_their_folder(cache: Path):
    download(cache, "openai/clip-vit-base-patch32", "config.json", "model.safetensors")
    download(cache, "google/siglip-base-patch16-224", "pytorch_model.bin")
    download(cache, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "config.json", "tokenizer.json")
    found = {name: row.installed for name, row in rows().items() if row.installed}
    assert found == {
        "mini": ("mini",),
        "ViT-B-32-quickgelu": ("hf:openai/clip-vit-base-patch32",),
        "ViT-B-16-SigLIP": ("hf:google/siglip-base-patch16-224",),
    }


def test_a_link_whose_file_is_gone_is_not_installed(cache: Path):
    download(cache, "openai/clip-vit-base-patch32", "model.safetensors")
    (cache / "models--openai--clip-vit-base-patch32" / "blobs" / "0").unlink()
    assert rows()["ViT-B-32-quickgelu"].installed == ()


def test_a_real_cache_of_huggingface_hub_is_understood(cache: Path):
    hub = pytest.importorskip("huggingface_hub")
    download(cache, "openai/clip-vit-base-patch16", "model.safetensors")
    seen = {repository.repo_id for repository in hub.scan_cache_dir(cache).repos}
    assert seen == {"openai/clip-vit-base-patch16"}
    assert rows()["ViT-B-16-quickgelu"].installed == ("hf:openai/clip-vit-base-patch16",)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"HF_HOME": "/somewhere/hf"},
        {"XDG_CACHE_HOME": "/somewhere/cache"},
        {"HF_HUB_CACHE": "/somewhere/hub", "HF_HOME": "/elsewhere"},
        {"HUGGINGFACE_HUB_CACHE": "/somewhere/old"},
        {"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"},
        {"HF_HOME": "~/hf"},
    ],
)
def test_the_cache_is_looked_for_where_huggingface_hub_keeps_it(settings: dict[str, str]):
    pytest.importorskip("huggingface_hub")
    rest = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    program = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    theirs = subprocess.run(
        [sys.executable, "-c", program],
        env=rest | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert str(hub_cache(settings)) == theirs.stdout.strip()


def test_a_row_becomes_one_json_object(cache: Path):
    download(cache, "openai/clip-vit-base-patch32", "model.safetensors")
    values = json.loads(json.dumps([row.to_json() for row in list_models()]))
    by_name = {row["name"]: row for row in values}
    assert by_name["mini"]["parameters"] is None
    assert by_name["mini"]["weights"][0]["installed"] is True
    clip = by_name["ViT-B-32-quickgelu"]
    assert clip["parameters"] == 151_277_313
    assert clip["image"] == {"parameters": 87_849_216, "giga_operations": 8.818}
    assert clip["weights"][0] == {
        "source": "hf:openai/clip-vit-base-patch32",
        "licence": "",
        "installed": True,
    }
    assert all(row.keys() == clip.keys() for row in values)
