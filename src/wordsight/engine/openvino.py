"""Graphs on OpenVINO."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.settings import DEFAULTS, EngineSettings
from wordsight.errors import BundleError
from wordsight.model.outputs import EMBEDDING
from wordsight.packages import require

CAPABILITIES = "OPTIMIZATION_CAPABILITIES"
HALF = "BF16"


class OpenVinoRunner:
    """One ONNX graph on the CPU.

    bfloat16, which OpenVINO would choose by itself where the processor has it, is used only if it
    is asked for, and dynamic quantisation never: the same bundle gives the same answers everywhere.
    """

    def __init__(self, path: Path, *, settings: EngineSettings = DEFAULTS):
        """Compile a graph.

        Raises:
            BundleError: if OpenVINO cannot compile the file.
        """
        self.path = path
        openvino = require("openvino", extra="openvino")
        core = openvino.Core()
        is_half = settings.is_half and HALF in core.get_property("CPU", CAPABILITIES)
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if is_half else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        if settings.threads is not None:
            properties["INFERENCE_NUM_THREADS"] = settings.threads
        try:
            self._compiled: Any = core.compile_model(core.read_model(str(path)), "CPU", properties)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(f"{path}: OpenVINO cannot run it: {reason}") from None
        shape = self._compiled.inputs[0].partial_shape
        self.takes_any_length = (
            shape.rank.is_static and len(shape) > 1 and bool(shape[1].is_dynamic)
        )
        self.outputs = tuple(str(output.get_any_name()) for output in self._compiled.outputs)
        self._places = {name: place for place, name in enumerate(self.outputs)}

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] = (EMBEDDING,)
    ) -> Mapping[str, NDArray[np.float32]]:
        """Run a batch.

        Raises:
            BundleError: if the graph does not take such a batch.
        """
        request = self._compiled.create_infer_request()
        try:
            arrays = request.infer([batch], share_inputs=True)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(f"{self.path}: OpenVINO cannot run it: {reason}") from None
        return {name: arrays[self._places[name]].copy() for name in outputs}
