"""Pictures and captions per second of the CLIP family: open_clip eager against every engine.

python benchmarks/clip_engines.py
python benchmarks/clip_engines.py --threads 1 --clock cpu   # where others use the machine too

open_clip makes each model with random weights and saves it; `wordsight.load` opens what it saved,
and the ONNX towers are exported from there. All contenders get the same arrays: a batch of prepared
pictures, and 64 captions of 12 tokens padded to the context. They take turns; medians count.
Preprocessing and tokenising are not part of it (see prepare_images.py).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.push_to_hf_hub import save_config_for_hf
from safetensors.torch import save_file

import wordsight as ws
from wordsight.engine.checkpoint import open_towers
from wordsight.engine.choice import open_graph
from wordsight.engine.runner import Runner
from wordsight.model.outputs import EMBEDDING
from wordsight.model.tower_graph import tower_graph

MODELS = ("ViT-B-32", "ViT-B-16", "RN50", "ViT-B-16-SigLIP")
NUM_CAPTIONS, CAPTION_LENGTH = 64, 12
HOME = "open_clip"
BUSY_CORES = 0.1
"""Cores that other processes may use before the figures are called doubtful."""
Contenders = dict[str, Callable[[], np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of torch's exporter
    torch.set_num_threads(options.threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    print(f"torch {torch.__version__}, open_clip {open_clip.__version__}, {options.threads} "
          f"threads, {options.clock} time, medians of {options.repeats}; {load()}")  # fmt: skip
    found: dict[str, dict[str, dict[str, float]]] = {}
    before = used_by_others()
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            sides = contenders(name, Path(folder), options.batch, options.threads)
            found[name] = {side: race(entries, options.repeats, clock) for side, entries in sides}
        for side, count in (("pictures", options.batch), ("captions", NUM_CAPTIONS)):
            show(name, side, count, found[name][side])
    others = used_by_others() - before
    print(f"{load()}; other processes used {others.cores:.2f} cores meanwhile")
    if others.cores > BUSY_CORES:
        print("BUSY: somebody else used this machine; do not quote these figures as wall time")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def contenders(name: str, folder: Path, batch: int, threads: int) -> list[tuple[str, Contenders]]:
    """Open one model everywhere; check that all say the same."""
    torch.manual_seed(0)
    home = open_clip.create_model(name).eval()
    save_file({n: v.contiguous() for n, v in home.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    config = open_clip.get_model_config(name)
    save_config_for_hf(home, folder / "open_clip_config.json", config)
    size, context = config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"]
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(batch, 3, size, size)).astype(np.float32)
    tokens = np.zeros((NUM_CAPTIONS, context), np.int64)
    last = config["text_cfg"]["vocab_size"] - 1
    tokens[:, : CAPTION_LENGTH - 1] = rng.integers(1, last, (NUM_CAPTIONS, CAPTION_LENGTH - 1))
    tokens[:, CAPTION_LENGTH - 1] = last
    is_cut = export(folder, size, context)
    runners: dict[str, tuple[Runner, Runner]] = {}
    for label, precision in (("torch", "float32"), ("torch bf16", "bfloat16")):
        engine = ws.load(folder, precision=precision).engine
        runners[label] = engine.image, engine.text
    for engine in ("onnxruntime", "openvino"):
        image, text = (
            open_graph(folder / f"{side}.onnx", engine, threads=threads)
            for side in ("image", "text")
        )
        runners[engine] = image, text

    def theirs(method: Callable[..., torch.Tensor], array: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return method(torch.from_numpy(array), normalize=True).numpy()

    images: Contenders = {HOME: lambda: theirs(home.encode_image, pixels)}
    texts: Contenders = {HOME: lambda: theirs(home.encode_text, tokens)}
    for label, (image_runner, text_runner) in runners.items():
        used = np.ascontiguousarray(tokens[:, :CAPTION_LENGTH]) if is_cut else tokens
        images[label] = lambda runner=image_runner: runner.run(pixels)[EMBEDDING]
        texts[label] = lambda runner=text_runner, used=used: runner.run(used)[EMBEDDING]
    return [("pictures", images), ("captions", texts)]


def export(folder: Path, size: int, context: int) -> bool:
    """Write both graphs; say whether the text tower takes captions without their padding."""
    _, image, text = open_towers(folder, None)
    is_cut = bool(text.tower.is_causal)
    length = CAPTION_LENGTH if is_cut else context
    for side, tower, example in (
        ("image", image, torch.zeros(2, 3, size, size)),
        ("text", text, torch.ones(2, length, dtype=torch.int64)),
    ):
        longest = context if is_cut and side == "text" else None
        graph = tower_graph(tower, example, "float32", max_length=longest)
        (folder / f"{side}.onnx").write_bytes(graph.SerializeToString())
    return is_cut


def race(entries: Contenders, repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median seconds of a call of each; they take turns."""
    reference = entries[HOME]()
    for label, call in entries.items():  # also warms it up
        cosine = float((call() * reference).sum(axis=1).min())
        assert cosine > (0.999 if "bf16" in label else 0.99999), f"{label}: cosine {cosine}"
    seconds: dict[str, list[float]] = {label: [] for label in entries}
    for _ in range(repeats):
        for label, call in entries.items():
            begun = clock()
            call()
            seconds[label].append(clock() - begun)
    return {label: statistics.median(values) for label, values in seconds.items()}


def show(name: str, side: str, count: int, seconds: dict[str, float]) -> None:
    home = seconds[HOME]
    shown = [
        f"{label} {count / value:.1f}/s" + ("" if label == HOME else f" x{home / value:.2f}")
        for label, value in seconds.items()
    ]
    print(f"{name:16} {side}: " + ", ".join(shown), flush=True)


class Usage:
    """Seconds of processor time that others have used, and when that was read."""

    def __init__(self, busy: float, own: float, now: float):
        self.busy, self.own, self.now = busy, own, now

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.busy - other.busy, self.own - other.own, self.now - other.now)

    @property
    def cores(self) -> float:
        return max(0.0, self.busy - self.own) / self.now


def used_by_others() -> Usage:
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = [int(field) for field in fields]
    busy = sum(ticks[:3]) + sum(ticks[5:8])  # all but idle and waiting for disks
    return Usage(busy / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]), time.perf_counter())


def load() -> str:
    return "load average " + " ".join(f"{value:.2f}" for value in os.getloadavg())


if __name__ == "__main__":
    main()
