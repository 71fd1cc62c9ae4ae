"""What is wrong with the data of a run, said before hours are spent on it.

Captions and pictures are looked at in samples, spread evenly; how many were is said with the
finding.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wordsight.data.examples import Example, Examples
from wordsight.data.positives import sentence_key
from wordsight.errors import DataError, ImageError, TextError
from wordsight.images import near_duplicate_groups, open_image, perceptual_hash
from wordsight.text import Tokenizer, Truncation, meter
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.findings import Finding

CAPTIONS = 4000
"""Examples whose captions are looked at."""
LEARNT_PICTURES, HELD_OUT_PICTURES = 500, 250
"""Pictures that are opened."""
COPY_BITS = 4
"""Bits in which the perceptual hashes of two copies differ at most."""
TRUNCATED_SHARE = 0.05
WRONG_NEGATIVE_SHARE = 0.1
"""Share of the pairs of a batch that may meet their own caption at another picture."""
MOST_COMMON_SHARE = 0.5
COPY_SHARE = 0.02
"""Share of the held-out pictures that may be copies; one alone may be chance."""
SHOWN_WORDS = 8


@dataclass(frozen=True, slots=True)
class Data:
    """What a run is about to learn from."""

    learnt: Examples
    held_out: Examples
    tokenizer: Tokenizer
    config: TrainConfig
    templates: Sequence[str] = ()
    """Sentences that captions are put into, if they are names of classes."""


def check_up(data: Data) -> tuple[Finding, ...]:
    """Look for the usual misfortunes of training data.

    Raises:
        DataError: for one that no run survives: an unreadable caption, captions that are all the
            same, more unreadable pictures than `max_bad`.
    """
    sample = _spread(data.learnt, CAPTIONS)
    captions = [text for example in sample for text in example.texts]
    found = [
        *_captions(data, captions),
        _duplicates(data.config, sample),
        *_pictures(data),
        _batch(data.config, len(data.learnt)),
    ]
    for finding in found:
        if finding.level == "stop":
            raise DataError(finding.text, hint=finding.advice)
    return tuple(found)


def _spread(examples: Examples, most: int) -> list[Example]:
    places = np.linspace(0, len(examples) - 1, min(most, len(examples))).round().astype(int)
    return [examples[place] for place in places.tolist()]


def _captions(data: Data, captions: Sequence[str]) -> list[Finding]:
    """Look at what the tokenizer makes of captions: unreadable, truncated, unknown words."""
    said = [sentence_key(text) for text in captions]
    if len(set(said)) < 2:
        text = f"all {len(captions)} captions are the same, {captions[0]!r}: nothing to learn"
        advice = "sentences must say what differs between pictures; is it the right column?"
        return [Finding(level="stop", code="one_caption", text=text, advice=advice)]
    longest = max(data.templates, key=len, default="{}")
    filled = [longest.replace("{}", text) for text in captions]
    try:
        truncated = data.tokenizer.encode(filled).truncated
        words = meter.measure(data.tokenizer, filled)
    except TextError as error:
        return [
            Finding(
                level="stop",
                code="unreadable_caption",
                text=f"a caption cannot be read: {error}",
                advice="remove that row, or write what the picture shows",
            )
        ]
    return [_truncated(truncated, len(filled)), _unknown(words, len(filled))]


def _truncated(truncated: Sequence[Truncation], count: int) -> Finding:
    if not truncated:
        text = f"no caption of {count} is longer than the model reads"
        return Finding(level="ok", code="truncated_captions", text=text)
    worst = max(truncated, key=lambda one: one.num_total)
    lost = " ".join(worst.lost_words[:SHOWN_WORDS])
    more = " ..." if len(worst.lost_words) > SHOWN_WORDS else ""
    return Finding(
        level="warn" if len(truncated) > TRUNCATED_SHARE * count else "ok",
        code="truncated_captions",
        text=f"{len(truncated)} of {count} captions are cut off; the longest has "
        f"{worst.num_total} tokens, {worst.num_kept} are read, and loses: {lost}{more}",
        advice="raise context_length, or put what matters first",
    )


def _unknown(words: meter.TokenMeter, count: int) -> Finding:
    worst = max(words.scripts, key=lambda script: script.unknown_share * script.num_texts)
    if worst.unknown_share <= meter.UNKNOWN_SHARE:
        text = f"the vocabulary knows the words of {count} captions"
        return Finding(level="ok", code="unknown_words", text=text)
    return Finding(
        level="warn",
        code="unknown_words",
        text=f"{worst.unknown_share:.0%} of the words in {worst.num_texts} captions are not in the "
        f"vocabulary, so the model cannot tell them apart: {', '.join(worst.unknown_words)}",
        advice='learn a vocabulary from the captions: vocabulary = "learn"',
    )


def _duplicates(config: TrainConfig, sample: Sequence[Example]) -> Finding:
    """Say how often a pair meets its own caption at another picture of its batch."""
    counts = Counter(sentence_key(text) for one in sample for text in set(one.texts[:1]))
    total = counts.total()
    repeated = sum(count for count in counts.values() if count > 1)
    shares = np.array(list(counts.values())) / total
    others = (shares * total - 1) / max(1, total - 1)
    meets = float((shares * (1 - (1 - others) ** (config.batch_size - 1))).sum())
    (common, times), *_ = counts.most_common(1)
    says_same = times > MOST_COMMON_SHARE * total
    is_wrong = not config.shared_captions and meets > WRONG_NEGATIVE_SHARE
    text = (
        f"{repeated} of {total} pictures share their caption with another; in a batch of "
        f"{config.batch_size}, {meets:.0%} of the pairs meet their own caption again"
    )
    if says_same:
        text += f"; {times / total:.0%} have the same, {common!r}"
    advice = ""
    if is_wrong:
        advice = "set shared_captions, so that these count as matches; or a smaller batch_size"
    elif says_same:
        advice = "write captions that say more, or leave some of these pictures out"
    return Finding(
        level="warn" if is_wrong or says_same else "ok",
        code="duplicate_captions",
        text=text,
        advice=advice,
    )


def _pictures(data: Data) -> list[Finding]:
    """Open some pictures: which cannot be read, and which are held out but learnt all the same."""
    bad: list[str] = []
    hashes: list[list[int]] = []
    for examples, most in ((data.learnt, LEARNT_PICTURES), (data.held_out, HELD_OUT_PICTURES)):
        hashes.append([])
        for example in _spread(examples, most):
            try:
                hashes[-1].append(perceptual_hash(open_image(example.image)))
            except ImageError as error:
                bad.append(f"{example.key}: {error}")
    opened = sum(map(len, hashes)) + len(bad)
    return [_unreadable(bad, opened, data.config), _copies(*hashes)]


def _unreadable(bad: Sequence[str], opened: int, config: TrainConfig) -> Finding:
    code = "unreadable_pictures"
    if not bad:
        return Finding(level="ok", code=code, text=f"all {opened} pictures tried can be read")
    found = f"{len(bad)} of {opened} pictures tried cannot be read"
    return Finding(
        level="stop" if len(bad) > config.max_bad else "warn",
        code=code,
        text=f"{found}, {config.max_bad} are allowed; {bad[0]}",
        advice="mend or remove them, or raise max_bad",
    )


def _copies(learnt: Sequence[int], held_out: Sequence[int]) -> Finding:
    groups = near_duplicate_groups([*learnt, *held_out], max_distance=COPY_BITS)
    known = set(groups[: len(learnt)])
    copies = sum(group in known for group in groups[len(learnt) :])
    text = (
        f"{copies} of {len(held_out)} held-out pictures look like one of {len(learnt)} to learn "
        "from, of those compared"
    )
    return Finding(
        level="warn" if copies > max(1, COPY_SHARE * len(held_out)) else "ok",
        code="copies_held_out",
        text=text,
        advice="scores will be too good; keep copies on one side: give them the same name"
        if copies
        else "",
    )


def _batch(config: TrainConfig, count: int) -> Finding:
    is_larger = config.batch_size > count
    than = "more" if is_larger else "no more"
    return Finding(
        level="warn" if is_larger else "ok",
        code="batch_size",
        text=f"a batch has {config.batch_size} pairs, {than} than the {count} there are",
        advice=f"set batch_size to {max(2, count // 4)} or less" if is_larger else "",
    )
