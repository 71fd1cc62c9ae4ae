"""Learn both towers from pairs, and write the model down."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.bundle import Bundle, BundleConfig, Similarity, open_bundle, write_bundle
from wordsight.bundle.store import CARD, PROMPTS, TOKENIZER, WEIGHTS
from wordsight.checkpoints.safetensors_file import write_safetensors
from wordsight.checkpoints.tensors import in_memory
from wordsight.config import to_dict
from wordsight.data.examples import Examples, Part, split_examples
from wordsight.errors import DataError
from wordsight.locks import locked
from wordsight.metrics import Estimate
from wordsight.model.architecture import describe
from wordsight.model.clip import Clip
from wordsight.text.templates import check_template
from wordsight.training.assemble import DEFAULT_TEMPLATES, prompts_toml
from wordsight.training.contrastive.beginning import Beginning, begin, vocabulary
from wordsight.training.contrastive.checkup import Data, check_up
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.evaluation import Judge
from wordsight.training.contrastive.findings import Finding, read_findings, write_findings
from wordsight.training.contrastive.loader import Reader
from wordsight.training.contrastive.loop import Loop, OnStep, Tests
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes, joined
from wordsight.training.contrastive.run import RunFolder
from wordsight.training.contrastive.samples import write_samples
from wordsight.training.contrastive.session import Session
from wordsight.training.contrastive.teacher import task_of

FEWEST = 8


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run."""

    folder: Path
    bundle: Bundle
    scores: Mapping[str, Estimate]
    num_steps: int
    findings: tuple[Finding, ...] = ()
    """What the training doctor looked for, and found or not."""
    is_first: bool = True
    """Whether this process, of several that learnt together, is the one that writes."""


def train(
    examples: Examples,
    *,
    out: Path,
    config: TrainConfig,
    labelled: Mapping[str, Examples] | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Trained:
    """Learn both towers by contrast (Radford et al., 2021, section 2), and write a bundle.

    The same call goes on where a killed one stopped, and ends with the same bytes. Started by
    torchrun, all its processes learn one model together.

    Args:
        examples: what to learn from; a share of them is held out to measure on.
        out: folder of the run; the bundle is `model` in it.
        config: every setting.
        labelled: sets whose sentences are class names, for zero-shot accuracy on the way.
        device: "auto", "cpu" or "cuda".
        on_step: called after every step and every evaluation.

    Raises:
        TrainingError: if a loss is not a number, or the folder holds a run with other settings.
        DataError: if there are too few examples, or the training doctor says that nothing can come
            of them: one caption for all, one that cannot be read, too many unreadable pictures.
        BusyError: if another process writes the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    with joined(device) as processes, ExitStack() as held:
        processes.check(config.batch_size)
        data = examples.fingerprint
        processes.check_equal(data, "data (fingerprints)")
        folder = RunFolder(out)

        def prepare() -> tuple[Part, Part]:
            if processes.is_first:
                held.enter_context(locked(out))
                folder.begin(config, data)
            parts = _parts(examples, config)
            if processes.is_first:
                _prepare(folder, parts, config)
            return parts

        parts = processes.agreed(prepare)
        processes.agreed(folder.check_begun)
        return _learn(parts, folder, config, labelled or {}, processes, on_step)


def _prepare(folder: RunFolder, parts: tuple[Part, Part], config: TrainConfig) -> None:
    """Write what all processes need: the vocabulary, and what the doctor says of the data."""
    tokenizer = vocabulary(config, parts[0], folder.path)
    if read_findings(folder.path) is None:
        given = _templates(config) if config.templates else ()
        write_findings(folder.path, check_up(Data(*parts, tokenizer, config, given)))


def _parts(examples: Examples, config: TrainConfig) -> tuple[Part, Part]:
    learnt, kept = split_examples(examples.keys, held_out=config.held_out, seed=config.seed)
    if len(learnt) < FEWEST:
        raise DataError(f"{len(learnt)} pictures to learn from, expected at least {FEWEST}")
    return Part(examples, learnt), Part(examples, kept)


def _learn(
    parts: tuple[Part, Part],
    folder: RunFolder,
    config: TrainConfig,
    labelled: Mapping[str, Examples],
    processes: Processes,
    on_step: OnStep | None,
) -> Trained:
    learnt, kept = parts
    beginning = processes.agreed(lambda: begin(config, learnt, folder.path))
    plan = BatchPlan(len(learnt), config.batch_size, config.epochs, config.seed)
    templates = _templates(config)
    clip = beginning.clip
    task = processes.agreed(lambda: task_of(config, clip.config.embed_dim, str(processes.device)))
    session = Session(clip, config, plan, beginning.recipe, processes, task)
    reader = Reader(
        learnt,
        beginning.tokenizer,
        plan,
        beginning.recipe,
        config.crop,
        templates if config.templates else (),
        processes.rank,
        processes.count,
        config.hard_negatives,
        cuts_padding=bool(beginning.clip.text.tower.is_causal),
    )
    tests = Tests(kept, labelled, templates)
    loop = Loop(session, reader, folder, tests, on_step, findings=read_findings(folder.path) or ())
    scores = loop.run()
    model = session.model()

    def write() -> None:
        if model is None:
            return
        _write(folder, beginning, session, model, card=_card(folder, session, scores, len(learnt)))
        if len(kept):
            judge = Judge(beginning.tokenizer, beginning.recipe, processes.device)
            write_samples(folder.path, model, judge, kept)

    processes.agreed(write)
    return Trained(
        folder.path,
        open_bundle(folder.model),
        scores,
        plan.num_steps,
        tuple(loop.watch.findings.values()),
        processes.is_first,
    )


def _templates(config: TrainConfig) -> tuple[str, ...]:
    if config.templates is None:
        return DEFAULT_TEMPLATES["en"]
    lines = config.templates.read_text(encoding="utf-8").splitlines()
    return tuple(check_template(line) for line in lines if line.strip())


def _write(
    folder: RunFolder,
    beginning: Beginning,
    session: Session,
    clip: Clip,
    *,
    card: str,
) -> None:
    config = session.config
    weights = {n: in_memory(v.detach().cpu()) for n, v in clip.state_dict().items()}
    bias = clip.logit_bias
    description = BundleConfig(
        name=folder.path.resolve().name,
        embed_dim=clip.config.embed_dim,
        similarity=Similarity(
            scale=float(clip.logit_scale.detach().exp()),
            bias=0.0 if bias is None else float(bias.detach()),
        ),
        preprocessing=beginning.recipe,
        tokenizer=beginning.tokenizer.rules,
        architecture={
            "image": describe(clip.config.image),
            "text": describe(clip.config.text),
        },
        provenance={
            "made_by": "wordsight train",
            "architecture": config.architecture,
            "pictures": session.plan.num_examples,
            "steps": session.plan.num_steps,
            "seed": config.seed,
        },
    )
    write_bundle(
        folder.model,
        description,
        {
            WEIGHTS: lambda path: write_safetensors(path, weights),
            TOKENIZER: beginning.tokenizer.to_bytes(),
            PROMPTS: prompts_toml(DEFAULT_TEMPLATES).encode(),
            CARD: card.encode(),
        },
        run={"config.json": json.dumps(to_dict(config), indent=1, default=str) + "\n"},
    )


def _card(
    folder: RunFolder, session: Session, scores: Mapping[str, Estimate], num_examples: int
) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in scores.items())
    config: Any = session.config
    return f"""# {folder.path.resolve().name}

Both towers learnt by `wordsight train` from {num_examples} pictures and their sentences.

- architecture: {config.architecture}
- {session.plan.num_steps} steps of {config.batch_size} pairs, seed {config.seed}

## Measured (95 % intervals)

| measure | value |
|---|---|
{rows}

## Limits

It was measured on pictures like those it learnt from. Measure again on your own before it decides
anything that matters.
"""
