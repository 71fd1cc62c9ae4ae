"""Zero-shot accuracy of a model in bfloat16 and int8, against its own float32, on public sets.

python benchmarks/lower_precision.py ../shared/data/coco2k_captions/images \
    ../shared/data/{cifar10,caltech101,tiny_imagenet,ucm_captions,neu_det_steel}

The first argument is what the levels are set on; none of it is measured on. Each model that
`wordsight export --calibrate` writes is run on the engine it is fastest on. A set is kept if the
accuracy in lower precision lies within the 95 % interval of the float32 one.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from quiet import watched

import wordsight as ws
from wordsight.commands.export import CalibrateOn, export
from wordsight.data.labelled import read_labelled, spoken
from wordsight.metrics import accuracy
from wordsight.transfer.class_vectors import class_vectors

PRECISIONS = ("bfloat16", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calibrate")
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--most", type=int, default=3000, help="pictures of a set")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = {"float32": options.model}
        for precision in PRECISIONS:
            out = Path(folder) / precision
            done = export(
                options.model, out, precision=precision, calibrate=CalibrateOn(options.calibrate)
            )
            assert done.lowered is not None
            print(done.lowered.report())
            places[precision] = str(out)
        models = {name: ws.load(place, threads=options.threads) for name, place in places.items()}
        for path in options.sets:
            measure(path, models, options.most)


def measure(path: Path, models: dict[str, ws.Model], most: int) -> None:
    labelled = read_labelled(path)
    if "test" in labelled.parts:
        labelled = labelled.part("test")
    if len(labelled) > most:
        order = np.random.default_rng(0).permutation(len(labelled))[:most]
        labelled = labelled.subset(sorted(order.tolist()))
    names, truth = np.array(list(labelled.classes)), np.array(labelled.truth)
    said = [spoken(name) for name in names]
    first = None
    for precision, model in models.items():
        vectors = class_vectors(model, said, cache=False)
        begun = time.perf_counter()
        images = model.encode_image(list(labelled.images))
        rate = len(images) / (time.perf_counter() - begun)
        decided = names[vectors.cosines(images).argmax(axis=1)]
        found = accuracy(decided, truth)
        first = first or (found, decided)
        is_kept = first[0].low <= found.value <= first[0].high
        agreement = (decided == first[1]).mean()
        print(
            f"{path.name:16} {precision:8} {model.engine.name:11} {found}, {rate:.0f}/s, "
            f"{agreement:.1%} as float32, {'kept' if is_kept else 'LOST'}",
            flush=True,
        )


if __name__ == "__main__":
    with watched():
        main()
