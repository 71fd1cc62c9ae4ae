"""Nearly true sentences come with the pairs, and are kept wherever the pairs go."""

import tarfile
from pathlib import Path

import pytest
import shard_worlds as made

from wordsight.data import Mixture, read_pairs
from wordsight.data.example_sources import open_examples
from wordsight.data.examples import Example, PairExamples
from wordsight.data.shard_writer import write_shards
from wordsight.errors import ConfigError

ROWS = (
    "image,text,wrong\na.png,a cat,a dog\na.png,a tabby,a lion\nb.png,a car,\nb.png,a car,a bus\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        (tmp_path / f"{name}.png").write_bytes(made.picture(number))
    (tmp_path / "pairs.csv").write_text(ROWS)
    return tmp_path / "pairs.csv"


def test_a_column_gives_the_negatives_of_each_picture(table: Path):
    examples = open_examples(table, negative_column="wrong")
    assert [example.negatives for example in (examples[0], examples[1])] == [
        ("a dog", "a lion"),
        ("a bus",),
    ]
    assert open_examples(table).fingerprint != examples.fingerprint
    with pytest.raises(ConfigError, match="wrng"):
        open_examples(table, negative_column="wrng")


def test_shards_and_mixtures_keep_the_negatives(table: Path, tmp_path: Path):
    examples = PairExamples(read_pairs(table), negative_column="wrong")
    written = write_shards(examples, tmp_path / "shards")
    with tarfile.open(written.paths[0]) as tar:
        said = [tar.extractfile(m).read() for m in tar if m.name.endswith(".json")]
    assert b'"negatives": ["a dog", "a lion"]' in said[0]
    assert b"negatives" not in said[1]  # of a row read for its sentences only
    shards = open_examples(tmp_path / "shards")
    mixed = Mixture([shards, examples])
    for found in (shards[0], next(e for e in mixed if e.key.endswith("a.png"))):
        assert (found.texts, found.negatives) == (("a cat", "a tabby"), ("a dog", "a lion"))


def test_negatives_that_are_no_sentences_are_a_problem_of_the_sample(tmp_path: Path):
    from wordsight.data.shard_texts import read_texts

    said = read_texts(b'{"captions": ["a cat"], "negatives": ["a dog", 3]}', "json")
    assert said.texts == ("a cat",) and said.negatives == ("a dog",)
    assert said.problem
    assert Example("a", b"", ("a cat",)).negatives == ()


def test_shards_have_no_columns(tmp_path: Path):
    write_shards([Example("a", made.picture(0), ("a cat",))], tmp_path / "shards")
    with pytest.raises(ConfigError, match="no columns to choose"):
        open_examples(tmp_path / "shards", negative_column="wrong")
