"""Teach one new word with a handful of pictures, and leave the old words where they are.

The text head is a linear map W of centred sentence features. A word k shall get the vector v of its
pictures, while W moves as little as possible for the words already known, whose features have the
covariance C. The answer is closed: one rank-one edit (ROME: Meng et al., 2022, arXiv 2202.05262,
eq. 2),

    W' = W + (v - W k) (C^-1 k)^T / (k^T C^-1 k)

Shape letters: N sentences or pictures, D text features, E joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wordsight.bundle import Bundle, open_bundle, write_bundle
from wordsight.bundle.store import CARD, CONFIG, TEXT_GRAPH, WEIGHTS
from wordsight.cache import cache_folder
from wordsight.engine import load
from wordsight.engine.loading import locate
from wordsight.errors import BundleError, InputError
from wordsight.images import ImageSource
from wordsight.model.graph import attach_head, read_graph, read_text_head
from wordsight.model.heads import TextHead
from wordsight.packages import require
from wordsight.text.templates import fill
from wordsight.training.picture_features import Progress
from wordsight.training.text_features import TextFeatureReader
from wordsight.training.towers import open_text_tower

RIDGE = 0.001
"""Added to the covariance, in units of its mean eigenvalue: old words need not span the space."""
KEEP_WEIGHT = 10.0
"""Weight of the words in use against all class names together (measured: 3 % of the answers given
with them changed at weight 1, none at 10)."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A bundle that knows one word more, and what that changed."""

    bundle: Bundle
    score_before: float
    """Mean cosine of the word with its own pictures, before the edit."""
    score_after: float
    wins_before: float
    """Share of its pictures that are nearer to the word than to every old word."""
    wins_after: float
    num_old: int
    """Old words and sentences that the edit had to respect."""
    moved_mean: float
    """Mean of 1 - cosine between an old word's vector before and after."""
    moved_max: float
    num_watched: int
    """Pictures whose nearest old word was compared."""
    num_changed: int
    """Pictures among them whose nearest old word is another one now."""


def teach(
    model: str | Path,
    word: str,
    pictures: Sequence[ImageSource],
    *,
    out: str | Path,
    keep: Sequence[str] = (),
    watch: Sequence[ImageSource] = (),
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Taught:
    """Write a bundle in which `word` means `pictures`; nothing else of the model changes.

    The word takes the mean direction of its pictures, so it answers louder to them, and to
    look-alikes, than words that were read in sentences do. Compare taught words with each other.

    Args:
        model: shipped model or bundle folder; it is not changed.
        word: what to teach; it is also taught inside the model's English templates.
        pictures: five to ten pictures of it, as different as it gets.
        out: bundle folder to write.
        keep: words and sentences in use, protected more than the class names.
        watch: pictures of other things, to count decisions that change.
        cache: folder for text features; the user's cache folder if not given.
        progress: called while sentences are read.

    Raises:
        InputError: if the word is empty, or there are no pictures, or nothing old to respect.
        BundleError: if the model has no ONNX text tower with a linear head.
        ImageError: for the first picture that cannot be used.
    """
    if not word.strip():
        raise InputError("the word to teach is empty", hint='teach(model, "Zeta cell", pictures)')
    if not pictures:
        raise InputError(f"no pictures of {word!r} given", hint="five to ten are a good start")
    bundle = open_bundle(locate(model))
    old = [name for name in dict.fromkeys(bundle.config.class_names) if name != word]
    if not old and not keep:
        raise InputError(
            f"{bundle.path}: knows no class names, so nothing says which words are old",
            hint="name those in use: keep=[...]",
        )
    head = _head(bundle)
    words = _read_words(bundle, word, old, keep, cache or cache_folder(), progress)
    own, known, kept = (rows - head.mean.numpy() for rows in words)
    seen = load(bundle.path).encode_image([*pictures, *watch]).astype(np.float64)
    mean = seen[: len(pictures)].mean(axis=0)
    weight = head.linear.weight.detach().numpy().astype(np.float64)
    key = own.mean(axis=0)
    target = mean / np.linalg.norm(mean) * np.linalg.norm(weight @ key)
    edited = rank_one_edit(weight, key, target, covariance(known, kept))
    with torch.no_grad():
        head.linear.weight.copy_(torch.as_tensor(edited))
    written = _write(Path(out), bundle, word, head)
    before, after = (_Side(w, own, known, kept) for w in (weight, edited))
    return _compare(written, before, after, seen, len(pictures))


def _read_words(
    bundle: Bundle,
    word: str,
    old: Sequence[str],
    keep: Sequence[str],
    cache: Path,
    progress: Progress | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return features of the word and of old class names, in all templates, and of `keep`.

    What is kept is read alone and in all templates: people ask either way.
    """
    templates = bundle.prompts().of("en")
    own = [fill(template, word) for template in templates]
    known = [fill(template, name) for name in old for template in templates]
    reader = TextFeatureReader(open_text_tower(bundle.path, cache), cache)
    in_use = dict.fromkeys([*keep, *(fill(t, text) for text in keep for t in templates)])
    rows = reader.read([*own, *known, *in_use], progress).astype(np.float64)
    end = len(own) + len(known)
    return rows[: len(own)], rows[len(own) : end], rows[end:]


def rank_one_edit(
    weight: NDArray[np.float64],
    key: NDArray[np.float64],
    target: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the map (E, D) that sends `key` (D,) to `target` (E,) and old words almost unmoved.

    Of all such maps it has the smallest mean square change over words of that covariance (D, D).
    """
    direction = np.linalg.solve(covariance, key)
    return weight + np.outer(target - weight @ key, direction) / (key @ direction)


def covariance(known: NDArray[np.float64], kept: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second moments (D, D) of centred features of class names and of words in use."""
    total: NDArray[np.float64] = np.zeros((known.shape[1], known.shape[1]))
    for rows, weight in ((known, 1.0), (kept, KEEP_WEIGHT)):
        if len(rows):
            total += weight * (rows.T @ rows) / len(rows)
    return total + RIDGE * np.trace(total) / len(total) * np.eye(len(total))


class _Side:
    """Vectors of the word and of the old words under one text head."""

    def __init__(
        self,
        weight: NDArray[np.float64],
        own: NDArray[np.float64],
        known: NDArray[np.float64],
        kept: NDArray[np.float64],
    ):
        self.word: NDArray[np.float64] = _ensemble(own @ weight.T, len(own))[0]
        names = _ensemble(known @ weight.T, len(own))
        self.old = np.concatenate([names, _ensemble(kept @ weight.T, 1)])


def _ensemble(rows: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Average unit vectors over the `size` templates of every word, as classification does."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = unit.reshape(-1, size, rows.shape[1]).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def _compare(
    bundle: Bundle, before: _Side, after: _Side, seen: NDArray[np.float64], num_pictures: int
) -> Taught:
    own = seen[:num_pictures]
    moved = 1 - (before.old * after.old).sum(axis=1)
    was, now = seen @ before.old.T, seen @ after.old.T
    return Taught(
        bundle=bundle,
        score_before=float((own @ before.word).mean()),
        score_after=float((own @ after.word).mean()),
        wins_before=_share(own @ before.word > was[:num_pictures].max(axis=1)),
        wins_after=_share(own @ after.word > now[:num_pictures].max(axis=1)),
        num_old=len(moved),
        moved_mean=float(moved.mean()),
        moved_max=float(moved.max()),
        num_watched=len(seen),
        num_changed=int((was.argmax(axis=1) != now.argmax(axis=1)).sum()),
    )


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(chosen) / len(chosen))


def _head(bundle: Bundle) -> TextHead:
    bundle.need_text()
    if not bundle.has_graphs:
        raise BundleError(f"{bundle.path}: has no ONNX towers, which teaching edits")
    head = read_text_head(read_graph(bundle.path / TEXT_GRAPH))
    if head is None:
        raise BundleError(
            f"{bundle.path / TEXT_GRAPH}: has no linear head that a word could be written into",
            hint="models made by `wordsight align` have one",
        )
    return head


def _write(out: Path, bundle: Bundle, word: str, head: TextHead) -> Bundle:
    """Copy the bundle, but for its text head, name, provenance and card."""
    files = {name: (bundle.path / name).read_bytes() for name in bundle.files if name != CONFIG}
    graph = attach_head(read_graph(bundle.path / TEXT_GRAPH), head)
    files[TEXT_GRAPH] = graph.SerializeToString(deterministic=True)
    if WEIGHTS in files:
        safetensors = require("safetensors.torch", extra="torch")
        tensors = safetensors.load(files[WEIGHTS])
        tensors["text.head.linear.weight"] = head.linear.weight.detach().contiguous()
        files[WEIGHTS] = safetensors.save(tensors)
    note = f"\n\nTaught afterwards, by `wordsight.teach`: the word {word!r}.\n"
    files[CARD] = files.get(CARD, b"").rstrip() + note.encode()
    provenance = dict(bundle.config.provenance)
    provenance["taught"] = [*provenance.get("taught", []), word]
    return write_bundle(out, replace(bundle.config, name=out.name, provenance=provenance), files)
