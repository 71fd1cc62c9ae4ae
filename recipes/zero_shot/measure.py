"""Measure what calibration, "none of these" and a choice of templates are worth, with intervals.

    python recipes/zero_shot/measure.py ../shared/data --model mini

Half of the pictures of each set is learnt from (`half A`), the other half is measured on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import wordsight as ws
from wordsight.data.labelled import read_labelled, spoken
from wordsight.metrics import accuracy, bootstrap_difference, expected_calibration_error, wilson
from wordsight.transfer.conformal import fit_conformal, measured_coverage
from wordsight.transfer.open_set import SCORES, above_none, separation, threshold_for
from wordsight.transfer.template_selection import prompt_embeddings, select_templates

SEED = 0
NONE = ["a photo of something else.", "an empty background.", "a texture.", "a photo of nothing."]
"""Written before any picture was looked at."""
TEMPLATES = Path(__file__).with_name("templates.txt").read_text("utf-8").splitlines()


@dataclass(frozen=True)
class Pictures:
    """Embedded pictures of one set."""

    name: str
    classes: list[str]
    rows: np.ndarray
    truth: np.ndarray
    is_half_a: np.ndarray


def embed(model: ws.Model, folder: Path, limit: int) -> Pictures:
    """Embed at most `limit` pictures, drawn with a seed, and cut them into halves."""
    labelled = read_labelled(folder)
    random = np.random.default_rng(SEED)
    chosen = random.permutation(len(labelled))[:limit].tolist()
    some = labelled.subset(chosen)
    column = {name: place for place, name in enumerate(some.class_names)}
    truth = np.array([column[name] for name in some.truth])
    rows = model.encode_image(list(some.images))
    half = np.zeros(len(rows), dtype=bool)
    for place in range(len(column)):
        own = np.flatnonzero(truth == place)
        half[own[: (len(own) + 1) // 2]] = True
    return Pictures(folder.name, [spoken(name) for name in some.class_names], rows, truth, half)


def calibration(model: ws.Model, pictures: Pictures) -> None:
    """Print ECE of the model's own softmax and after each calibration, on half B."""
    clf = ws.ZeroShotClassifier(model, pictures.classes)
    names, a, b = np.array(pictures.classes), pictures.is_half_a, ~pictures.is_half_a

    def ece(classifier: ws.ZeroShotClassifier) -> str:
        chances = classifier.predict_proba(pictures.rows[b])
        right = chances.argmax(axis=1) == pictures.truth[b]
        return format(expected_calibration_error(chances.max(axis=1), right))

    share = accuracy(clf.predict(pictures.rows[b]), names[pictures.truth[b]])
    print(f"\n{pictures.name}: accuracy on half B {share}")
    print(f"  ECE as it is          {ece(clf)}   (scale {model.logit_scale:.1f})")
    for method in ("temperature", "top_isotonic"):
        after = clf.calibrate(pictures.rows[a], names[pictures.truth[a]], method=method)
        scale = model.logit_scale * after.calibration.scale
        print(f"  ECE {method:<17} {ece(after)}   (scale {scale:.1f})")
        if method == "temperature":
            sets_of(after, pictures)


def sets_of(clf: ws.ZeroShotClassifier, pictures: Pictures) -> None:
    """Print coverage and size of conformal sets: half A promises, half B keeps."""
    a, b = pictures.is_half_a, ~pictures.is_half_a
    for method in ("least", "adaptive"):
        fitted = fit_conformal(
            clf.predict_proba(pictures.rows[a]), pictures.truth[a], miss_rate=0.1, method=method
        )
        sets = fitted.sets(clf.predict_proba(pictures.rows[b]))
        held, size = measured_coverage(sets, pictures.truth[b]), sets.sum(axis=1).mean()
        print(f"  sets, 90 % promised, {method:<8} hold {held}; {size:.1f} classes on average")


def open_set(model: ws.Model, pictures: Pictures, num_left_out: int) -> None:
    """Print how well each score tells pictures of classes that were left out."""
    left_out = np.random.default_rng(SEED).permutation(len(pictures.classes))[:num_left_out]
    is_other = np.isin(pictures.truth, left_out)
    names = [name for place, name in enumerate(pictures.classes) if place not in left_out]
    clf = ws.ZeroShotClassifier(model, names)
    scores, none = clf.scores(pictures.rows), model.encode_text(NONE)
    found = {name: score(scores) for name, score in SCORES.items()}
    found["above_none"] = above_none(scores, clf.scaled_cosines(pictures.rows, none))
    fits, tests = ~is_other & pictures.is_half_a, ~is_other & ~pictures.is_half_a
    print(
        f"\n{pictures.name}: {num_left_out} of {len(pictures.classes)} classes left out, "
        f"{tests.sum()} known and {is_other.sum()} other pictures measured on"
    )
    for name, fit in found.items():
        told = separation(fit[tests], fit[is_other])
        limit = threshold_for(fit[fits], 0.1)
        lost = limit.rejects(fit[tests])
        caught = limit.rejects(fit[is_other])
        print(f"  {name:<12} AUROC {told.auroc}; false alarms at 95 % kept {told.fpr_at_95_tpr}")
        print(f"  {'':<12} at 10 %: rejects {wilson(int(lost.sum()), len(lost))} of the known,")
        print(f"  {'':<12} {wilson(int(caught.sum()), len(caught))} of the others")


def templates(model: ws.Model, pictures: Pictures) -> None:
    """Choose templates on half A; measure the choice on half B against the model's own."""
    prompts = prompt_embeddings(model, pictures.classes, TEMPLATES)
    own = prompt_embeddings(model, pictures.classes, model.source.prompts().of("en"))
    pool = np.concatenate([prompts, own], axis=1)
    usual = range(len(TEMPLATES), pool.shape[1])
    a, b = pictures.is_half_a, ~pictures.is_half_a
    found = select_templates(pool, pictures.rows[a], pictures.truth[a], baseline=usual, seed=SEED)

    def right(places: tuple[int, ...]) -> np.ndarray:
        vectors = pool[:, list(places)].mean(axis=1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return (pictures.rows[b] @ vectors.T).argmax(axis=1) == pictures.truth[b]

    every = [*TEMPLATES, *model.source.prompts().of("en")]
    gain = bootstrap_difference(
        right(found.found), right(tuple(usual)), lambda s: float(s.mean()), seed=SEED
    )
    print(f"\n{pictures.name}: {len(TEMPLATES)} templates against the {len(usual)} of the model")
    print(f"  found: {'; '.join(every[place] for place in found.found)}")
    print(f"  gain by cross-fitting on half A {found.gain}; taken: {found.is_certain}")
    print(f"  gain on half B {gain}")


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with cifar10 and caltech101")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--pictures", type=int, default=1000, help="at most so many of each set")
    options = parser.parse_args()
    model = ws.load(options.model)
    cifar10 = embed(model, options.data / "cifar10", options.pictures)
    caltech101 = embed(model, options.data / "caltech101", options.pictures)
    for pictures in (cifar10, caltech101):
        calibration(model, pictures)
    open_set(model, caltech101, 30)
    for pictures in (cifar10, caltech101):
        templates(model, pictures)


if __name__ == "__main__":
    main()
