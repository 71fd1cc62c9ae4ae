"""Measure every few-shot method on five sets: 1 to 16 shots per class, five draws of the shots.

    python recipes/few_shot/measure.py ../shared/data work

Features and the results of every set are kept in the folder `work`; a repeated run goes on from
there. `work/few_shot.json` holds all numbers, `work/few_shot.md` the tables of docs/few_shot.md.

Shape letters: N test pictures, R draws.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pictures import FeatureSet, load_features
from tables import write_tables

import wordsight as ws
from wordsight.files import write_text
from wordsight.transfer import ClassVectors
from wordsight.transfer.few_shot import METHODS, FewShot

SETS = ("cifar10", "caltech101", "ucm_captions", "neu_det_steel", "magnetic_tile")
SHOTS = (1, 2, 4, 8, 16)
DRAWS = 5


def draw(features: FeatureSet, per_class: int, seed: int) -> NDArray[np.int64]:
    """Return places of up to `per_class` pictures of each class, from the learning part."""
    random = np.random.default_rng([seed, per_class])
    chosen: list[NDArray[np.int64]] = []
    for name in features.classes:
        own = np.flatnonzero((features.labels == name) & ~features.is_test)
        chosen.append(random.permutation(own)[:per_class])
    return np.concatenate(chosen)


def enough(features: FeatureSet, per_class: int) -> bool:
    """Whether at least half of the classes have so many pictures to learn from."""
    counts = [int(np.sum(features.labels[~features.is_test] == c)) for c in features.classes]
    return float(np.median(counts)) >= per_class


def measure(features: FeatureSet, per_class: int, method: str, scale: float) -> dict[str, Any]:
    """Return what the method got right: for each draw and test picture 1 or 0."""
    words = ClassVectors(features.classes, features.class_vectors)
    test = features.embeddings[features.is_test]
    truth = features.labels[features.is_test]
    right: list[str] = []
    chosen: list[str] = []
    started = time.perf_counter()
    for seed in range(DRAWS):
        shots = draw(features, per_class, seed)
        learner = FewShot(method=method, class_vectors=words, scale=scale, seed=seed)
        learner.fit(
            features.embeddings[shots], features.labels[shots], groups=features.groups[shots]
        )
        right.append("".join("01"[int(hit)] for hit in learner.predict(test) == truth))
        chosen.append(f"{learner.method_} {learner.setting_} {learner.guard_.stepped_in}")
    seconds = (time.perf_counter() - started) / DRAWS
    return {"right": right, "chosen": chosen, "seconds": round(seconds, 3)}


def measure_set(features: FeatureSet, methods: list[str], scale: float, path: Path) -> None:
    """Measure methods on one set, keeping every finished number in `path`."""
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    done["truth"] = features.labels[features.is_test].tolist()
    done["groups"] = features.groups[features.is_test].tolist()
    for per_class in SHOTS:
        if not enough(features, per_class):
            continue
        for method in methods:
            key = f"{per_class} {method}"
            if key not in done:
                done[key] = measure(features, per_class, method, scale)
                write_text(path, json.dumps(done))
                sys.stderr.write(f"{features.name}: {key}: {done[key]['seconds']} s a fit\n")


def main() -> None:
    """Measure the sets that are asked for, then write the tables of all that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--methods", nargs="+", default=["auto", *METHODS])
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = ws.load(given.model)
    for name in given.sets:
        features = load_features(given.data, given.work, name, model)
        measure_set(features, given.methods, model.logit_scale, given.work / f"{name}.json")
    results = {
        name: json.loads((given.work / f"{name}.json").read_text())
        for name in SETS
        if (given.work / f"{name}.json").exists()
    }
    write_text(given.work / "few_shot.json", json.dumps(results))
    write_text(given.work / "few_shot.md", write_tables(results))


if __name__ == "__main__":
    main()
