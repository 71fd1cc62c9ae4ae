"""Fetching from a hub, against a small hub on this machine; each fetch is a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hub_server
import wordsight
from hub_server import HubRepository, LocalHub
from wordsight import hub
from wordsight.errors import InputError, MissingError
from wordsight.hub import needed_files, parse

pytest.importorskip("huggingface_hub")

TESTS = Path(__file__).parent
FETCH = f"""
import json, sys
sys.path.insert(0, {str(TESTS)!r})
import network_guard
network_guard.install()
from wordsight.errors import WordsightError
from wordsight.hub import fetch
try:
    folder = fetch(sys.argv[1])
    found = {{"folder": str(folder), "files": sorted(p.name for p in folder.rglob("*"))}}
except WordsightError as error:
    found = {{"error": type(error).__name__, "message": str(error), "hint": error.hint}}
print(json.dumps(found))
"""
LOAD = f"""
import json, sys
sys.path.insert(0, {str(TESTS)!r})
import network_guard
network_guard.install()
import wordsight
model = wordsight.load(sys.argv[1])
print(json.dumps([model.encode_text(["a red circle"]).tolist(), model.engine.name]))
"""
CLIP = {
    "README.md": b"---\nlicense: mit\n---\n",
    "config.json": b'{"model_type": "clip"}',
    "preprocessor_config.json": b'{"size": 224}',
    "tokenizer.json": b'{"version": "1.0"}',
    "vocab.json": b'{"a": 0}',
    "merges.txt": b"#version: 0.2\n",
    "model.safetensors": bytes(range(256)) * 40,
    "pytorch_model.bin": b"\x80\x02" + b"p" * 4000,
    "flax_model.msgpack": b"f" * 4000,
    "tf_model.h5": b"h" * 4000,
    "modeling_clip.py": b"raise SystemExit('ran')\n",
    "onnx/model.onnx": b"o" * 4000,
    "training_args.bin": b"t",
}
WANTED = ["README.md", "config.json", "merges.txt", "model.safetensors"]
WANTED += ["preprocessor_config.json", "tokenizer.json", "vocab.json"]
Fetched = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalHub]:
    with hub_server.serve() as found:
        yield found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real models of two libraries; not to be changed."""
    for package in ("open_clip", "transformers", "sentencepiece"):
        pytest.importorskip(package)
    import foreign_worlds

    folder = tmp_path_factory.mktemp("models")
    foreign_worlds.siglip_folder(folder / "my-siglip-hf")
    foreign_worlds.open_clip_folder(folder / "my-open-clip")
    return folder


@pytest.fixture
def local_hub(server: LocalHub) -> LocalHub:
    """The hub with one repository, `me/clip`, and nothing asked of it yet."""
    server.repositories = {"me/clip": HubRepository(CLIP)}
    server.damaged, server.refused = set(), set()
    server.requests.clear()
    server.downloads.clear()
    return server


@pytest.fixture
def fetched(local_hub: LocalHub, tmp_path: Path) -> Callable[..., Fetched]:
    """Call `fetch` in a fresh process with a cache of its own."""

    def run(name: str = "hf:me/clip", *, code: str = FETCH, **environment: str) -> Any:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
        own = {"HF_ENDPOINT": local_hub.url, "HF_HOME": str(tmp_path / "hf"), **environment}
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", code, name],
            env={**kept, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "nothing is printed where nobody is watching"
        return json.loads(done.stdout)

    return run


def test_only_what_a_model_needs_is_fetched(fetched: Any, local_hub: LocalHub):
    found = fetched()
    assert found["files"] == WANTED
    assert sorted(local_hub.downloads) == WANTED
    assert local_hub.downloads[-1] == "model.safetensors", "weights come last"
    folder = Path(found["folder"])
    assert all((folder / name).read_bytes() == CLIP[name] for name in WANTED)


@pytest.mark.parametrize("kind", ["my-siglip-hf", "my-open-clip"])
def test_a_fetched_model_opens_and_its_copied_folder_does_so_alone(
    fetched: Any, local_hub: LocalHub, models: Path, tmp_path: Path, kind: str
):
    files = {file.name: file.read_bytes() for file in (models / kind).iterdir()}
    local_hub.repositories["me/real"] = HubRepository({**files, "evil.py": b"raise SystemExit(1)"})
    loaded, engine = fetched("hf:me/real", code=LOAD)
    assert engine == "torch"
    folder = Path(fetched("hf:me/real", HF_HUB_OFFLINE="1")["folder"])
    copy = Path(shutil.copytree(folder, tmp_path / "copied", symlinks=False))
    shutil.rmtree(tmp_path / "hf")
    sentences, pictures = ["a red circle"], [np.full((40, 50, 3), 77, np.uint8)]
    alone, home = wordsight.load(copy), wordsight.load(models / kind)
    np.testing.assert_allclose(loaded, home.encode_text(sentences), rtol=0, atol=1e-6)
    for model in (alone, home):
        assert model.tokenize(sentences).tolist() == home.tokenize(sentences).tolist()
    np.testing.assert_array_equal(alone.encode_text(sentences), home.encode_text(sentences))
    np.testing.assert_array_equal(alone.encode_image(pictures), home.encode_image(pictures))


def test_a_second_time_nothing_is_fetched(fetched: Any, local_hub: LocalHub):
    first = fetched()
    local_hub.downloads.clear()
    assert fetched() == first
    assert local_hub.downloads == []


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_the_cache_serves_and_nobody_is_asked(
    fetched: Any, local_hub: LocalHub, switch: str
):
    first = fetched()
    local_hub.requests.clear()
    assert fetched(**{switch: "1"}) == first
    assert local_hub.requests == []


def test_a_commit_in_the_cache_is_opened_without_asking(fetched: Any, local_hub: LocalHub):
    commit = local_hub.repositories["me/clip"].commit
    first = fetched(f"hf:me/clip@{commit}")
    assert first["files"] == WANTED
    local_hub.requests.clear()
    assert fetched(f"hf:me/clip@{commit}") == first
    assert local_hub.requests == []


def test_a_hub_that_does_not_answer_is_replaced_by_the_cache(fetched: Any):
    first = fetched()
    assert fetched(HF_ENDPOINT="http://127.0.0.1:9") == first


def test_without_network_and_cache_the_message_says_how_to_go_on(fetched: Any):
    found = fetched(HF_ENDPOINT="http://127.0.0.1:9")
    assert found["error"] == "MissingError"
    assert "hf:me/clip@main: is not whole in the cache" in found["message"]
    assert "http://127.0.0.1:9" in found["message"]
    assert "hf download me/clip --local-dir my-model" in found["hint"]


def test_offline_without_cache_the_message_says_how_to_go_on(fetched: Any, local_hub: LocalHub):
    found = fetched(HF_HUB_OFFLINE="1")
    assert found["error"] == "MissingError"
    assert "HF_HUB_OFFLINE is set" in found["message"]
    assert "copy that folder" in found["hint"]
    assert local_hub.requests == []


def test_a_fetch_that_broke_off_is_not_taken_for_a_model(fetched: Any, local_hub: LocalHub):
    local_hub.refused = {"model.safetensors"}
    assert fetched()["error"] == "MissingError"
    assert fetched(HF_HUB_OFFLINE="1")["error"] == "MissingError"
    local_hub.refused = set()
    local_hub.downloads.clear()
    assert fetched()["files"] == WANTED
    assert local_hub.downloads == ["model.safetensors"], "what had arrived is kept"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_a_changed_byte_in_the_cache_is_found(fetched: Any, name: str, environment: dict[str, str]):
    blob = (Path(fetched()["folder"]) / name).resolve()
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = fetched(**environment)
    assert found["error"] == "CheckpointError"
    assert name in found["message"]
    assert f"delete {blob}" in found["hint"]
    blob.unlink()
    assert fetched()["files"] == WANTED


def test_without_links_the_hub_is_asked_for_the_checksum(fetched: Any):
    file = Path(fetched()["folder"]) / "model.safetensors"
    content = file.read_bytes()
    file.unlink()  # as on a disk that has no symbolic links
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = fetched()
    assert found["error"] == "CheckpointError"
    assert "model.safetensors: damaged" in found["message"]


def test_a_byte_changed_on_the_way_is_found(fetched: Any, local_hub: LocalHub):
    local_hub.damaged = {"model.safetensors"}
    found = fetched()
    assert found["error"] == "CheckpointError"
    assert "model.safetensors: damaged" in found["message"]


@pytest.mark.parametrize(
    ("name", "said", "advice"),
    [
        ("hf:me/other", "no such model", "hf auth login"),
        ("hf:me/clip@v9", "no revision 'v9'", "a branch, a tag or a commit"),
        ("hf:me/gated", "is gated", "accept them at"),
        ("hf:me/pipeline", "holds no model that can be opened", "download the file yourself"),
        ("hf:me/bundle", "is a wordsight bundle", "--local-dir"),
    ],
)
def test_what_cannot_be_fetched_is_explained(
    fetched: Any, local_hub: LocalHub, name: str, said: str, advice: str
):
    local_hub.repositories |= {
        "me/gated": HubRepository(CLIP, is_gated=True),
        "me/pipeline": HubRepository({"0_CLIPModel/config.json": b"{}", "modules.json": b"[]"}),
        "me/bundle": HubRepository({"SHA256SUMS": b"", **CLIP}),
    }
    found = fetched(name)
    assert found["error"] == "InputError"
    assert said in found["message"]
    assert advice in found["hint"]
    assert local_hub.downloads == []


def test_a_branch_with_a_slash_is_a_revision(fetched: Any, local_hub: LocalHub):
    found = fetched("hf:me/clip@refs/pr/1")
    assert found["files"] == WANTED


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:clip",
        "hf:me/clip/deeper",
        "hf:../clip",
        "hf:me/..",
        "hf:me/cl..ip",
        "hf:me/clip@",
        "hf:me/clip@../main",
        "hf:me/clip@a//b",
        "hf:me/clip@/etc",
        "hf:me--x/clip",
        "hf:/me/clip",
        "hf:me/clip ",
        "hf:me/clip\n",
        "hf:me/-clip",
        "hf:me/clip.",
        "hf:me/çlip",
        "hf:http://me/clip",
        "me/clip",
        "hf:" + "a" * 100 + "/clip",
    ],
)
def test_names_that_are_none_are_refused(name: str):
    with pytest.raises(InputError, match="is not a model of the hub"):
        parse(name)


def test_names_of_real_repositories_are_understood():
    assert parse("hf:openai/clip-vit-base-patch32").revision == "main"
    found = parse("hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K@1a25a446")
    assert (found.name, found.revision) == ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "1a25a446")
    assert parse("hf:google/siglip2-so400m-patch14-384").name.startswith("google/")


def test_safetensors_come_before_pickles_and_one_library_before_two():
    both = ["config.json", "open_clip_config.json", "tokenizer.json"]
    pickles = ["open_clip_pytorch_model.bin", "pytorch_model.bin"]
    found = needed_files([*both, *pickles, "open_clip_model.safetensors"], where="")
    assert found.weights == ("open_clip_model.safetensors",)
    assert found.small == ("open_clip_config.json", "tokenizer.json")
    found = needed_files([*both, *pickles, "model.safetensors"], where="")
    assert found.weights == ("model.safetensors",)
    assert found.small == ("config.json", "tokenizer.json")
    found = needed_files([*both, *pickles], where="")
    assert found.weights == ("open_clip_pytorch_model.bin",)
    found = needed_files(["config.json", *pickles], where="")
    assert found.weights == ("pytorch_model.bin",)


def test_shards_are_fetched_with_their_index_and_only_all_of_them_are_a_model():
    index, other = "model.safetensors.index.json", "pytorch_model.bin.index.json"
    shards = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    found = needed_files(["config.json", index, other, *shards], where="")
    assert found.weights == tuple(shards)
    assert found.small == ("config.json", index)
    with pytest.raises(InputError, match="holds no model"):
        needed_files(["config.json", index, *shards[1:]], where="")


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingError) as caught:
        hub.fetch("hf:me/clip")
    assert caught.value.hint == 'pip install "wordsight[hub]"'


def test_importing_the_module_opens_nothing():
    code = "import sys, wordsight.hub; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"huggingface_hub", "httpx", "httpx2", "requests"} & set(done.stdout.split())
