"""Whole adaptations: every method, what it leaves on disk, kills, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import small_runs
import torch
from adaptation_world import colours, order, settings, shapes, write_labelled

import wordsight as ws
from wordsight.bundle import open_bundle
from wordsight.checkpoints.safetensors_file import read_safetensors
from wordsight.commands.classify import classify_learnt, learnt_classifier
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.errors import (
    BundleError,
    BusyError,
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
    TrainingError,
)
from wordsight.locks import locked
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.lora import Adapter, merged, read_metadata
from wordsight.training.adaptation.adapt import adapt_to_classes, adapt_to_sentences
from wordsight.training.adaptation.config import WITH_HEAD, WITH_SENTENCES, AdaptConfig
from wordsight.training.adaptation.exam import measure
from wordsight.training.adaptation.parts import split
from wordsight.training.adaptation.start import open_start

METHODS = (*WITH_HEAD, *WITH_SENTENCES, "prompts")
RESNET = ModifiedResNetConfig(
    image_size=32, depths=(1, 1, 1, 1), width=2, num_heads=2, output_width=16
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("rn") / "model", RESNET)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> LabelledPictures:
    return colours(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> LabelledPictures:
    return shapes(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_a_bundle_that_classifies_by_itself(
    start, target, other, tmp_path, method
):
    out = tmp_path / "out"
    wanted = order(start, out, settings(method, mixtures=(0.0, 0.5, 1.0)), kept={"shapes": other})
    done = adapt_to_classes(target, wanted)
    assert set(done.outcome.before) == set(done.outcome.after) == {target.name, "shapes"}
    assert done.outcome.after[target.name].n == len(target.part("test"))
    model = ws.load(out, engine="torch")
    classifier = learnt_classifier(model)
    assert classifier.words.names == target.class_names
    found = measure(model, target.part("test"), language="en", classifier=classifier)
    assert found == done.outcome.after[target.name]
    assert measure(model, other.part("test"), language="en") == done.outcome.after["shapes"]
    paths = [Path(str(image)) for image in target.images[:3]]
    decisions = classify_learnt(model, paths)
    assert all(decision.label in target.class_names for decision in decisions)
    assert abs(sum(score for _, score in decisions[0].scores) - 1) < 1e-6
    assert str(done.outcome.after[target.name]) in (out / "README.md").read_text()
    results = json.loads((out / "run" / "results.json").read_text())
    assert results["method"] == method
    assert [point["share"] for point in results["curve"]] == (
        [0.0, 0.5, 1.0] if method == "wise" else []
    )


@pytest.mark.parametrize("method", ["full", "lora", "singular-values", "prompts"])
def test_a_resnet_is_adapted_like_a_transformer(resnet, target, tmp_path, method):
    done = adapt_to_classes(target, order(resnet, tmp_path / "out", settings(method)))
    assert done.bundle.has_weights
    before = read_safetensors(resnet / "model.safetensors").tensors
    after = read_safetensors(tmp_path / "out" / "model.safetensors").tensors
    changed = {n for n in after if not torch.equal(before[n].read(), after[n].read())}
    assert not {name for name in changed if "running" in name or "num_batches" in name}
    assert bool(changed) == (method != "prompts")
    if method == "lora":
        assert {name.split(".")[0] for name in changed} == {"image", "text"}


def test_learning_makes_the_target_better(start, target, tmp_path):
    config = settings("lp-ft", epochs=6.0, learning_rate=3e-3)
    done = adapt_to_classes(target, order(start, tmp_path / "out", config))
    assert done.outcome.after[target.name].value > done.outcome.before[target.name].value + 0.2


def test_nothing_of_the_test_part_is_learnt_from(start, target, tmp_path):
    """Other labels in the test part change the scores and not one byte of the model."""
    from dataclasses import replace

    names = target.class_names
    wrong = tuple(
        (names[(names.index(label[0]) + 1) % 3],) if part == "test" else label
        for label, part in zip(target.labels, target.parts, strict=True)
    )
    files = []
    for number, pictures in enumerate((target, replace(target, labels=wrong))):
        config = settings("wise", mixtures=(0.0, 0.5, 1.0))
        done = adapt_to_classes(pictures, order(start, tmp_path / str(number), config))
        files.append((done.bundle.path / "model.safetensors").read_bytes())
        files.append((done.bundle.path / "classifier.npz").read_bytes())
    assert files[:2] == files[2:]


def test_only_the_adapter_is_in_its_file_and_the_bundle_is_merged(start, target, tmp_path):
    done = adapt_to_classes(target, order(start, tmp_path / "out", settings("lora")))
    assert done.adapter is not None
    file = read_safetensors(done.adapter)
    assert {name.rpartition(".")[2] for name in file.tensors} == {"up", "down"}
    whole = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert done.adapter.stat().st_size < whole / 3
    header = done.adapter.read_bytes()[8:]
    words = json.JSONDecoder().raw_decode(header.decode(errors="replace"))[0]["__metadata__"]
    tensors = {name: lazy.read() for name, lazy in file.tensors.items()}
    adapter = Adapter(read_metadata(words, done.adapter), tensors)
    together = merged(open_start(start).weights, adapter)
    after = read_safetensors(tmp_path / "out" / "model.safetensors").tensors
    assert all((after[n].read() - together[n]).abs().max() < 1e-6 for n in after)


@pytest.mark.parametrize("method", ["lora", "full", "prompts"])
def test_a_killed_adaptation_ends_with_the_same_bytes(start, target, tmp_path, method):
    outs = [tmp_path / "whole", tmp_path / "killed"]
    config = settings(method, dropout=0.25, crop="strong")

    def work(out: Path) -> None:
        adapt_to_classes(target, order(start, out, config))

    work(outs[0])
    child = small_runs.in_child(lambda: work(outs[1]))
    small_runs.kill_after(child, tmp_path / "killed.run" / "metrics.jsonl", 5)
    assert not outs[1].exists()
    work(outs[1])
    for name in ("model.safetensors", "classifier.npz", "run/results.json"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    metrics = [out.with_name(f"{out.name}.run") / "metrics.jsonl" for out in outs]
    assert metrics[0].read_bytes() == metrics[1].read_bytes()


def test_a_second_process_and_other_settings_are_refused(start, target, tmp_path):
    out = tmp_path / "out"
    with locked(tmp_path / "out.run"), pytest.raises(BusyError, match="another process"):
        adapt_to_classes(target, order(start, out, settings("prompts")))
    assert not out.exists()
    adapt_to_classes(target, order(start, out, settings("prompts")))
    with pytest.raises(TrainingError, match="learning_rate"):
        adapt_to_classes(target, order(start, out, settings("prompts", learning_rate=0.5)))


def test_a_folder_that_is_something_else_is_left_alone(start, target, tmp_path):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(BundleError, match="will not be replaced"):
        adapt_to_classes(target, order(start, out, settings("prompts")))
    assert [path.name for path in out.iterdir()] == ["mine.jpg"]


def test_sentences_of_any_kind_can_be_learnt_from(start, drawn, tmp_path):
    examples = PairExamples(read_pairs(drawn))
    for method in WITH_SENTENCES:
        wanted = order(start, tmp_path / method, settings(method, batch_size=16))
        done = adapt_to_sentences(examples, wanted, name="drawn")
        assert "drawn: image_to_text_r1" in done.outcome.after
        assert done.bundle.classifier() is None
        with pytest.raises(InputError, match="give the classes once"):
            learnt_classifier(ws.load(done.bundle.path, engine="torch"))
    with pytest.raises(ConfigError, match="learns from class names"):
        adapt_to_sentences(examples, order(start, tmp_path / "x", settings("full")), name="drawn")


def test_towers_that_were_only_aligned_cannot_be_taught(tiny, target, tmp_path):
    with pytest.raises(CheckpointError):
        adapt_to_classes(target, order(tiny / "tiny", tmp_path / "out", settings("full")))


def test_few_shots_need_no_torch_and_forget_nothing(tiny, target, other, tmp_path):
    out = tmp_path / "out"
    done = ws.adapt(target, out=out, model=tiny / "tiny", keep=[other])
    assert done.outcome.before[other.name] == done.outcome.after[other.name]
    assert done.outcome.algorithm
    before, after = open_bundle(tiny / "tiny"), open_bundle(out)
    same = {"image.onnx", "text.onnx", "tokenizer.json", "prompts.toml"} & set(before.files)
    assert same
    assert all(before.files[name] == after.files[name] for name in same)
    model = ws.load(out)
    again = measure(model, target.part("test"), language="en", classifier=learnt_classifier(model))
    assert again == done.outcome.after[target.name]
    with locked(tmp_path / "two.run"), pytest.raises(BusyError):
        ws.adapt(target, out=tmp_path / "two", model=tiny / "tiny")


@pytest.mark.parametrize(
    "method", ["prior_logistic", "gaussian", "tip_adapter", "tip_adapter_f", "nearest"]
)
def test_what_few_shot_says_is_what_the_bundle_says(method):
    from wordsight.training.adaptation.few_shot import as_bundle_classifier
    from wordsight.transfer import ClassVectors, FewShot

    random = np.random.default_rng(0)
    words = random.normal(size=(3, 8)).astype(np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    truth = np.arange(24) % 3
    rows = words[truth] + 0.4 * random.normal(size=(24, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = ("a", "b", "c")
    fitted = FewShot(class_vectors=ClassVectors(names, words), method=method, scale=20.0)
    fitted.fit(rows, [names[place] for place in truth])
    ours = as_bundle_classifier(fitted.scorer_, names, method=method, provenance={})
    assert np.abs(ours.logits(rows) - fitted.decision_function(rows)).max() < 1e-3


def test_parts_that_nobody_stated_are_drawn_with_groups_kept_together(target):
    from dataclasses import replace

    groups = tuple(f"{label[0]}{n // 6}" for n, label in enumerate(target.labels))
    bare = replace(target, parts=("test",) * len(target), groups=groups)
    parts = split(bare, AdaptConfig())
    keys = [set(part.keys) for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, keys)) == len(set().union(*keys)) == len(target)
    sides = [set(part.groups or ()) for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert all(set(part.truth) == set(target.class_names) for part in (parts.train, parts.test))
    again = split(bare, AdaptConfig())
    assert again.train.keys == parts.train.keys


def test_a_class_that_nothing_can_be_learnt_of_is_named(tmp_path):
    folder = write_labelled(tmp_path / "w")
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("blue,train", "red,train"))
    with pytest.raises(DataError, match="'blue' has no picture to learn from"):
        split(read_labelled(folder), settings("full"))


def test_two_sets_of_one_name_are_refused(tiny, target, tmp_path):
    with pytest.raises(InputError, match="two sets are called"):
        ws.adapt(target, out=tmp_path / "out", model=tiny / "tiny", keep=[target])


@pytest.mark.parametrize(
    "given",
    [
        {"validation": 0.0},
        {"mixtures": ()},
        {"mixtures": (2.0,)},
        {"learning_rate": -1.0},
        {"dropout": 0.1, "checkpoint_gradients": True},
        {"epochs": 0.0},
    ],
)
def test_settings_that_cannot_work_are_refused(given):
    with pytest.raises(ValueError):
        AdaptConfig(**given)


def test_the_command_says_before_and_after_in_both_languages(tiny, tmp_path, capsys):
    from wordsight.cli import app

    folder = write_labelled(tmp_path / "colours")
    for language, word in (("en", "before"), ("ja", "適応前")):
        arguments = ["adapt", str(folder), "--out", str(tmp_path / language)]
        app(
            [*arguments, "--model", str(tiny / "tiny"), "--lang", language],
            result_action="return_value",
        )
        said = capsys.readouterr().out
        assert word in said
        assert "n=12" in said.replace("\n", "")


def test_mixtures_that_were_measured_before_a_kill_are_not_measured_again(
    start, target, other, tmp_path
):
    config = settings("wise", mixtures=(0.0, 0.5, 1.0))
    wanted = order(start, tmp_path / "out", config, kept={"shapes": other})
    whole = adapt_to_classes(target, wanted).outcome
    path = tmp_path / "out.run" / "mixtures.json"
    said = json.loads(path.read_text())
    assert [point["share"] for point in said["points"]] == [0.0, 0.5, 1.0]
    said["points"] = said["points"][:2]
    said["points"][0]["test"]["shapes"]["n"] = 77  # shows whether it was taken over
    path.write_text(json.dumps(said))
    again = adapt_to_classes(target, wanted).outcome
    assert again.curve[0]["test"]["shapes"]["n"] == 77
    assert again.curve[1:] == whole.curve[1:]
    alone = order(start, tmp_path / "out", config)
    assert "shapes" not in adapt_to_classes(target, alone).outcome.curve[0]["test"]
