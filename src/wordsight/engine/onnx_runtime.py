"""Graphs on ONNX Runtime, the engine of the base install."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import BundleError
from wordsight.model.outputs import EMBEDDING
from wordsight.packages import require

ERRORS_ONLY = 3


class OnnxRuntimeRunner:
    """One ONNX graph on the CPU in float32."""

    def __init__(self, path: Path, *, threads: int | None = None):
        """Open a graph.

        Raises:
            BundleError: if ONNX Runtime cannot make a session of the file.
        """
        self.path = path
        runtime = require("onnxruntime", extra="torch")
        options = runtime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        # Spinning threads take the cores from those that decode pictures (measured: 3 to 8 %).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = runtime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except _session_errors() as error:
            reason = str(error).splitlines()[0]
            raise BundleError(f"{path}: ONNX Runtime cannot run it: {reason}") from None
        entry = self._session.get_inputs()[0]
        self._input = str(entry.name)
        self.takes_any_length = len(entry.shape) > 1 and not isinstance(entry.shape[1], int)
        self.outputs = tuple(str(output.name) for output in self._session.get_outputs())

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] = (EMBEDDING,)
    ) -> Mapping[str, NDArray[np.float32]]:
        """Run a batch.

        Raises:
            BundleError: if the graph does not take such a batch.
        """
        try:
            arrays = self._session.run(list(outputs), {self._input: batch})
        except _session_errors() as error:
            reason = str(error).splitlines()[0]
            raise BundleError(f"{self.path}: ONNX Runtime cannot run it: {reason}") from None
        return dict(zip(outputs, arrays, strict=True))


def _session_errors() -> tuple[type[Exception], ...]:
    """List what ONNX Runtime raises for a graph it cannot use; the classes share no base."""
    state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="torch")
    names = ("Fail", "InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NotImplemented")
    return (*(getattr(state, name) for name in names), state.RuntimeException, ValueError)
