"""What a run was made with."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("wordsight", "torch", "numpy", "onnx", "onnxruntime", "openvino", "tokenizers")


def environment() -> dict[str, Any]:
    """Return versions and processor; nothing personal, no names of users, hosts or folders."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
