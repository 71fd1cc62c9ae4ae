"""Hard negatives, teachers and averages: what they are in a step is the written-out formula."""

import contextlib
import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import small_runs
import torch
import torch.nn.functional as F

import worlds
from wordsight.cli import main
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.engine import load
from wordsight.errors import ConfigError
from wordsight.training.contrastive.beginning import begin
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import NOTHING, Batch, Reader
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.session import AVERAGE_WARMUP, Session
from wordsight.training.contrastive.teacher import task_of
from wordsight.training.contrastive.train import train

SIZE = 12
COLOURS = list(worlds.COLOURS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures with one or two wrong sentences, every fifth without."""
    folder = worlds.write_world(tmp_path_factory.mktemp("negatives") / "drawn", 40)
    rows = list(csv.DictReader((folder / "pairs.csv").read_text().splitlines()))
    with (folder / "pairs.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "text", "wrong"])
        for number, row in enumerate(rows):
            colour, shape = row["text"].split()[1:]
            others = [c for c in COLOURS if c != colour][: 0 if number % 5 == 0 else 1 + number % 2]
            for other in others or [None]:
                table.writerow([row["image"], row["text"], f"a {other} {shape}" if other else ""])
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("start") / "vit")


def prepared(world: Path, start: Path, **changes: Any) -> tuple[Session, Reader]:
    given = {
        "start": str(start),
        "batch_size": SIZE,
        "epochs": 1.0,
        "shared_captions": False,
        "held_out": 0.0,
        "crop": "none",
        **changes,
    }
    config = TrainConfig(**given)
    examples = PairExamples(read_pairs(world), negative_column="wrong")
    beginning = begin(config, examples, world)
    plan = BatchPlan(len(examples), SIZE, config.epochs, config.seed)
    task = task_of(config, beginning.clip.config.embed_dim, "cpu")
    session = Session(beginning.clip, config, plan, beginning.recipe, Processes(), task)
    reader = Reader(
        examples,
        beginning.tokenizer,
        plan,
        beginning.recipe,
        config.crop,
        hard_negatives=config.hard_negatives,
        cuts_padding=True,
    )
    return session, reader


@torch.no_grad()
def vectors(session: Session, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures (B, E), true sentences (B, E) and negatives (B, K, E), in float64."""
    clip = session.clip.eval()
    images = clip.image(batch.pixels(session.recipe, torch.device("cpu")))["embedding"]
    texts = clip.text(batch.tokens)["embedding"]
    wrong = [clip.text(tokens)["embedding"].double() for tokens in batch.negatives.unbind(1)]
    return images.double(), texts.double(), torch.stack(wrong or [texts.double()], dim=1)


@pytest.mark.parametrize("micro_batch", [0, 5])
def test_hard_negatives_are_further_columns_of_the_loss(world, start, micro_batch: int):
    session, reader = prepared(world, start, hard_negatives=2, micro_batch=micro_batch)
    batch = reader[0]
    there = batch.negative_texts != NOTHING
    assert 0 < int(there.sum()) < there.numel()
    assert (batch.tokens[:, None] != batch.negatives)[there].any(dim=1).all()
    images, texts, wrong = vectors(session, batch)
    scale = session.clip.logit_scale.detach().double().exp()
    columns = torch.cat([texts, wrong[there]])
    labels = torch.arange(SIZE)
    expected = F.cross_entropy(scale * images @ columns.mT, labels)
    expected = (expected + F.cross_entropy(scale * texts @ images.mT, labels)) / 2
    assert session.learn(batch, 0)["loss"] == pytest.approx(float(expected), abs=1e-5)


def test_parts_learn_the_same_from_hard_negatives(world, start):
    weights = []
    for micro_batch in (0, 5):
        session, reader = prepared(world, start, hard_negatives=2, micro_batch=micro_batch)
        session.learn(reader[0], 0)
        grads = {n: p.grad for n, p in session.clip.named_parameters()}
        weights.append(grads)
    for name, value in weights[0].items():
        assert torch.allclose(weights[1][name], value, atol=1e-6), name


def test_a_negative_that_is_true_of_another_picture_matches_it(world, start):
    session, reader = prepared(world, start, hard_negatives=1, shared_captions=True)
    batch = reader[0]
    images, texts, wrong = vectors(session, batch)
    there = batch.negative_texts[:, 0] != NOTHING
    digests = torch.cat([batch.texts, batch.negative_texts[:, 0][there]])
    columns = torch.cat([texts, wrong[:, 0][there]])
    positives = (batch.texts[:, None] == digests).double()
    assert positives[:, SIZE:].any()
    logits = session.clip.logit_scale.detach().double().exp() * images @ columns.mT
    rows = -(positives / positives.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    used = positives.any(0)
    share = positives[:, used] / positives[:, used].sum(0)
    expected = (rows - (share * logits.log_softmax(0)[:, used]).sum(0).mean()) / 2
    assert session.learn(batch, 0)["loss"] == pytest.approx(float(expected), abs=1e-5)


def test_a_teacher_adds_the_distance_to_its_similarities_and_vectors(world, start, tmp_path):
    teacher = small_runs.start_bundle(
        tmp_path / "teacher", dataclasses.replace(small_runs.VIT, depth=1, patch_size=16)
    )
    given = {"teacher": str(teacher), "distil_logits": 0.7, "distil_features": 0.3}
    session, reader = prepared(world, start, **given)
    batch = reader[0]
    images, texts, _ = vectors(session, batch)
    model = load(teacher)
    their_images = torch.from_numpy(model.encode_image(list(batch.squares.numpy()))).double()
    their_texts = torch.from_numpy(model.encode_text(list(batch.sentences))).double()
    logits = session.clip.logit_scale.detach().double().exp() * images @ texts.mT
    theirs = model.logit_scale * their_images @ their_texts.mT
    labels = torch.arange(SIZE)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.mT, labels)) / 2
    for dim in (0, 1):
        crossed = -(theirs.softmax(dim) * logits.log_softmax(dim)).sum(dim).mean()
        expected = expected + 0.7 / 2 * crossed
    nearness = [(a * b).sum(1).mean() for a, b in ((images, their_images), (texts, their_texts))]
    expected = expected + 0.3 * (1 - sum(nearness) / 2)
    assert session.learn(batch, 0)["loss"] == pytest.approx(float(expected), abs=1e-5)


def test_a_run_with_a_teacher_comes_nearer_to_it(world, start, tmp_path):
    teacher = small_runs.start_bundle(
        tmp_path / "teacher", dataclasses.replace(small_runs.VIT, depth=1)
    )
    examples = PairExamples(read_pairs(world))
    pictures = [example.image for example in (examples[k] for k in range(20))]
    theirs = load(teacher).encode_image(pictures)
    settings = {"epochs": 20.0, "held_out": 0.0, "evaluate_every": 0.0, "patch_dropout": 0.0}
    nearness = {}
    for features in (0.0, 5.0):
        changes = {"distil_features": features, "distil_logits": 0.0} if features else {}
        config = small_runs.settings(
            start, **settings, teacher=str(teacher) if features else "", **changes
        )
        done = train(examples, out=tmp_path / f"run{features}", config=config, device="cpu")
        own = load(done.folder / "model").encode_image(pictures)
        nearness[features] = float((own * theirs).sum(axis=1).mean())
    assert nearness[5.0] > nearness[0.0] + 0.2


def test_a_teacher_of_another_width_can_only_lend_its_similarities(world, start, tiny):
    with pytest.raises(ConfigError, match="vectors of 16, the learner's 999"):
        task_of(TrainConfig(teacher=str(tiny / "tiny"), distil_features=1.0), 999, "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "mini", "distil_logits": 0.0}, "distil_logits or distil_features"),
        ({"hard_negatives": 1, "loss": "sigmoid"}, "info_nce"),
        ({"hard_negatives": -1}, "hard_negatives must be 0 or more"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


def test_the_average_is_the_moving_average_with_a_short_memory_at_first(world, start):
    session, reader = prepared(world, start, average=0.5, learning_rate=1e-2)
    expected = {n: v.double() for n, v in session.clip.state_dict().items()}
    for step in range(3):
        session.learn(reader[step], step)
        decay = min(0.5, (step + 1) / (step + 1 + AVERAGE_WARMUP))
        for name, value in session.clip.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name, value in session.average.items():
        assert torch.allclose(value.double(), expected[name], atol=1e-6), name


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked")
def test_the_command_takes_negatives_and_a_teacher(world, start, tmp_path, monkeypatch, capsys):
    options = f"--start {start} --teacher {start} --hard-negatives 1 --negative-column wrong"
    given = f"wordsight train {world} --out {tmp_path / 'run'} {options} --epochs 2 --batch-size 8"
    monkeypatch.setattr("sys.argv", [*given.split(), "--json"])
    with contextlib.suppress(SystemExit):  # the doctor may find two epochs too few
        main()
    assert json.loads(capsys.readouterr().out)["steps"] == 10
    steps = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(steps[0])["loss"] > 2 * math.log(8) - 1  # the teacher's share on top


def test_a_column_without_negatives_is_refused(world):
    with pytest.raises(ConfigError, match="'nothing'"):
        PairExamples(read_pairs(world), negative_column="nothing")
