"""Align: learn one space between two frozen towers from sentences about pictures.

Locked-image tuning (Zhai et al., 2021, arXiv 2111.07991) with both towers locked: their features
are computed once, and only two small heads are learnt.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.bundle import Bundle, BundleConfig, Similarity, write_bundle
from wordsight.bundle.store import check_replaceable
from wordsight.config import to_dict
from wordsight.data import Pairs, read_pairs, rejected_line, rejected_lines
from wordsight.text import measure
from wordsight.training.align_config import AlignConfig
from wordsight.training.align_data import AlignData, gather
from wordsight.training.assemble import architecture, bundle_files
from wordsight.training.assessment import assess
from wordsight.training.card import model_card
from wordsight.training.environment import environment
from wordsight.training.heads_start import start_image_head, start_text_head
from wordsight.training.learning import EpochRecord, Heads, Learnt, learn_heads
from wordsight.training.picture_features import FeatureReader, Progress
from wordsight.training.text_features import TextFeatureReader
from wordsight.training.towers import (
    FrozenImageTower,
    FrozenTextTower,
    open_image_tower,
    open_text_tower,
)


@dataclass(frozen=True, slots=True)
class Aligned:
    """A finished alignment."""

    bundle: Bundle
    results: Mapping[str, Any]
    """The content of run/results.json."""


def align(
    pairs: Pairs | str | Path,
    *,
    out: Path,
    config: AlignConfig,
    cache: Path,
    progress: Progress | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Aligned:
    """Learn from pairs and write a bundle with its run folder, in one step at the end.

    Everything slow (tower features) is kept in `cache`: a killed run loses seconds, and a run with
    a few new pairs pays for those only.

    Raises:
        DataError: if the pairs cannot be read, or are too few or too bad.
        BundleError: if `out` is something else than a bundle, or a tower cannot be used.
    """
    check_replaceable(out)
    if not isinstance(pairs, Pairs):
        pairs = read_pairs(pairs, max_bad=config.max_bad)
    image_tower = open_image_tower(config.image_tower, cache)
    text_tower = open_text_tower(config.text_tower, cache)
    reader = FeatureReader(image_tower, cache)
    data = gather(pairs, reader, TextFeatureReader(text_tower, cache), config, progress=progress)
    start, is_known = _start(image_tower, text_tower, data, config)
    learnt = learn_heads(start, data, config, on_epoch=on_epoch)
    meter = measure(text_tower.open_tokenizer(), data.positives.texts)
    results = assess(start if is_known else None, learnt, data, tower_findings=meter.findings())
    results["speed"] = {
        "pictures_per_second": (reader.num_computed + reader.num_cached) / reader.seconds,
        "cache_hits": reader.num_cached,
        "cache_misses": reader.num_computed,
        "train_seconds": learnt.seconds,
    }
    bundle = write_bundle(
        out,
        _describe(out, image_tower, text_tower, learnt, data, config),
        {
            **bundle_files(image_tower, text_tower, learnt.heads, config),
            "README.md": model_card(out.name, image_tower, text_tower, results).encode(),
        },
        run=_run_files(config, learnt, results, data),
    )
    return Aligned(bundle, results)


def _start(
    image: FrozenImageTower, text: FrozenTextTower, data: AlignData, config: AlignConfig
) -> tuple[Heads, bool]:
    """Return heads to begin with, and whether they already mean something."""
    width = config.embed_dim
    if image.head is not None and text.head is not None:
        shared = image.head.linear.out_features
        if shared == text.head.linear.out_features and width in (0, shared):
            return Heads(image.head, text.head), True
    text_head = start_text_head(data, width or data.text_features.shape[1])
    return Heads(start_image_head(data, text_head), text_head), data.bank is not None


def _describe(
    out: Path,
    image: FrozenImageTower,
    text: FrozenTextTower,
    learnt: Learnt,
    data: AlignData,
    config: AlignConfig,
) -> BundleConfig:
    heads = learnt.heads
    classes = heads.image.classes
    return BundleConfig(
        name=out.name,
        embed_dim=heads.text.linear.out_features,
        similarity=Similarity(scale=float(heads.log_scale.exp())),
        preprocessing=image.preprocessing,
        tokenizer=text.rules,
        architecture=architecture(image, text) if config.torch_weights else {},
        class_names=_class_names(image, data) if classes is not None else (),
        provenance={
            "made_by": "wordsight align",
            "image_tower": image.name,
            "text_tower": text.name,
            "licence": f"image tower {image.licence}, text tower {text.licence}",
            "pictures": len(data.pairs.images),
            "sentences": len(data.positives.texts),
            "seed": config.seed,
            "best_epoch": learnt.best_epoch,
        },
    )


def _class_names(image: FrozenImageTower, data: AlignData) -> tuple[str, ...]:
    return data.bank.names if data.bank is not None else image.class_names


def _run_files(
    config: AlignConfig, learnt: Learnt, results: Mapping[str, Any], data: AlignData
) -> dict[str, str]:
    lines = [json.dumps(to_dict(record)) for record in learnt.history]
    rejected = rejected_lines(data.pairs)
    rejected += [rejected_line(row) for row in data.bad_pictures]
    return {
        "config.json": _json(to_dict(config)),
        "environment.json": _json(environment()),
        "metrics.jsonl": "".join(f"{line}\n" for line in lines),
        "results.json": _json(results),
        "rejected.jsonl": "".join(f"{line}\n" for line in rejected),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
