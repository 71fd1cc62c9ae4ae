"""A zero-shot classifier of many classes and templates: seconds until it is there, cold and cached.

python benchmarks/classifier.py --threads 1 --clock cpu             # 3 classes x 80 templates
python benchmarks/classifier.py --classes 20 --templates 10 --threads 2

The rival is open_clip's `build_zero_shot_classifier` on the same ViT-B/32 with random weights, with
its own 80 templates for ImageNet and classes drawn from its 1,000. Every contender reads the same
sentences and gives one unit vector for each class, compared with the rival's. They take turns;
medians count. The time grows with the number of sentences; 80 templates x 1,000 classes are 80,000,
and what these would take is said too. `--linear` checks it by building twice as many classes.

Also said: the share of all tokens that lie in a beginning which sentences of one template have in
common. A causal text tower could compute these once.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--templates", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--linear", action="store_true", help="also build twice as many classes")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    return options


OPTIONS = parse()

import numpy as np  # noqa: E402
import open_clip  # noqa: E402
import torch  # noqa: E402
from open_clip.push_to_hf_hub import save_config_for_hf  # noqa: E402
from quiet import watched  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import wordsight as ws  # noqa: E402
from wordsight.checkpoints.bundle_format import write_bundle_format  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.engine.checkpoint import open_towers  # noqa: E402
from wordsight.engine.choice import Engine, open_graph  # noqa: E402
from wordsight.engine.model import Model  # noqa: E402
from wordsight.engine.settings import EngineSettings  # noqa: E402
from wordsight.model.tower_graph import tower_graph  # noqa: E402
from wordsight.text import openai_bpe  # noqa: E402
from wordsight.transfer.class_cache import ClassCache, cache_key  # noqa: E402
from wordsight.transfer.class_vectors import class_sentences, class_vectors  # noqa: E402

NAME, HOME, LENGTH = "ViT-B-32", "open_clip", 9
WHOLE = 1000 * 80
Build = Callable[[list[str]], np.ndarray]
CLOCK = time.perf_counter if OPTIONS.clock == "wall" else time.process_time


def main() -> None:
    warnings.simplefilter("ignore")  # of torch's exporter
    torch.set_num_threads(OPTIONS.threads)
    names = list(open_clip.IMAGENET_CLASSNAMES)
    drawn = [names[i] for i in np.random.default_rng(0).permutation(len(names))]
    templates = [said("{}") for said in open_clip.OPENAI_IMAGENET_TEMPLATES][: OPTIONS.templates]
    print(
        f"{NAME}, random weights, {OPTIONS.classes} classes x {len(templates)} templates, "
        f"{OPTIONS.threads} threads, {OPTIONS.clock} time, medians of {OPTIONS.repeats}"
    )
    with tempfile.TemporaryDirectory() as folder, watched() as watch:
        builds, cached, shared = contenders(Path(folder), templates)
        print(f"tokens in a beginning that a template's sentences share: {shared(names):.0%}")
        for count in (OPTIONS.classes, 2 * OPTIONS.classes)[: 2 if OPTIONS.linear else 1]:
            seconds = race(builds, drawn[:count], watch.glance)
            number = count * len(templates)
            for label, value in seconds.items():
                whole = WHOLE / number * value
                print(
                    f"{label:14}{count} classes {value:7.2f} s, {number / value:7.1f} sentences/s, "
                    f"x{seconds[HOME] / value:5.1f}; 1,000 x 80 at that rate: {whole / 60:.1f} min",
                    flush=True,
                )
        cached(seconds[HOME] / number)


def contenders(
    folder: Path, templates: list[str]
) -> tuple[dict[str, Build], Callable[[float], None], Callable[[list[str]], float]]:
    torch.manual_seed(0)
    home = open_clip.create_model(NAME).eval()
    save_file({n: v.contiguous() for n, v in home.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    save_config_for_hf(home, folder / "open_clip_config.json", open_clip.get_model_config(NAME))
    tokenizer = open_clip.get_tokenizer(NAME)
    (folder / "tokenizer.json").write_bytes(ws_tokenizer())
    _, _, text = open_towers(folder, None)
    graph = tower_graph(text, torch.ones(2, LENGTH, dtype=torch.int64), "float32", max_length=77)
    (folder / "text.onnx").write_bytes(graph.SerializeToString())

    def theirs(names: list[str]) -> np.ndarray:
        with torch.inference_mode():
            built = open_clip.build_zero_shot_classifier(home, tokenizer, names, templates)
        return built.T.numpy()

    opened = {
        "torch": ws.load(folder, precision="float32"),
        "torch bf16": ws.load(folder, precision="bfloat16"),
    }
    settings = EngineSettings(threads=OPTIONS.threads)
    for engine in ("onnxruntime", "openvino"):
        runner = open_graph(folder / "text.onnx", engine, settings=settings)
        plain = opened["torch"]
        towers = Engine(engine, plain.engine.image, runner, settings=settings)
        opened[engine] = Model(plain.source, towers)
    builds: dict[str, Build] = {HOME: theirs}
    for label, model in opened.items():
        builds[label] = lambda names, model=model: (
            class_vectors(model, names, templates=templates, cache=False).vectors
        )

    write_bundle_format(open_checkpoint(folder), folder / "bundle")
    bundle = ws.load(folder / "bundle", engine="torch")

    def cached(home_seconds: float) -> None:
        """1,000 classes, whose vectors were drawn: what counts is finding them."""
        names = list(dict.fromkeys(open_clip.IMAGENET_CLASSNAMES))
        said = list(class_sentences(names, templates, ("{}",)).values())
        drawn = np.random.default_rng(0).normal(size=(len(names), bundle.embed_dim))
        ClassCache(folder).write(cache_key(bundle, said), drawn.astype(np.float32))
        values: list[float] = []
        for _ in range(5):
            begun = CLOCK()
            class_vectors(bundle, names, templates=templates, cache=folder)
            values.append(CLOCK() - begun)
        value, number = statistics.median(values), sum(map(len, said))
        print(
            f"from the cache: {number:,} sentences in {1000 * value:.0f} ms; "
            f"{HOME} at its rate {home_seconds * number / 60:.0f} min"
        )

    def shared(names: list[str]) -> float:
        return share_of_beginnings(opened["torch"], names, templates)

    return builds, cached, shared


def ws_tokenizer() -> bytes:
    """Return the tokenizer.json of CLIP, from the vocabulary that open_clip brings."""
    merges = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    return openai_bpe(merges).to_str().encode()


def share_of_beginnings(model: Model, names: list[str], templates: list[str]) -> float:
    """Return the share of all tokens that need not be computed again for each class."""
    total = saved = 0
    for template in templates:
        tokens = model.tokenizer.encode([template.replace("{}", name) for name in names])
        ids, lengths = tokens.ids, tokens.lengths
        same = (ids == ids[0]).all(axis=0)
        common = int(np.argmin(same)) if not same.all() else ids.shape[1]
        total += int(lengths.sum())
        saved += common * (len(names) - 1)
    return saved / total


def race(
    builds: dict[str, Build], names: list[str], glance: Callable[[], object]
) -> dict[str, float]:
    """Return the median seconds of each; they take turns, and must say the same."""
    seconds: dict[str, list[float]] = {label: [] for label in builds}
    found: dict[str, np.ndarray] = {}
    for label, build in builds.items():
        if label != HOME:
            build([*names[:1], "something else"])  # warms it up
    for _ in range(OPTIONS.repeats):
        for label, build in builds.items():
            begun = CLOCK()
            found[label] = build(names)
            seconds[label].append(CLOCK() - begun)
        glance()
    for label, rows in found.items():
        cosine = float((rows * found[HOME]).sum(axis=1).min())
        assert cosine > (0.999 if "bf16" in label else 0.99999), f"{label}: cosine {cosine}"
    return {label: statistics.median(values) for label, values in seconds.items()}


if __name__ == "__main__":
    with watched():
        main()
