"""Start-up times: the median of several processes.

python benchmarks/start_up.py
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from quiet import watched

RUNS = 7


def seconds(*command: str) -> float:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    bare = seconds(sys.executable, "-c", "pass")
    print(f"python -c pass              {1000 * bare:7.0f} ms")
    imported = seconds(sys.executable, "-c", "import wordsight")
    print(f"import wordsight            {1000 * imported:7.0f} ms")
    command = str(Path(sys.executable).with_name("wordsight"))
    print(f"wordsight --help            {1000 * seconds(command, '--help'):7.0f} ms")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(picture)
        for engine in ("onnxruntime", "openvino"):
            line = (command, "classify", str(picture), "--labels", "cat,dog", "--engine", engine)
            try:
                print(f"first decision, {engine:12}{1000 * seconds(*line):7.0f} ms")
            except subprocess.CalledProcessError as error:
                print(f"first decision, {engine:12} {error.stderr.decode().strip()}")


if __name__ == "__main__":
    with watched():
        main()
