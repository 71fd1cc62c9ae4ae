"""Converting: what comes out is the same model, or nothing comes out."""

import errno
import gc
import json
import signal
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("open_clip")
pytest.importorskip("transformers")

from open_clip import create_model
from transformers import CLIPModel

import foreign_worlds
from wordsight.checkpoints import building, writing
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.compare import compare
from wordsight.checkpoints.opening import open_checkpoint
from wordsight.checkpoints.tensors import in_memory
from wordsight.commands.convert import convert
from wordsight.errors import CheckpointError, InputError

TESTS = Path(__file__).resolve().parents[1]
PAIRS = [
    ("ViT-tiny.pt", "bundle"),
    ("ViT-tiny.pt", "openai"),
    ("ViT-tiny.pt", "hf"),
    ("my-open-clip", "hf"),
    ("my-clip-hf", "open_clip"),
    ("my-clip-hf", "openai"),
    ("my-siglip-hf", "bundle"),
    ("my-siglip-hf", "hf"),
]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of every library; not to be changed."""
    return foreign_worlds.write_all(tmp_path_factory.mktemp("foreign"))


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_what_is_written_is_the_same_model(foreign: Path, tmp_path: Path, source: str, target: Any):
    out = tmp_path / "deeper" / "out.pt"
    done = convert(foreign / source, out, target)
    found = done.comparison
    assert found.num_identical == found.num_tensors > 50
    assert found.tensor_difference == 0
    assert found.image_difference == found.text_difference == 0
    assert found.num_other_ids == 0
    assert (done.target, done.target_format) == (out, target)
    assert everything(out.parent) == ["out.pt"]
    files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
    assert done.num_bytes == sum(len(file.read_bytes()) for file in files)


def test_arrays_of_big_vision_become_the_model_that_transformers_saved(
    foreign: Path, tmp_path: Path
):
    overrides = Overrides(tokenizer=foreign / "siglip.model")
    done = convert(foreign / "siglip.npz", tmp_path / "out", "hf", overrides=overrides)
    assert done.source_format == "big_vision"
    home = open_checkpoint(foreign / "my-siglip-hf")
    found = compare(open_checkpoint(tmp_path / "out"), home)
    assert found.num_identical == found.num_tensors
    assert found.num_other_ids == 0
    assert found.num_sentences > 0


@torch.inference_mode()
def test_both_home_libraries_say_the_same_of_a_converted_model(foreign: Path, tmp_path: Path):
    convert(foreign / "my-open-clip", tmp_path / "hf", "hf")
    theirs = create_model(f"local-dir:{foreign / 'my-open-clip'}").eval()
    converted = CLIPModel.from_pretrained(tmp_path / "hf").eval()
    pixels = torch.randn(2, 3, foreign_worlds.SIDE, foreign_worlds.SIDE)
    ids = foreign_worlds.open_clip.SimpleTokenizer()(["a red circle", "two cats on a sofa"])
    out = converted(input_ids=ids, pixel_values=pixels)
    expected = theirs.encode_image(pixels, normalize=True), theirs.encode_text(ids, normalize=True)
    torch.testing.assert_close(out.image_embeds, expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(out.text_embeds, expected[1], rtol=0, atol=1e-5)


def test_programs_and_people_learn_what_was_not_kept(foreign: Path, tmp_path: Path):
    done = convert(foreign / "my-clip-hf", tmp_path / "clip.pt", "openai")
    values = json.loads(json.dumps(done.to_json()))
    assert values["source_format"] == "hf"
    assert values["target"] == str(tmp_path / "clip.pt")
    assert values["comparison"]["num_tensors"] == done.comparison.num_tensors
    assert values["notes"]
    assert set(values["not_kept"]) <= {"preprocessing", "tokenizer", "licence"}
    model = CLIPModel.from_pretrained(foreign / "my-clip-hf")
    assert values["num_parameters"] == sum(p.numel() for p in model.parameters())
    squashed = replace(open_checkpoint(foreign / "my-clip-hf").preprocessing, resize="squash")
    overrides = Overrides(preprocessing=squashed)
    done = convert(foreign / "my-clip-hf", tmp_path / "2.pt", "openai", overrides=overrides)
    assert "preprocessing" in done.not_kept


def test_an_override_is_part_of_what_is_written(foreign: Path, tmp_path: Path):
    convert(
        foreign / "ViT-tiny.pt", tmp_path / "b", "bundle", overrides=Overrides(activation="gelu")
    )
    assert open_checkpoint(tmp_path / "b").architecture.text.activation == "gelu"


def changed(checkpoint: Checkpoint, name: str, change: Any) -> Checkpoint:
    """Return a checkpoint with one tensor changed."""
    tensor = in_memory(change(checkpoint.weights[name].read().clone()))
    return replace(checkpoint, weights={**checkpoint.weights, name: tensor})


def add_to_first(tensor: torch.Tensor, number: float) -> torch.Tensor:
    tensor.view(-1)[0] += number
    return tensor


@pytest.fixture(scope="module")
def clip(foreign: Path) -> Checkpoint:
    return open_checkpoint(foreign / "my-clip-hf")


def test_one_number_of_one_tensor_is_found(clip: Checkpoint):
    name = "image.tower.blocks.1.mlp.expand.bias"
    found = compare(clip, changed(clip, name, lambda t: add_to_first(t, 0.25)))
    assert found.num_identical == found.num_tensors - 1
    assert found.tensor_difference == pytest.approx(0.25, rel=1e-6)
    assert found.image_difference > 1e-4
    assert found.text_difference == 0
    assert not found.is_same()


def test_zero_and_minus_zero_another_type_and_nan_are_told_apart(clip: Checkpoint):
    name = "text.tower.norm.bias"
    zeroed = changed(clip, name, torch.zeros_like)
    assert not compare(zeroed, changed(clip, name, lambda t: -torch.zeros_like(t))).is_same()
    assert not compare(zeroed, changed(zeroed, name, torch.Tensor.double)).is_same()
    assert compare(zeroed, zeroed).is_same()
    with pytest.raises(CheckpointError, match="vectors of sentences that are not finite"):
        compare(zeroed, changed(clip, name, lambda t: add_to_first(t, torch.nan)))


def test_the_same_numbers_in_another_architecture_are_another_model(clip: Checkpoint):
    text = replace(clip.architecture.text, activation="gelu")
    found = compare(clip, replace(clip, architecture=replace(clip.architecture, text=text)))
    assert found.num_identical == found.num_tensors
    assert found.image_difference == 0
    assert found.text_difference > 1e-5
    assert not found.is_same()


def test_other_tokens_are_found(clip: Checkpoint, foreign: Path):
    other = open_checkpoint(foreign / "my-siglip-hf").tokenizer
    found = compare(clip, replace(clip, tokenizer=other))
    assert found.num_other_ids > 0
    assert not found.is_same()
    assert compare(clip, replace(clip, tokenizer=None)).num_sentences == 0


def test_missing_and_misshapen_layers_are_named(clip: Checkpoint):
    name = "text.head.linear.weight"
    rest = {key: value for key, value in clip.weights.items() if key != name}
    with pytest.raises(CheckpointError, match=f"only this one has the layer '{name}'"):
        compare(clip, replace(clip, weights=rest))
    with pytest.raises(CheckpointError, match=f"layer '{name}' has other shapes"):
        compare(clip, changed(clip, name, lambda t: t[:-1]))


def test_never_are_two_models_in_memory(clip: Checkpoint, monkeypatch: pytest.MonkeyPatch):
    built: list[weakref.ref[torch.nn.Module]] = []
    original = building.build_clip

    def build(*arguments: Any) -> Any:
        gc.collect()
        assert all(model() is None for model in built)
        built.append(weakref.ref(model := original(*arguments)))
        return model

    monkeypatch.setattr(building, "build_clip", build)
    assert compare(clip, clip).is_same()
    assert len(built) == 2


def test_a_model_that_was_written_wrong_is_not_left_behind(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    original = writing.write_checkpoint

    def write(checkpoint: Checkpoint, path: Path, kind: Any) -> Any:
        wrong = changed(checkpoint, "logit_scale", lambda t: t + 1)
        return original(wrong, path, kind)

    monkeypatch.setattr(writing, "write_checkpoint", write)
    with pytest.raises(CheckpointError, match=r"is another model: 1 of \d+ tensors differ") as e:
        convert(foreign / "my-clip-hf", tmp_path / "out", "open_clip")
    assert "report" in e.value.hint
    assert everything(tmp_path) == []


@pytest.mark.parametrize("is_stated", [True, False])
def test_a_deviation_is_accepted_only_if_the_writer_states_it(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stated: bool
):
    original = writing.write_checkpoint

    def write(checkpoint: Checkpoint, path: Path, kind: Any) -> tuple[str, ...]:
        config = checkpoint.architecture
        config = replace(config, image=replace(config.image, activation="gelu"))
        original(replace(checkpoint, architecture=config), path, kind)
        return ("pictures will differ a little",) if is_stated else ()

    monkeypatch.setattr(writing, "write_checkpoint", write)
    if not is_stated:
        with pytest.raises(CheckpointError, match="is another model: 0 of"):
            convert(foreign / "my-siglip-hf", tmp_path / "out", "bundle")
        return
    done = convert(foreign / "my-siglip-hf", tmp_path / "out", "bundle")
    assert done.to_json()["deviations"] == ["pictures will differ a little"]
    assert 1e-6 < done.comparison.image_difference < 1e-2
    assert done.comparison.num_identical == done.comparison.num_tensors


@pytest.mark.parametrize("target", ["bundle", "open_clip", "hf", "openai"])
def test_a_full_disk_leaves_nothing_behind(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any
):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        convert(foreign / "my-clip-hf", tmp_path / "out", target)
    assert everything(tmp_path) == []


DIE = f"""
import os, signal, sys
sys.path.insert(0, {str(TESTS)!r})
from pathlib import Path
from wordsight.checkpoints import compare
from wordsight.commands.convert import convert
compare.compare = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
convert(Path(sys.argv[1]), Path(sys.argv[2]), "bundle")
"""


def test_a_kill_before_it_was_proved_leaves_no_model_and_the_next_run_cleans_up(
    foreign: Path, tmp_path: Path
):
    source, target = foreign / "my-siglip-hf", tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", DIE, str(source), str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(everything(tmp_path)) == 1
    convert(source, target, "bundle")
    assert everything(tmp_path) == ["out"]


@pytest.mark.parametrize("target", ["bundle", "openai"])
def test_nothing_that_stands_there_is_replaced(foreign: Path, tmp_path: Path, target: Any):
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    file.write_text("mine")
    link.symlink_to("nowhere")
    for taken in (folder, file, link):
        with pytest.raises(InputError, match="exists already") as caught:
            convert(foreign / "my-siglip-hf", taken, target)
        assert "choose another name" in caught.value.hint
    assert file.read_text() == "mine"


def test_what_cannot_be_converted_is_explained(foreign: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no format 'big_vision' to write") as caught:
        convert(foreign / "my-siglip-hf", tmp_path / "a", "big_vision")  # type: ignore[arg-type]
    assert "bundle, openai, open_clip, hf" in caught.value.hint
    with pytest.raises(InputError, match="neither a shipped model nor"):
        convert(foreign / "nothing", tmp_path / "a", "hf")
    with pytest.raises(CheckpointError, match="cannot be written as an OpenAI state dict"):
        convert(foreign / "my-siglip-hf", tmp_path / "a", "openai")
    with pytest.raises(CheckpointError, match="cannot be written for open_clip: timm has no"):
        convert(foreign / "my-siglip-hf", tmp_path / "a", "open_clip")
    assert everything(tmp_path) == []
