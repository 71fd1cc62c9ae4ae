"""From a large model and a heap of pictures to a small model, and the proof of what it lost.

small/          the bundle, when all is over
small.run/      what a killed run goes on from
  config.json, environment.json, metrics.jsonl, checkpoints/   as of any training run
  squares.npy                                                  the pictures as the student sees them

The parent's vectors lie in the cache of wordsight, so that several students share them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wordsight.bundle.store import IMAGE_GRAPH, check_replaceable
from wordsight.cache import cache_folder
from wordsight.data.labelled_pictures import Pictures
from wordsight.engine.choice import FASTEST_FIRST
from wordsight.engine.features import FeatureStore
from wordsight.engine.pictures import encode_pictures
from wordsight.engine.runner import Runner
from wordsight.engine.torch import TorchRunner
from wordsight.locks import locked
from wordsight.model.architecture import VisionTransformerConfig
from wordsight.model.clip import ProjectedTower
from wordsight.model.outputs import EMBEDDING
from wordsight.training.compression.course import Course, Lessons, normalised
from wordsight.training.compression.graphs import write_image_graph
from wordsight.training.compression.measuring import (
    Comparison,
    Tower,
    compare,
    pictures_per_second,
)
from wordsight.training.compression.pictures import (
    Goals,
    Images,
    Parts,
    parents_vectors,
    part,
    read_contents,
    student_squares,
)
from wordsight.training.compression.plan import Order, Plan, make_plan
from wordsight.training.compression.pruning import MICRO_BATCH, importance, prune
from wordsight.training.compression.student import new_student, num_parameters
from wordsight.training.compression.writing import Compressed, Outcome, write_student
from wordsight.training.contrastive.run import RunFolder

SQUARES, VECTORS = "squares.npy", "compress"
BATCH = 64
COMPARED = 8
"""Pictures on which graph and torch are compared."""


def compress_tower(order: Order, names: Sequence[str], images: Images) -> Compressed:
    """Make a student, teach it on pictures, measure it, and write it down.

    The same call goes on where a killed one stopped. The bundle appears whole or not at all.

    Args:
        order: what is wanted.
        names: of the pictures, for messages.
        images: the pictures.

    Raises:
        InputError, ConfigError: if the student is unknown, or not smaller than its parent.
        CheckpointError: if the parent's tower cannot be pruned.
        DataError: if there are too few pictures, or too many that cannot be read.
        TrainingError: if a loss is not a number, or the folder of the run holds another one.
        BusyError: if another process compresses to the same `out`.
    """
    check_replaceable(order.out)
    plan = make_plan(order)
    contents = read_contents(images, order.progress)
    folder = RunFolder(order.run)
    with locked(folder.path):
        folder.begin(order.config, f"{plan.fingerprint}-{contents.fingerprint}")
        parent = plan.parent
        place = (
            cache_folder()
            / VECTORS
            / f"{parent.checksum}-{parent.model.engine.identity}".replace(" ", "-")
        )
        store = FeatureStore(place, parent.model.embed_dim, precision="float32")
        goals = parents_vectors(
            parent.model,
            names,
            images,
            contents,
            store,
            max_bad=order.config.max_bad,
            progress=order.progress,
        )
        own = Pictures(lambda place: images[place], goals.places)
        return _Run(order, plan, folder, goals, own).finish(contents.num_repeated)


class _Run:
    """One run, with its pictures and what the parent says of them."""

    def __init__(self, order: Order, plan: Plan, folder: RunFolder, goals: Goals, own: Images):
        self.order, self.plan, self.folder = order, plan, folder
        self.goals, self.images = goals, own
        config = order.config
        self.parts: Parts = part(
            goals.keys, held_out=config.held_out, most=config.most_held_out, seed=config.seed
        )
        self.squares = student_squares(
            folder.path / SQUARES, own, plan.preprocessing, order.progress
        )

    def finish(self, num_repeated: int) -> Compressed:
        """Learn, measure, write."""
        order, plan, parent = self.order, self.plan, self.plan.parent
        student = self._start()
        pruned = self._compared_on_torch(student) if order.config.is_pruning else None
        lessons = Lessons(
            squares=self.squares,
            rows=np.sort(self.parts.learnt),
            goals=torch.as_tensor(self.goals.vectors),
            sentences=torch.as_tensor(plan.sentences.vectors),
            scale=parent.model.logit_scale,
            recipe=plan.preprocessing,
        )
        course = Course(student, lessons, order.config, self.folder, device=order.device)
        steps = course.run(order.on_step)
        graph = self.folder.path / IMAGE_GRAPH
        some = self._pixels(self.parts.held_out[:COMPARED]).numpy()
        runner = write_image_graph(student, graph, side=plan.preprocessing.size, pixels=some)
        outcome = Outcome(
            parent=parent.model.name,
            student=plan.in_words,
            pictures=order.pictures,
            learnt_from=len(self.parts.learnt),
            num_repeated=num_repeated,
            unreadable=self.goals.unreadable,
            num_sentences=len(plan.sentences.names),
            has_own_sentences=order.sentences is not None,
            steps=steps,
            pruned=pruned,
            learnt=self._compared(runner),
            towers=self._towers(student, runner, graph),
        )
        bundle = write_student(
            order.out,
            parent,
            student,
            plan.preprocessing,
            outcome,
            graph=graph,
            config=order.config,
        )
        for large in (graph, self.folder.path / SQUARES):
            large.unlink(missing_ok=True)
        return Compressed(bundle, outcome)

    def _start(self) -> ProjectedTower:
        """Return the student before its first lesson."""
        config, plan = self.order.config, self.plan
        if not config.is_pruning:
            return new_student(plan.config, embed_dim=plan.parent.model.embed_dim, seed=config.seed)
        tower, kept = plan.parent.prunable(), plan.config
        assert isinstance(kept, VisionTransformerConfig)
        rows = np.sort(self.parts.learnt[: config.probes])
        batches = [
            self._pixels(rows[start : start + MICRO_BATCH])
            for start in range(0, len(rows), MICRO_BATCH)
        ]
        worth = importance(
            tower,
            batches,
            generator=torch.Generator().manual_seed(config.seed),
            on_batch=lambda done, of: self.order.progress("probes", done, of),
        )
        return prune(tower, kept, worth)

    def _pixels(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return normalised(np.array(self.squares[rows]), self.plan.preprocessing)

    def _compared(self, runner: Runner) -> Comparison:
        """Compare on the held-out files, from the file to the vector as in use."""
        sources = [self.images[int(row)] for row in self.parts.held_out]
        batches = encode_pictures(runner, sources, self.plan.preprocessing, outputs=(EMBEDDING,))
        vectors = np.concatenate([batch.arrays[EMBEDDING] for batch in batches])
        return self._comparison(vectors)

    def _compared_on_torch(self, student: ProjectedTower) -> Comparison:
        runner = TorchRunner(student, self.folder.path)
        held_out = self.parts.held_out
        vectors = [
            runner.run(self._pixels(held_out[start : start + BATCH]).numpy())[EMBEDDING]
            for start in range(0, len(held_out), BATCH)
        ]
        return self._comparison(np.concatenate(vectors))

    def _comparison(self, vectors: NDArray[np.float32]) -> Comparison:
        wanted = self.goals.vectors[self.parts.held_out]
        return compare(vectors, wanted, self.plan.sentences)

    def _towers(self, student: ProjectedTower, runner: Runner, graph: Path) -> dict[str, Tower]:
        parent, side = self.plan.parent, self.plan.preprocessing.size
        own_side = parent.model.source.config.preprocessing.size
        speed = pictures_per_second(
            {"parent": (parent.model.engine.image, own_side), "student": (runner, side)}
        )
        return {
            "parent": Tower(
                parameters=parent.num_parameters,
                num_bytes=parent.image_bytes,
                pictures_per_s=speed["parent"],
                image_size=own_side,
                engine=parent.model.engine.name,
            ),
            "student": Tower(
                parameters=num_parameters(student),
                num_bytes=graph.stat().st_size,
                pictures_per_s=speed["student"],
                image_size=side,
                engine=FASTEST_FIRST[0],
            ),
        }
