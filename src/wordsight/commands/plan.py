"""What a training run will take, before anything runs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.commands.machine import find_memory
from wordsight.language import Phrases
from wordsight.packages import require

if TYPE_CHECKING:
    from wordsight.training.contrastive.config import TrainConfig
    from wordsight.training.contrastive.footprint import Footprint
    from wordsight.training.contrastive.planning import ClusterPlan, TrainPlan

GPU = "h100"
UNITS = (("days", 86_400.0, 3.0), ("hours", 3600.0, 1.5), ("minutes", 60.0, 1.5))
"""Name of a unit, its seconds, and from how many of it on it is used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A plan, and the machine it was made on."""

    plan: "TrainPlan"
    config: "TrainConfig"
    machine_memory: int | None
    """Bytes; None where the system does not say."""

    @property
    def fits_here(self) -> bool:
        """Whether the run fits into the memory of this machine, as far as that is known."""
        return self.machine_memory is None or self.plan.memory.total <= self.machine_memory

    def rows(self, say: Phrases) -> list[list[str]]:
        """Return what people read: name and estimate of each part."""
        plan, here = self.plan, self.plan.calibration
        total = _bytes(self.machine_memory or 0)
        verdict = say("plan.fits" if self.fits_here else "plan.too_much", total=total)
        learns = say(
            "plan.learns_value",
            n=plan.num_examples,
            held_out=plan.num_held_out,
            steps=plan.num_steps,
            batch=self.config.batch_size,
        )
        size = say(
            "plan.size_value",
            parameters=plan.num_parameters / 1e6,
            operations=f"{plan.operations:.1e}",
        )
        rows = [
            [say("plan.learns"), learns],
            [say("plan.size"), size],
            [say("plan.step"), f"{here.step_s:.3g} s"],
            [say("plan.here"), _duration(plan.seconds, say)],
            [
                say("plan.memory"),
                f"{_bytes(plan.memory.total)}, {verdict}\n{_parts(plan.memory, say)}",
            ],
        ]
        return rows + (_cluster_rows(plan.cluster, say) if plan.cluster else [])

    def notes(self, say: Phrases) -> list[str]:
        """Return what the estimate rests on."""
        here = self.plan.calibration
        found = [say("plan.tried", sizes=", ".join(map(str, here.batch_sizes)))]
        if here.is_shallow:
            found.append(say("plan.shallow"))
        if not here.is_read:
            found.append(say("plan.drawn"))
        if self.plan.cluster:
            found.append(say("plan.assumed", share=f"{self.plan.cluster.utilisation:.0%}"))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values; seconds, bytes, and the currency of the price."""
        plan, cluster = self.plan, self.plan.cluster
        found: dict[str, Any] = {
            "architecture": self.config.architecture,
            "examples": plan.num_examples,
            "held_out": plan.num_held_out,
            "steps": plan.num_steps,
            "parameters": plan.num_parameters,
            "operations": plan.operations,
            "here": {
                "seconds": round(plan.seconds, 1),
                "fits": self.fits_here,
                "memory": {"total": plan.memory.total, **asdict(plan.memory)},
                "calibration": asdict(plan.calibration),
            },
        }
        if cluster:
            found["cluster"] = {
                "gpu": cluster.cluster.gpu.name,
                "count": cluster.cluster.count,
                "seconds": round(cluster.seconds, 1),
                "cost": round(cluster.cost, 2),
                "fits": cluster.fits,
                "largest_micro_batch": cluster.largest_micro_batch,
                "memory": {"total": cluster.memory.total, **asdict(cluster.memory)},
            }
        return found


def plan(
    pairs: str | Path | None = None,
    *,
    preset: str = "",
    num_examples: int = 0,
    gpu: str = GPU,
    num_gpus: int = 0,
    price_per_hour: float = 0.0,
    **settings: Any,
) -> Planned:
    """Estimate time, memory and cost of a training run, from some measured seconds.

    Args:
        pairs: what would be learnt from, as `train` takes it.
        preset: name of settings that belong together.
        num_examples: how many pairs there are, where they are not at hand.
        gpu: kind of accelerator to plan for as well.
        num_gpus: how many of them; 0 for none.
        price_per_hour: of one of them, in any currency.
        **settings: any setting of a training run.

    Raises:
        ConfigError: for an unknown setting, preset or GPU, or no number of examples.
        DataError: if the pairs cannot be read, or the training doctor refuses them.
        MissingError: if torch is not installed.
    """
    require("torch", extra="torch")
    from wordsight.data.example_sources import open_examples
    from wordsight.training.contrastive.gpus import find_gpu
    from wordsight.training.contrastive.planning import Cluster, plan_training
    from wordsight.training.contrastive.presets import resolve
    from wordsight.training.contrastive.processes import joined

    config = resolve(preset, **settings)
    cluster = (
        Cluster(gpu=find_gpu(gpu), count=num_gpus, price_per_hour=price_per_hour)
        if num_gpus
        else None
    )
    examples = None if pairs is None else open_examples(pairs, max_bad=config.max_bad)
    with joined() as processes:
        planned = plan_training(
            config,
            examples=examples,
            num_examples=num_examples,
            cluster=cluster,
            processes=processes,
        )
    memory = find_memory()
    return Planned(plan=planned, config=config, machine_memory=memory.total if memory else None)


def _cluster_rows(found: "ClusterPlan", say: Phrases) -> list[list[str]]:
    cluster, micro = found.cluster, found.largest_micro_batch
    verdict = say("plan.never")
    if found.fits:
        verdict = say("plan.fits_gpu")
    elif micro:
        verdict = say("plan.too_large", micro=micro)
    memory = f"{_bytes(found.memory.total)}, {verdict}\n{_parts(found.memory, say)}"
    rows = [
        [
            say("plan.cluster", count=cluster.count, gpu=cluster.gpu.name),
            _duration(found.seconds, say),
        ],
        [say("plan.cluster_memory"), memory],
    ]
    if cluster.price_per_hour:
        cost = say("plan.cost_value", cost=found.cost, price=cluster.price_per_hour)
        rows.append([say("plan.cost"), cost])
    return rows


def _parts(memory: "Footprint", say: Phrases) -> str:
    return "\n".join(
        f"  {_bytes(size)} {say(f'plan.{name}')}" for name, size in asdict(memory).items() if size
    )


def _duration(seconds: float, say: Phrases) -> str:
    for name, unit_s, least in UNITS:
        if seconds >= least * unit_s:
            return say(f"plan.unit.{name}", n=seconds / unit_s)
    return say("plan.unit.seconds", n=seconds)


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
