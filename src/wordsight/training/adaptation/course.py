"""One run of the training loop with a task, and what it leaves: weights, and what it learnt."""

from dataclasses import dataclass

from torch import Tensor

from wordsight.data.examples import Examples, Part
from wordsight.model.clip import Clip
from wordsight.training.adaptation.config import AdaptConfig
from wordsight.training.adaptation.start import Start
from wordsight.training.contrastive.loader import Reader
from wordsight.training.contrastive.loop import Loop, OnStep, Tests
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.run import RunFolder
from wordsight.training.contrastive.session import Session
from wordsight.training.contrastive.task import Task

LARGEST_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Course:
    """What came out of a run."""

    clip: Clip
    """With all that the task hung into it."""
    weights: dict[str, Tensor]
    """Of the plain model."""
    num_steps: int


def learn(
    start: Start,
    task: Task,
    examples: Examples,
    folder: RunFolder,
    config: AdaptConfig,
    *,
    on_step: OnStep | None = None,
) -> Course:
    """Let a task learn from examples; a run that was killed goes on from its last checkpoint.

    Raises:
        TrainingError: if a loss is not a number, or the folder holds a run with other settings.
        DataError: if too many pictures cannot be read.
    """
    clip = start.clip()
    scale = float(clip.logit_scale.detach().exp())
    training = config.training(
        num_pictures=len(examples),
        max_scale=max(LARGEST_SCALE, 1.001 * scale),  # rounding of the logarithm aside
        loss="sigmoid" if clip.config.has_logit_bias else "info_nce",
    )
    plan = BatchPlan(len(examples), training.batch_size, training.epochs, training.seed)
    recipe = start.checkpoint.preprocessing
    session = Session(clip, training, plan, recipe, Processes(device=start.device), task)
    reader = Reader(
        examples,
        start.tokenizer,
        plan,
        recipe,
        training.crop,
        cuts_padding=bool(clip.text.tower.is_causal),
    )
    nothing = Tests(held_out=Part(examples, ()), labelled={}, templates=())
    Loop(session, reader, folder, nothing, on_step).run()
    weights = task.weights(clip, {n: v.detach().cpu() for n, v in clip.state_dict().items()})
    return Course(clip.cpu(), weights, plan.num_steps)
