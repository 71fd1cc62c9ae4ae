"""A tiny model to start from, and runs of it in processes of their own."""

import dataclasses
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import worlds
from wordsight.bundle import BundleConfig, Similarity, write_bundle
from wordsight.checkpoints.safetensors_file import write_safetensors
from wordsight.checkpoints.tensors import in_memory
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.model.architecture import (
    ClipConfig,
    ImageConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
    describe,
)
from wordsight.model.clip import Clip
from wordsight.model.initialise import initialise
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.train import train

VIT = VisionTransformerConfig(
    image_size=32, patch_size=8, width=32, depth=2, num_heads=2, mlp_width=64, activation="gelu"
)
DONE_S = 120.0


def start_bundle(folder: Path, image: ImageConfig = VIT) -> Path:
    """Write an untrained model of the drawn world's vocabulary."""
    text = TextTransformerConfig(
        vocab_size=len(worlds.words()),
        context_length=worlds.RULES.context_length,
        width=32,
        depth=1,
        num_heads=2,
        mlp_width=64,
        activation="gelu",
        pooling="end",
        end_id=worlds.RULES.end_id,
    )
    clip = Clip(ClipConfig(image=image, text=text, embed_dim=16))
    initialise(clip, generator=torch.Generator().manual_seed(0))
    weights = {name: in_memory(value.detach()) for name, value in clip.state_dict().items()}
    write_bundle(
        folder,
        BundleConfig(
            name="start",
            embed_dim=16,
            similarity=Similarity(scale=float(clip.logit_scale.detach().exp())),
            preprocessing=dataclasses.replace(worlds.PREPROCESSING, size=image.image_size),
            tokenizer=dataclasses.replace(worlds.RULES, pad_to_context=True),
            architecture={"image": describe(image), "text": describe(text)},
        ),
        {
            "model.safetensors": lambda path: write_safetensors(path, weights),
            "tokenizer.json": worlds.tokenizer_json(),
        },
    )
    return folder


def settings(start: Path, **changes: Any) -> TrainConfig:
    """Forty steps of sixteen pairs, with everything on that could make a resumed run differ."""
    given: dict[str, Any] = {
        "start": str(start),
        "batch_size": 16,
        "epochs": 6.4,
        "learning_rate": 1e-3,
        "patch_dropout": 0.25,
        "average": 0.9,
        "crop": "strong",
        "held_out": 0.15,
        "checkpoint_every": 4,
        "evaluate_every": 2.0,
        "seed": 3,
    }
    return TrainConfig(**{**given, **changes})


def run(world: Path, out: Path, config: TrainConfig) -> None:
    """Train, as a command would."""
    train(PairExamples(read_pairs(world)), out=out, config=config, device="cpu")


def in_child(work: Callable[[], None]) -> int:
    """Start some work in a forked process: torch is there already, and has one thread."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.set_num_threads(1)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def finished(child: int) -> int:
    """Wait for a child, and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_after(child: int, metrics: Path, num_lines: int) -> None:
    """Kill a child as soon as it has written so many lines of metrics."""
    begun = time.monotonic()
    while time.monotonic() - begun < DONE_S:
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= num_lines:
            break
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    finished(child)


def content(out: Path) -> dict[str, bytes]:
    """Return what two equal runs have in common: weights, moments, metrics, bundle."""
    newest = max((out / "checkpoints").iterdir())
    files = [out / "metrics.jsonl", *newest.iterdir(), *(out / "model").glob("*.*")]
    kept = [path for path in files if path.name not in ("README.md", "config.json")]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}
