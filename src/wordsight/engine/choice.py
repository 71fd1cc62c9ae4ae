"""Which engine runs a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wordsight.bundle import Bundle
from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH
from wordsight.engine.runner import Runner
from wordsight.engine.settings import DEFAULTS, EngineSettings
from wordsight.errors import BundleError, InputError, MissingError
from wordsight.model.outputs import EMBEDDING
from wordsight.packages import is_installed

EngineName = Literal["auto", "onnxruntime", "openvino", "torch"]

FASTEST_FIRST = ("onnxruntime", "openvino", "torch")
"""Measured order on CPUs (docs/decisions.md)."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Both towers of a model on one engine."""

    name: str
    image: Runner
    text: Runner


def usable_engines(bundle: Bundle) -> tuple[str, ...]:
    """List the engines that this machine has and this bundle has files for, fastest first."""
    fitting = {
        "openvino": bundle.has_graphs,
        "onnxruntime": bundle.has_graphs,
        "torch": bundle.has_weights,
    }
    return tuple(name for name in FASTEST_FIRST if fitting[name] and is_installed(name))


def check_engine(name: str, settings: EngineSettings) -> str:
    """Return the engine that was asked for: "torch" for "auto" where only torch has the settings.

    Raises:
        InputError: if there is no engine of that name, or it does not have the settings.
    """
    if name not in ("auto", *FASTEST_FIRST):
        raise InputError(
            f"there is no engine {name!r}", hint=f"choose auto, {', '.join(FASTEST_FIRST)}"
        )
    if not settings.for_torch or name == "torch":
        return name
    if name != "auto":
        raise InputError(
            f"{', '.join(settings.for_torch)} is for the torch engine, not for {name}",
            hint='choose engine="torch", or leave it to "auto"',
        )
    return "torch"


def open_engine(
    bundle: Bundle, name: str = "auto", *, settings: EngineSettings = DEFAULTS
) -> Engine:
    """Open both towers of a bundle on an engine; "auto" takes the fastest that works here.

    Raises:
        InputError: if there is no engine of that name, or it does not have the settings.
        MissingError: if the engine is not installed, or the bundle has no files for it.
    """
    name = check_engine(name, settings)
    usable = usable_engines(bundle)
    chosen = next(iter(usable), None) if name == "auto" else name
    if chosen is None or chosen not in usable:
        raise MissingError(
            f"{bundle.path}: cannot run on {name}: {_why(bundle, name)}", hint=_hint(usable)
        )
    if chosen == "torch":
        from wordsight.engine.torch import torch_runners

        image, text = torch_runners(bundle, settings)
        return Engine("torch", image, text)
    runners: list[Runner] = []
    for file in (IMAGE_GRAPH, TEXT_GRAPH):
        runner = open_graph(bundle.path / file, chosen, threads=settings.threads)
        if EMBEDDING not in runner.outputs:
            raise BundleError(
                f"{bundle.path / file}: has no output {EMBEDDING!r}",
                hint="it is a tower without a head: learn one with wordsight align",
            )
        runners.append(runner)
    return Engine(chosen, *runners)


def _why(bundle: Bundle, name: str) -> str:
    if name != "auto" and not is_installed(name):
        return f"the package {name} is not installed"
    if name == "torch":
        return "the bundle holds no torch weights (model.safetensors)"
    if name == "auto" and bundle.has_weights:
        return "it has only torch weights, and torch is not installed"
    return "the bundle holds no ONNX towers"


def _hint(usable: Sequence[str]) -> str:
    if usable:
        return f"engines that work here: {', '.join(usable)}"
    return 'pip install "wordsight[torch]"'


def open_graph(path: Path, engine: str = FASTEST_FIRST[0], *, threads: int | None = None) -> Runner:
    """Open one ONNX file on ONNX Runtime or OpenVINO."""
    if engine == "openvino":
        from wordsight.engine.openvino import OpenVinoRunner

        return OpenVinoRunner(path, threads=threads)
    from wordsight.engine.onnx_runtime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(path, threads=threads)
