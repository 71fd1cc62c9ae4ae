"""Several processes learn what one does, whether each holds the model or a share of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import ranks
import small_runs
import torch
from safetensors.torch import load_file
from torch import nn

import worlds
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.training.contrastive.processes import joined

RESNET = ModifiedResNetConfig(
    image_size=32, depths=(1, 1, 1, 1), width=4, num_heads=2, output_width=16
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 120)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("start")
    return {
        "vit": small_runs.start_bundle(folder / "vit"),
        "resnet": small_runs.start_bundle(folder / "resnet", RESNET),
    }


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Return weights and averages after twenty steps, without the statistics of batch norms."""
    found = load_file(out / "checkpoints" / "step-00000020" / "tensors.safetensors")
    return {
        name: value
        for name, value in found.items()
        if name.startswith(("model.", "average.")) and "running" not in name and "num_b" not in name
    }


def losses(out: Path) -> list[float]:
    lines = (json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "whole batches": ("vit", {"micro_batch": 0, "patch_dropout": 0.0, "shared_captions": False}),
    "parts": ("vit", {"clip_gradient": 0.5, "smoothing": 0.1, "checkpoint_gradients": True}),
    "sigmoid": ("vit", {"loss": "sigmoid", "micro_batch": 8}),
    "locked": ("vit", {"lock": "image"}),
    # eight at a time: the statistics of four pictures of one cell would magnify any rounding
    "batch norms": ("resnet", {"patch_dropout": 0.0, "micro_batch": 8}),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(
    case: str, world: Path, starts: dict[str, Path], tmp_path: Path
):
    kind, changes = CASES[case]
    one = tmp_path / "one"
    assert ranks.ended(ranks.learn(1, world, one, ranks.twenty_steps(starts[kind], **changes))) == [
        0
    ]
    expected = weights(one)
    assert len(losses(one)) == 20
    for sharding in ("none", "full"):
        two = tmp_path / sharding
        config = ranks.twenty_steps(starts[kind], **changes, sharding=sharding)
        assert ranks.ended(ranks.learn(2, world, two, config)) == [0, 0]
        found = weights(two)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert (found[name] - value).abs().max() <= 1e-5, (sharding, name)
        assert losses(two) == pytest.approx(losses(one), abs=1e-5)


def test_batch_statistics_are_the_mean_of_what_all_processes_counted(tmp_path: Path):
    pictures = torch.randn(2, 8, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def count(rank: int) -> None:
        norms = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3).eval())
        norms[0](pictures[rank] + rank)
        with joined("cpu") as processes:
            processes.average_statistics(norms)
        torch.save(norms.state_dict(), tmp_path / f"{rank}.pt")

    assert ranks.ended(ranks.start(2, count, tmp_path / "errors")) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    shown = torch.stack([pictures[0], pictures[1] + 1]).double()
    mean = 0.1 * shown.mean(dim=(1, 3, 4)).mean(dim=0)
    variance = 0.9 + 0.1 * shown.transpose(1, 2).flatten(2).var(dim=2).mean(dim=0)
    assert torch.allclose(first["0.running_mean"].double(), mean, atol=1e-6)
    assert torch.allclose(first["0.running_var"].double(), variance, atol=1e-6)
    assert torch.equal(first["1.running_var"], torch.ones(3))
