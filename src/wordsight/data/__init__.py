"""Pictures and sentences: reading, mixing, splitting, ordering, and which belong together."""

from wordsight.data.examples import Example, Examples
from wordsight.data.mixture import Mixture
from wordsight.data.order import epoch_order
from wordsight.data.pairs import Pair, Pairs, read_pairs, rejected_lines
from wordsight.data.positives import Positives, find_positives, sentence_key
from wordsight.data.rows import BadRow, rejected_line
from wordsight.data.split import Leaks, Split, find_leaks, split_pairs

__all__ = [
    "BadRow",
    "Example",
    "Examples",
    "Leaks",
    "Mixture",
    "Pair",
    "Pairs",
    "Positives",
    "Split",
    "epoch_order",
    "find_leaks",
    "find_positives",
    "read_pairs",
    "rejected_line",
    "rejected_lines",
    "sentence_key",
    "split_pairs",
]
