"""Which engine runs a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wordsight.bundle import Bundle
from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH
from wordsight.engine.absent import AbsentTower
from wordsight.engine.runner import Runner
from wordsight.engine.settings import DEFAULTS, EngineSettings
from wordsight.errors import BundleError, InputError, MissingError
from wordsight.model.outputs import EMBEDDING
from wordsight.packages import is_installed

EngineName = Literal["auto", "onnxruntime", "openvino", "torch"]

FASTEST_FIRST = ("onnxruntime", "openvino", "torch")
"""Measured order on CPUs in float32 (docs/decisions.md)."""
HALF_FIRST = ("openvino", "onnxruntime", "torch")
"""The order for models that may be computed in bfloat16 or int8."""
HALF = ("openvino", "torch")
"""Engines that multiply in bfloat16; ONNX Runtime has no such kernels for CPUs."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Both towers of a model on one engine."""

    name: str
    image: Runner
    text: Runner
    settings: EngineSettings = field(default=DEFAULTS, kw_only=True)

    @property
    def identity(self) -> str:
        """Everything of the engine that can change a vector: vectors of two are never mixed."""
        kind = self.settings.device.split(":")[0]
        return f"{self.name} {self.settings.precision} {kind}"


def usable_engines(bundle: Bundle, settings: EngineSettings = DEFAULTS) -> tuple[str, ...]:
    """List the engines that this machine has and this bundle has files for, fastest first."""
    fitting = {
        "openvino": bundle.has_graphs,
        "onnxruntime": bundle.has_graphs,
        "torch": bundle.has_weights,
    }
    order = HALF_FIRST if settings.of_model(bundle.config.precision).is_half else FASTEST_FIRST
    if settings.is_half:
        order = HALF
    return tuple(name for name in order if fitting[name] and is_installed(name))


def check_engine(name: str, settings: EngineSettings) -> str:
    """Return the engine that was asked for: "torch" for "auto" where only torch has the settings.

    Raises:
        InputError: if there is no engine of that name, or it does not have the settings.
    """
    if name not in ("auto", *FASTEST_FIRST):
        raise InputError(
            f"there is no engine {name!r}", hint=f"choose auto, {', '.join(FASTEST_FIRST)}"
        )
    if name == "auto":
        return "torch" if settings.for_torch else "auto"
    if settings.for_torch and name != "torch":
        raise InputError(
            f"{', '.join(settings.for_torch)} is for the torch engine, not for {name}",
            hint='choose engine="torch", or leave it to "auto"',
        )
    if settings.is_half and name not in HALF:
        raise InputError(
            f"precision='bfloat16' is for {' and '.join(HALF)}, not for {name}",
            hint='choose one of them, or leave it to "auto"',
        )
    return name


def open_engine(
    bundle: Bundle, name: str = "auto", *, settings: EngineSettings = DEFAULTS
) -> Engine:
    """Open both towers of a bundle on an engine; "auto" takes the fastest that works here.

    Raises:
        InputError: if there is no engine of that name, or it does not have the settings.
        MissingError: if the engine is not installed, or the bundle has no files for it.
    """
    name = check_engine(name, settings)
    usable = usable_engines(bundle, settings)
    settings = settings.of_model(bundle.config.precision)
    chosen = next(iter(usable), None) if name == "auto" else name
    if chosen is None or chosen not in usable:
        raise MissingError(
            f"{bundle.path}: cannot run on {name}: {_why(bundle, name, settings)}",
            hint=_hint(usable),
        )
    if chosen == "torch":
        from wordsight.engine.torch import torch_runners

        image, text = torch_runners(bundle, settings)
        return Engine("torch", image, text, settings=settings)
    runners: list[Runner] = []
    for file in (IMAGE_GRAPH, TEXT_GRAPH) if bundle.has_text else (IMAGE_GRAPH,):
        runner = open_graph(bundle.path / file, chosen, settings=settings)
        if EMBEDDING not in runner.outputs:
            raise BundleError(
                f"{bundle.path / file}: has no output {EMBEDDING!r}",
                hint="it is a tower without a head: learn one with wordsight align",
            )
        runners.append(runner)
    if not bundle.has_text:
        runners.append(AbsentTower(bundle))
    image, text = runners
    return Engine(chosen, image, text, settings=settings)


def _why(bundle: Bundle, name: str, settings: EngineSettings) -> str:
    if name != "auto" and not is_installed(name):
        return f"the package {name} is not installed"
    if name == "torch":
        return "the bundle holds no torch weights (model.safetensors)"
    if settings.is_half and not any(is_installed(one) for one in HALF):
        return f"bfloat16 takes one of {', '.join(HALF)}, and none is installed"
    if name == "auto" and bundle.has_weights:
        return "it has only torch weights, and torch is not installed"
    return "the bundle holds no ONNX towers"


def _hint(usable: Sequence[str]) -> str:
    if usable:
        return f"engines that work here: {', '.join(usable)}"
    return 'pip install "wordsight[torch]"'


def open_graph(
    path: Path, engine: str = FASTEST_FIRST[0], *, settings: EngineSettings = DEFAULTS
) -> Runner:
    """Open one ONNX file on ONNX Runtime or OpenVINO."""
    if engine == "openvino":
        from wordsight.engine.openvino import OpenVinoRunner

        return OpenVinoRunner(path, settings=settings)
    from wordsight.engine.onnx_runtime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(path, threads=settings.threads)
