"""Captions per second of the tokenizer, to rows of 77 ids, against open_clip and transformers.

python benchmarks/tokenizer.py ../shared/data/*_captions/pairs.csv

20,000 captions: the column `caption` of the files, repeated where there are fewer. All read
OpenAI's merges as open_clip ships them. Cold is the first call of a tokenizer just built, warm the
median of the later ones; times are of the processor, the rivals' calls between ours.
"""

import argparse
import csv
import statistics
import time
from pathlib import Path

import numpy as np
import open_clip
import transformers
from quiet import watched

from wordsight.text import OPENAI_RULES, Tokenizer, openai_bpe

NAMES = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", nargs="+", type=Path, help="CSV files with a column `caption`")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    texts = read_captions(options.captions)
    num_distinct = len(set(texts))
    texts = (texts * (options.count // len(texts) + 1))[: options.count]
    sides = {
        "wordsight": wordsight(),
        "open_clip SimpleTokenizer": open_clip_tokenizer(),
        "transformers CLIPTokenizerFast": transformers_tokenizer(),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    rows: dict[str, np.ndarray] = {}
    for _ in range(options.rounds):
        for name, side in sides.items():
            begun = time.process_time()
            rows[name] = side(texts)
            times[name].append(time.process_time() - begun)
    print(f"{len(texts)} captions, {num_distinct} distinct; captions per second, one core")
    ours = rows["wordsight"]
    cold, warm = times["wordsight"][0], statistics.median(times["wordsight"][1:])
    for name, seconds in times.items():
        first, later = seconds[0], statistics.median(seconds[1:])
        same = int((rows[name] == ours).all(axis=1).sum())
        print(
            f"{name:31} cold {len(texts) / first:8.0f} (x{first / cold:.1f})"
            f"  warm {len(texts) / later:8.0f} (x{later / warm:.1f})"
            f"  identical rows {same} of {len(texts)}"
        )


def read_captions(paths: list[Path]) -> list[str]:
    texts: list[str] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            texts += [row["caption"] for row in csv.DictReader(file)]
    return texts


def wordsight():
    merges = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    content = openai_bpe(merges).to_str().encode()
    tokenizer = Tokenizer.from_bytes(content, OPENAI_RULES)
    return lambda texts: tokenizer.encode(texts).ids


def open_clip_tokenizer():
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    return lambda texts: tokenizer(texts).numpy()


def transformers_tokenizer():
    original = open_clip.tokenizer.SimpleTokenizer()
    vocabulary = {NAMES.get(token, token): i for token, i in original.encoder.items()}
    tokenizer = transformers.CLIPTokenizerFast(
        vocab=vocabulary, merges=list(original.bpe_ranks), pad_token="!"
    )
    return lambda texts: tokenizer(
        texts, padding="max_length", truncation=True, max_length=77, return_tensors="np"
    )["input_ids"]


if __name__ == "__main__":
    with watched():
        main()
