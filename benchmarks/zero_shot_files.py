"""From 500 JPEG files to decisions: open_clip as its users run it, against wordsight.

python benchmarks/zero_shot_files.py ../shared/data/coco2k_captions/images

ViT-B/32 with random weights, made by open_clip and opened here. open_clip runs in float32 with its
own transform in a DataLoader of one worker; here the same files go through `encode_image` on
OpenVINO in float32, bfloat16 and int8. Levels of int8 are set on other pictures. 100 classes; their
vectors are made before and are the same for all. They take turns; medians of wall time count.
"Agreement" is the share of the 500 pictures decided as by float32, with its 95 % interval.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.push_to_hf_hub import save_config_for_hf
from PIL import Image
from quiet import add_option, watched
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset

import wordsight as ws
from wordsight.bundle import open_bundle, write_bundle
from wordsight.commands.export import export
from wordsight.images import find_images, prepare_batch
from wordsight.metrics import clopper_pearson
from wordsight.model.graph import read_graph
from wordsight.model.quantisation import calibrate, quantise

ARCHITECTURE = "ViT-B-32"
NUM_LEVELS, NUM_CLASSES, BATCH = 64, 100, 64


class Files(Dataset):
    """Pictures as open_clip prepares them."""

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self.transform = open_clip.image_transform(224, is_train=False)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[place]).convert("RGB"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures")
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    add_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of torch's exporter
    found = find_images([options.pictures])
    paths, others = found[: options.number], found[options.number :][:NUM_LEVELS]
    with tempfile.TemporaryDirectory() as folder, watched(options.wait) as watch:
        home, places = models(Path(folder), others)
        opened = {name: ws.load(path, engine="openvino") for name, path in places.items()}
        sentences = [f"a photo of a thing of kind {number}" for number in range(NUM_CLASSES)]
        classes = opened["float32"].encode_text(sentences)
        runs: dict[str, Callable[[], np.ndarray]] = {
            "open_clip": lambda: encode_theirs(home, paths)
        }
        for name, model in opened.items():
            runs[name] = lambda model=model: model.encode_image(paths)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        decided: dict[str, np.ndarray] = {}
        for number in range(options.repeats):
            for name, run in runs.items():
                watch.glance()
                begun = time.perf_counter()
                decided[name] = (run() @ classes.T).argmax(axis=1)
                seconds[name].append(time.perf_counter() - begun)
                print(f"  round {number + 1}: {name} {seconds[name][-1]:.2f} s", flush=True)
        report(seconds, decided, len(paths))


def models(folder: Path, others: list[Path]) -> tuple[torch.nn.Module, dict[str, Path]]:
    """Make a model, and a bundle of it in every precision."""
    torch.manual_seed(0)
    home = open_clip.create_model(ARCHITECTURE).eval()
    theirs = folder / "theirs"
    theirs.mkdir()
    save_file(
        {name: value.contiguous() for name, value in home.state_dict().items()},
        theirs / "open_clip_model.safetensors",
    )
    config = open_clip.get_model_config(ARCHITECTURE)
    save_config_for_hf(home, theirs / "open_clip_config.json", config)
    export(theirs, folder / "float32")
    bundle = open_bundle(folder / "float32")
    config = replace(bundle.config, precision="bfloat16")
    files = {name: (bundle.path / name).read_bytes() for name in bundle.files}
    files.pop("config.json")
    write_bundle(folder / "bfloat16", config, files)
    pixels = prepare_batch(others, config.preprocessing).pixels
    batches = [pixels[place : place + 4] for place in range(0, len(pixels), 4)]
    lower = quantise(calibrate(read_graph(bundle.path / "image.onnx"), batches))
    files["image.onnx"] = lower.SerializeToString()
    write_bundle(folder / "int8", config, files)
    return home, {name: folder / name for name in ("float32", "bfloat16", "int8")}


def encode_theirs(home: torch.nn.Module, paths: list[Path]) -> np.ndarray:
    rows: list[np.ndarray] = []
    with torch.inference_mode():
        for batch in DataLoader(Files(paths), batch_size=BATCH, num_workers=1):
            rows.append(home.encode_image(batch, normalize=True).numpy())
    return np.concatenate(rows)


def report(seconds: dict[str, list[float]], decided: dict[str, np.ndarray], number: int) -> None:
    home = statistics.median(seconds["open_clip"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        same = clopper_pearson(int((decided[name] == decided["float32"]).sum()), number)
        print(
            f"{name:10} {number / middle:6.1f} pictures/s ({min(values):.1f} to {max(values):.1f} "
            f"s), x{home / middle:.2f}, agreement with float32 {same}, "
            f"{len(set(decided[name].tolist()))} different decisions"
        )


if __name__ == "__main__":
    main()
