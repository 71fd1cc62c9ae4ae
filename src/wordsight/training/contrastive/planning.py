"""What a run will take before it is begun: time, memory and money, here and on a cluster."""

import math
from dataclasses import dataclass

from wordsight.data.examples import Examples, Part, split_examples
from wordsight.errors import ConfigError
from wordsight.model.architecture import ClipConfig
from wordsight.model.size import measure
from wordsight.training.contrastive.calibration import Calibration, calibrate
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.footprint import Footprint, footprint
from wordsight.training.contrastive.gpus import Gpu
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes

UTILISATION = 0.25
"""Share of a GPU's peak that training reaches. The paper's runs did (section 2.5): ViT-L/14 in 12
days on 256 V100 is 27 % of 125 tera-operations a second, RN50x64 in 18 days on 592 is 24 %."""
ROOM = 0.9
"""Share of a GPU's memory that a run may fill; the rest is its libraries'."""
HOUR_S = 3600.0
LOSS_PRODUCTS = 4
"""Products of all pictures with all sentences in a step of the loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Accelerators to plan for."""

    gpu: Gpu
    count: int
    price_per_hour: float = 0.0
    """Of one GPU, in any currency."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"{self.count} GPUs; expected 1 or more")
        if self.price_per_hour < 0:
            raise ConfigError(f"a price of {self.price_per_hour} an hour; expected 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterPlan:
    """What a run takes on a cluster."""

    cluster: Cluster
    seconds: float
    memory: Footprint
    """Of one GPU."""
    utilisation: float
    """Share of the peak that is assumed."""
    largest_micro_batch: int
    """Largest micro_batch of the settings that fits, over all GPUs; 0 if none does."""

    @property
    def fits(self) -> bool:
        """Whether the settings fit into the memory as they are."""
        return self.memory.total <= ROOM * self.cluster.gpu.memory

    @property
    def cost(self) -> float:
        """Price of all GPUs for that time."""
        return self.seconds / HOUR_S * self.cluster.count * self.cluster.price_per_hour


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainPlan:
    """What a run takes."""

    num_examples: int
    """Examples to learn from."""
    num_held_out: int
    num_steps: int
    num_evaluations: int
    num_saves: int
    num_parameters: int
    operations: float
    """Of the whole run, a multiply-add counted as two."""
    calibration: Calibration
    memory: Footprint
    """On this machine."""
    cluster: ClusterPlan | None

    @property
    def seconds(self) -> float:
        """Time on this machine, from the call to the model."""
        here = self.calibration
        return (
            here.start_s
            + self.num_steps * here.step_s
            + self.num_evaluations * self.num_held_out * here.evaluate_s
            + (self.num_saves + 1) * here.save_s  # and the model at the end
        )


def plan_training(
    config: TrainConfig,
    *,
    examples: Examples | None = None,
    num_examples: int = 0,
    cluster: Cluster | None = None,
    processes: Processes | None = None,
) -> TrainPlan:
    """Estimate a run from a calibration of some seconds on this machine.

    Promised within 30 % here, if the machine is as busy as during the calibration and `examples`
    are given. The cluster is computed from data sheets, not measured.

    Args:
        config: the settings of the run.
        examples: what it will learn from; `num_examples` of unknown ones if None.
        num_examples: how many there are, where they are not at hand.
        cluster: accelerators to plan for as well.
        processes: device to calibrate on; the CPU if not given.

    Raises:
        ConfigError: if neither examples nor their number are given.
        DataError: if the training doctor refuses the examples.
    """
    learnt = held_out = None
    if examples is not None:
        parts = split_examples(examples.keys, held_out=config.held_out, seed=config.seed)
        learnt, held_out = (Part(examples, part) for part in parts)
        num_learnt, num_held_out = len(learnt), len(held_out)
    else:
        if num_examples < 1:
            raise ConfigError(
                "neither pairs nor their number are given",
                hint="name a folder or table, or say --examples 400000000",
            )
        num_held_out = round(num_examples * config.held_out)
        num_learnt = num_examples - num_held_out
    calibration, architecture = calibrate(config, learnt, held_out, processes or Processes())
    steps = BatchPlan(num_learnt, config.batch_size, config.epochs, config.seed).num_steps
    every = config.evaluate_every
    operations = steps * config.batch_size * operations_of_a_pair(architecture, config)
    return TrainPlan(
        num_examples=num_learnt,
        num_held_out=num_held_out,
        num_steps=steps,
        num_evaluations=max(1, math.ceil(config.epochs / every)) if every else 1,
        num_saves=math.ceil(steps / config.checkpoint_every),
        num_parameters=measure(architecture).num_parameters,
        operations=operations,
        calibration=calibration,
        memory=footprint(architecture, config),
        cluster=plan_cluster(architecture, config, cluster, operations) if cluster else None,
    )


def operations_of_a_pair(architecture: ClipConfig, config: TrainConfig) -> float:
    """Return the operations that one pair costs in a step.

    A backward pass costs two forward passes; checkpointed gradients one more, parts of a batch one
    more. A locked tower has no backward pass.
    """
    size = measure(architecture)
    shown = {"image": 1 - config.patch_dropout, "text": 1.0}
    forward = 2 if 0 < config.micro_batch < config.batch_size else 1
    total = 2.0 * LOSS_PRODUCTS * config.batch_size * architecture.embed_dim
    for side, cost in (("image", size.image), ("text", size.text)):
        backward = 0 if config.lock == side else 2 + config.checkpoint_gradients
        total += cost.operations * shown[side] * (forward + backward)
    return total


def plan_cluster(
    architecture: ClipConfig, config: TrainConfig, cluster: Cluster, operations: float
) -> ClusterPlan:
    """Return what so many operations take on a cluster, at the utilisation that is assumed."""
    gpu = cluster.gpu
    peak = gpu.single if config.precision == "float32" else gpu.half
    memory = footprint(architecture, config, num_processes=cluster.count)
    pairs = -(-config.batch_size // cluster.count)
    micro = min(pairs, -(-config.micro_batch // cluster.count) or pairs)
    rest = ROOM * gpu.memory - memory.total + memory.activations
    largest = int(rest / (memory.activations / micro)) if rest > 0 else 0
    return ClusterPlan(
        cluster=cluster,
        seconds=operations / (cluster.count * peak * UTILISATION),
        memory=memory,
        utilisation=UTILISATION,
        largest_micro_batch=min(config.batch_size, largest * cluster.count),
    )
