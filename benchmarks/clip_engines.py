"""Pictures and captions per second of the CLIP family: open_clip eager against every engine.

python benchmarks/clip_engines.py
python benchmarks/clip_engines.py --threads 1 --clock cpu   # where others use the machine too

open_clip makes each model with random weights and saves it; `wordsight.load` opens what it saved,
and the ONNX towers are exported from there; int8 is set on other arrays than those timed. "plain"
is what OpenVINO makes of open_clip's own modules, in int8 by NNCF where that is installed
(pip install nncf): its captions are padded to the context. All contenders get the same arrays: a
batch of prepared pictures, and 64 captions of 12 tokens padded to the context. They take turns;
medians count. Preprocessing and tokenising are not part of it (see prepare_images.py).
"""

import argparse
import importlib.util
import json
import logging
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
from quiet import watched
from safetensors.torch import save_file

import wordsight as ws
from wordsight.engine.checkpoint import open_towers
from wordsight.engine.choice import open_graph
from wordsight.engine.runner import Runner
from wordsight.engine.settings import EngineSettings
from wordsight.model.outputs import EMBEDDING
from wordsight.model.quantisation import calibrate, quantise
from wordsight.model.tower_graph import tower_graph

MODELS = ("ViT-B-32", "ViT-B-16", "RN50", "ViT-B-16-SigLIP")
NUM_CAPTIONS, CAPTION_LENGTH = 64, 12
HOME = "open_clip"
GRAPHS = (
    ("onnxruntime", "onnxruntime", "", "float32"),
    ("openvino", "openvino", "", "float32"),
    ("openvino bf16", "openvino", "", "bfloat16"),
    ("onnxruntime int8", "onnxruntime", "-int8", "float32"),
    ("openvino int8", "openvino", "-int8", "bfloat16"),
)
"""Label, engine, ending of the graph, and precision of what is not int8."""
PLAIN = (
    ("plain openvino", ".onnx", "float32"),
    ("plain openvino bf16", ".onnx", "bfloat16"),
    ("plain openvino int8", "-int8.xml", "float32"),
)
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
          f"threads, {options.clock} time, medians of {options.repeats}")  # fmt: skip
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            sides = contenders(name, Path(folder), options.batch, options.threads)
            found[name] = {side: race(entries, options.repeats, clock) for side, entries in sides}
        for side, count in (("pictures", options.batch), ("captions", NUM_CAPTIONS)):
            show(name, side, count, found[name][side])
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
    others = rng.normal(size=(16, 3, size, size)).astype(np.float32)
    is_cut = export(folder, size, context, others, tokens[:16])
    runners: dict[str, tuple[Runner, Runner]] = {}
    for label, precision in (("torch", "float32"), ("torch bf16", "bfloat16")):
        engine = ws.load(folder, precision=precision).engine
        runners[label] = engine.image, engine.text
    for label, engine, ending, precision in GRAPHS:
        settings = EngineSettings(threads=threads, precision=precision)
        image, text = (
            open_graph(folder / f"{side}{ending}.onnx", engine, settings=settings)
            for side in ("image", "text")
        )
        runners[label] = image, text

    def theirs(method: Callable[..., torch.Tensor], array: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return method(torch.from_numpy(array), normalize=True).numpy()

    images: Contenders = {HOME: lambda: theirs(home.encode_image, pixels)}
    texts: Contenders = {HOME: lambda: theirs(home.encode_text, tokens)}
    for label, (image_runner, text_runner) in runners.items():
        used = np.ascontiguousarray(tokens[:, :CAPTION_LENGTH]) if is_cut else tokens
        images[label] = lambda runner=image_runner: runner.run(pixels)[EMBEDDING]
        texts[label] = lambda runner=text_runner, used=used: runner.run(used)[EMBEDDING]
    plain(home, folder, others, tokens[:16])
    for label, ending, precision in PLAIN:
        if not (folder / f"plain-image{ending}").is_file():
            print(f"{label}: not run, nncf is not installed")
            continue
        settings = EngineSettings(threads=threads, precision=precision)
        for side, entries, batch_of in (("image", images, pixels), ("text", texts, tokens)):
            runner = open_graph(folder / f"plain-{side}{ending}", "openvino", settings=settings)
            entries[label] = lambda runner=runner, batch_of=batch_of: runner.run(batch_of)[
                EMBEDDING
            ]
    return [("pictures", images), ("captions", texts)]


def export(folder: Path, size: int, context: int, pixels: np.ndarray, tokens: np.ndarray) -> bool:
    """Write all graphs; say whether the text tower takes captions without their padding."""
    _, image, text = open_towers(folder, None)
    is_cut = bool(text.tower.is_causal)
    length = CAPTION_LENGTH if is_cut else context
    used = np.ascontiguousarray(tokens[:, :length])
    for side, tower, example, batch in (
        ("image", image, torch.zeros(2, 3, size, size), pixels),
        ("text", text, torch.ones(2, length, dtype=torch.int64), used),
    ):
        longest = context if is_cut and side == "text" else None
        graph = tower_graph(tower, example, "float32", max_length=longest)
        (folder / f"{side}.onnx").write_bytes(graph.SerializeToString())
        lower = quantise(calibrate(graph, [batch[n : n + 4] for n in range(0, len(batch), 4)]))
        (folder / f"{side}-int8.onnx").write_bytes(lower.SerializeToString())
    return is_cut


class _Normalised(torch.nn.Module):
    """One tower of open_clip as its users export it."""

    def __init__(self, home: torch.nn.Module, side: str):
        super().__init__()
        self.home, self.side = home, side

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        encode = self.home.encode_image if self.side == "image" else self.home.encode_text
        return encode(batch, normalize=True)


def plain(home: torch.nn.Module, folder: Path, pixels: np.ndarray, tokens: np.ndarray) -> None:
    """Write open_clip's own towers as OpenVINO takes them, and NNCF's int8 of these."""
    for side, batch in (("image", pixels), ("text", tokens)):
        path = folder / f"plain-{side}.onnx"
        torch.onnx.export(
            _Normalised(home, side), (torch.from_numpy(batch[:2]),), str(path), dynamo=True,
            verbose=False, output_names=[EMBEDDING], external_data=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
        if importlib.util.find_spec("nncf") is None:
            continue
        import nncf
        import openvino

        logging.getLogger("nncf").setLevel(logging.ERROR)
        rows = [batch[place : place + 1] for place in range(len(batch))]
        lower = nncf.quantize(
            openvino.Core().read_model(str(path)), nncf.Dataset(rows),
            model_type=nncf.ModelType.TRANSFORMER, preset=nncf.QuantizationPreset.MIXED,
        )  # fmt: skip
        openvino.save_model(lower, str(folder / f"plain-{side}-int8.xml"))


def race(entries: Contenders, repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median seconds of a call of each; they take turns."""
    reference = entries[HOME]()
    cosines: dict[str, float] = {}
    for label, call in entries.items():  # also warms it up
        cosine = float((call() * reference).sum(axis=1).min())
        cosines[label] = cosine
        least = 0.9 if "int8" in label else 0.999 if "bf16" in label else 0.99999
        assert cosine > least, f"{label}: cosine {cosine}"
    seconds: dict[str, list[float]] = {label: [] for label in entries}
    for _ in range(repeats):
        for label, call in entries.items():
            begun = clock()
            call()
            seconds[label].append(clock() - begun)
    print("  smallest cosines: " + ", ".join(f"{n} {c:.5f}" for n, c in cosines.items()))
    return {label: statistics.median(values) for label, values in seconds.items()}


def show(name: str, side: str, count: int, seconds: dict[str, float]) -> None:
    home = seconds[HOME]
    for label, value in seconds.items():
        print(
            f"{name:16} {side}: {label:20} {count / value:7.1f}/s  x{home / value:.2f}", flush=True
        )


if __name__ == "__main__":
    with watched():
        main()
