"""How long the parts of a run take on this machine: some real steps of the real towers.

Where the towers are too large to try, shallower ones of the same width are, and the time grows with
the operations; where there are no pairs, drawn numbers stand for them, and reading is left out.

Shape letters: B pairs, S side of the pictures, L tokens.
"""

import dataclasses
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from wordsight.checkpoints.opening import open_checkpoint
from wordsight.data.examples import Examples, Part
from wordsight.images import Preprocessing
from wordsight.model.architecture import ClipConfig, ModifiedResNetConfig
from wordsight.model.clip import Clip
from wordsight.model.initialise import initialise
from wordsight.model.size import measure
from wordsight.model.zoo import find
from wordsight.training.contrastive import state
from wordsight.training.contrastive.beginning import Beginning, begin
from wordsight.training.contrastive.checkup import Data, check_up
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.evaluation import Judge, evaluate
from wordsight.training.contrastive.loader import Batch, Reader, read_batches
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.session import Session

LARGEST = 60_000_000
"""Weights of towers that are tried as they are."""
STEP_S = 0.7
"""Length of a step that is long enough to be measured well."""
PART_S = 5.0
"""Seconds spent on measuring one batch size."""
WARM, LEAST, MOST = 3, 4, 40
"""Steps before measuring, while the loader fills up; steps measured at least and at most."""
FIRST_BATCH = 16
SMALLER = 4
"""The second batch size is so many times smaller: two tell what does not grow with the batch."""
EVALUATED = 128
SHALLOW = "tiny-vit-64"

Batches = Callable[[int, int], Generator[Batch]]
"""Gives so many batches of a size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Seconds on this machine."""

    step_s: float
    """One step of the whole batch, with reading where there are pairs."""
    start_s: float
    """All that comes before the first step."""
    evaluate_s: float
    """One held-out example; 0 without pairs."""
    save_s: float
    """One checkpoint."""
    batch_sizes: tuple[int, ...]
    """Those that were tried."""
    is_shallow: bool
    """Whether shallower towers were tried."""
    is_read: bool
    """Whether real pairs were read."""


def architecture_of(config: TrainConfig, vocabulary_size: int = 0) -> ClipConfig:
    """Return the towers of a run, with a vocabulary of so many tokens; 0 takes the settings'."""
    if config.start:
        return open_checkpoint(Path(config.start)).architecture
    architecture = find(config.architecture).architecture
    learnt = config.vocab_size if config.vocabulary == "learn" else architecture.text.vocab_size
    text = dataclasses.replace(
        architecture.text,
        vocab_size=vocabulary_size or learnt,
        context_length=config.context_length or architecture.text.context_length,
    )
    return dataclasses.replace(architecture, text=text)


def calibrate(
    config: TrainConfig, learnt: Examples | None, held_out: Examples | None, processes: Processes
) -> tuple[Calibration, ClipConfig]:
    """Measure some steps, a checkpoint and an evaluation; return them and the towers of the run."""
    with TemporaryDirectory() as folder:
        if learnt is None or held_out is None:
            return _without_pairs(config, processes, Path(folder))
        return _with_pairs(config, learnt, held_out, processes, Path(folder))


def _without_pairs(
    config: TrainConfig, processes: Processes, folder: Path
) -> tuple[Calibration, ClipConfig]:
    whole = architecture_of(config)
    tried = _small_enough(whole)
    clip = Clip(tried)
    initialise(clip, generator=torch.Generator().manual_seed(config.seed))
    recipe = find(config.architecture).preprocessing
    trial = _Trial(clip, config, recipe, processes)
    sizes, step_s, _ = trial.steps(_drawn(tried))
    ratio = _operations(whole) / _operations(tried)
    weights = measure(whole).num_parameters / measure(tried).num_parameters
    return Calibration(
        step_s=step_s * ratio,
        start_s=0.0,
        evaluate_s=0.0,
        save_s=trial.save(folder) * weights,
        batch_sizes=sizes,
        is_shallow=tried != whole,
        is_read=False,
    ), whole


def _with_pairs(
    config: TrainConfig, learnt: Examples, held_out: Examples, processes: Processes, folder: Path
) -> tuple[Calibration, ClipConfig]:
    begun = time.perf_counter()
    is_large = measure(architecture_of(config)).num_parameters > LARGEST
    beginning = begin(_shallow(config) if is_large else config, learnt, folder)
    again = time.perf_counter()
    check_up(Data(learnt, held_out, beginning.tokenizer, config))
    start_s = time.perf_counter() - begun
    whole = tried = beginning.clip.config
    if is_large:
        whole = architecture_of(config, beginning.tokenizer.vocabulary_size)
        tried = _small_enough(whole)
        clip = Clip(tried)
        initialise(clip, generator=torch.Generator().manual_seed(config.seed))
        start_s += (again - begun) * _weights(whole) / _weights(tried)
        recipe = find(config.architecture).preprocessing
        beginning = Beginning(clip, beginning.tokenizer, recipe)
    trial = _Trial(beginning.clip, config, beginning.recipe, processes)
    sizes, step_s, first_s = trial.steps(_read(config, learnt, beginning))
    ratio = _operations(whole) / _operations(tried)
    return Calibration(
        step_s=step_s * ratio,
        start_s=start_s + first_s,
        evaluate_s=trial.evaluation(beginning, held_out) * ratio,
        save_s=trial.save(folder) * _weights(whole) / _weights(tried),
        batch_sizes=sizes,
        is_shallow=is_large,
        is_read=True,
    ), whole


@dataclass(slots=True)
class _Trial:
    """Towers that are tried."""

    clip: Clip
    config: TrainConfig
    recipe: Preprocessing
    processes: Processes
    session: Session | None = None
    """That of the last steps."""

    def steps(self, batches: Batches) -> tuple[tuple[int, ...], float, float]:
        """Return the batch sizes tried, seconds of a step of the whole batch, and those before it.

        A step takes so long whatever the batch is (optimizer, average), and so long for each pair.
        """
        wanted, part = self.config.batch_size, self._least()
        first = min(wanted, max(part, FIRST_BATCH))
        _, rough_s = self._seconds(batches, first, budget_s=0.0)
        large = min(wanted, max(first, int(first * STEP_S / rough_s) // part * part))
        waited_s, large_s = self._seconds(batches, large, budget_s=PART_S)
        small = large // SMALLER // part * part
        if large == wanted or not small:
            return (large,), large_s * wanted / large, waited_s
        _, small_s = self._seconds(batches, small, budget_s=PART_S / 2)
        a_pair = (large_s - small_s) / (large - small)
        fixed = min(max(0.0, large_s - large * a_pair), small_s)
        return (small, large), fixed + (large_s - fixed) / large * wanted, waited_s

    def _least(self) -> int:
        """Return a batch that works like the whole one: with two parts, if that has parts."""
        micro = self.config.micro_batch
        return 2 * micro if 0 < 2 * micro <= self.config.batch_size else 1

    def _seconds(self, batches: Batches, size: int, *, budget_s: float) -> tuple[float, float]:
        """Return the seconds before the first step begins to learn, and the mean of later steps."""
        micro = min(self.config.micro_batch, size)
        config = dataclasses.replace(self.config, batch_size=size, micro_batch=micro)
        plan = BatchPlan(size * 1000, size, 1.0, config.seed)
        self.session = session = Session(self.clip, config, plan, self.recipe, self.processes)
        times = [time.perf_counter()]
        first_s = 0.0
        with closing(batches(size, WARM + MOST)) as source:
            for step, batch in enumerate(source):
                first_s = first_s or time.perf_counter() - times[0]
                session.learn(batch, step)
                times.append(time.perf_counter())
                measured_s = times[-1] - times[min(step, WARM)]
                if step >= WARM + LEAST and measured_s > budget_s:
                    break
        measured = times[WARM:]
        return first_s, (measured[-1] - measured[0]) / (len(measured) - 1)

    def evaluation(self, beginning: Beginning, held_out: Examples) -> float:
        """Return the seconds that one held-out example takes."""
        some = Part(held_out, range(min(len(held_out), EVALUATED)))
        if not len(some):
            return 0.0
        judge = Judge(beginning.tokenizer, self.recipe, self.processes.device)
        begun = time.perf_counter()
        evaluate(self.clip, judge, held_out=some, labelled={}, templates=())
        return (time.perf_counter() - begun) / len(some)

    def save(self, folder: Path) -> float:
        """Return the seconds that a checkpoint takes, after some steps."""
        assert self.session is not None
        begun = time.perf_counter()
        state.save(folder, 1, self.session.tensors(), self.session.values())
        return time.perf_counter() - begun


def _read(config: TrainConfig, learnt: Examples, beginning: Beginning) -> Batches:
    def batches(size: int, count: int) -> Generator[Batch]:
        plan = BatchPlan(len(learnt), size, count * size / len(learnt), config.seed)
        reader = Reader(
            learnt,
            beginning.tokenizer,
            plan,
            beginning.recipe,
            config.crop,
            cuts_padding=bool(beginning.clip.text.tower.is_causal),
        )
        return read_batches(reader, first=0, workers=config.workers)

    return batches


def _drawn(architecture: ClipConfig) -> Batches:
    side, text = architecture.image.image_size, architecture.text
    generator = torch.Generator().manual_seed(0)

    def batches(size: int, count: int) -> Generator[Batch]:
        shape = (size, side, side, 3)
        batch = Batch(
            squares=torch.randint(256, shape, generator=generator, dtype=torch.uint8),
            tokens=torch.randint(text.vocab_size, (size, text.context_length), generator=generator),
            images=torch.arange(size),
            texts=torch.arange(size),
            said=torch.arange(size),
            negatives=torch.zeros(size, 0, text.context_length, dtype=torch.int64),
            negative_texts=torch.zeros(size, 0, dtype=torch.int64),
            sentences=("",) * size,
            num_truncated=0,
            bad=(),
        )
        for _ in range(count):
            yield batch

    return batches


def _shallow(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, architecture=SHALLOW)


def _small_enough(architecture: ClipConfig) -> ClipConfig:
    """Return the architecture, or one of the same widths with as few layers as there can be."""
    if measure(architecture).num_parameters <= LARGEST:
        return architecture
    image, text = architecture.image, dataclasses.replace(architecture.text, depth=1)
    if isinstance(image, ModifiedResNetConfig):
        image = dataclasses.replace(image, depths=(1, 1, 1, 1))
    else:
        image = dataclasses.replace(image, depth=2)
    return dataclasses.replace(architecture, image=image, text=text)


def _operations(architecture: ClipConfig) -> int:
    size = measure(architecture)
    return size.image.operations + size.text.operations


def _weights(architecture: ClipConfig) -> int:
    return measure(architecture).num_parameters
