"""A learnt vocabulary is that of the textbook algorithm, in any language, and CLIP can use it."""

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import ConfigError, TextError
from wordsight.text.clean import clean
from wordsight.text.learn_bpe import learn_bpe

ENGLISH = [
    "a",
    "photo",
    "of",
    "the",
    "cat",
    "dog",
    "running",
    "on",
    "street",
    "with",
    "red",
    "car",
    "crack",
    "steel",
    "surface",
]
JAPANESE = ["東京", "タワー", "の", "写真", "猫", "が", "道路", "を", "走る", "赤い", "車", "検査"]


def captions(count: int = 800) -> list[str]:
    rng = random.Random(5)
    english = [" ".join(rng.choices(ENGLISH, k=rng.randint(3, 9))) + "!" for _ in range(count)]
    return english + ["".join(rng.choices(JAPANESE, k=rng.randint(3, 9))) for _ in range(count)]


@pytest.fixture(scope="module")
def learnt():
    return learn_bpe(captions(), vocab_size=700, context_length=40)


def merges_of(tokenizer) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(tokenizer.to_bytes())["model"]["merges"]]


def words_of(original, text: str) -> list[tuple[str, ...]]:
    """The words of one text as byte symbols, by open_clip's tables and pattern."""
    words = []
    for word in original.pat.findall(clean(text, "openai")):
        symbols = [original.byte_encoder[byte] for byte in word.encode()]
        words.append((*symbols[:-1], symbols[-1] + "</w>"))
    return words


def pairs_in(words: Counter[tuple[str, ...]]) -> Counter[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for word, times in words.items():
        for pair in itertools.pairwise(word):
            pairs[pair] += times
    return pairs


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    place = 0
    while place < len(word):
        if word[place : place + 2] == pair:
            out.append("".join(pair))
            place += 2
        else:
            out.append(word[place])
            place += 1
    return tuple(out)


@pytest.fixture(scope="module")
def original():
    return pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()


def test_every_merge_was_a_most_frequent_pair_of_its_moment(original, learnt):
    words = Counter(word for text in captions() for word in words_of(original, text))
    merges = merges_of(learnt)
    assert len(merges) == 700 - 514
    for merge in merges:
        pairs = pairs_in(words)
        assert pairs[merge] == max(pairs.values()) >= 2
        joined: Counter[tuple[str, ...]] = Counter()
        for word, times in words.items():
            joined[merged(word, merge)] += times
        words = joined


def test_open_clips_own_code_gives_the_same_ids_with_the_learnt_merges(learnt, tmp_path):
    module = pytest.importorskip("open_clip.tokenizer")
    path = tmp_path / "merges.txt.gz"
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges_of(learnt))]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    theirs = module.SimpleTokenizer(bpe_path=str(path), context_length=40)
    texts = [*captions(100), "Unseen words, 未知の文字 😀", "ＦＵＬＬ &amp; x²"]
    assert learnt.encode(texts).ids.tolist() == theirs(texts).tolist()
    assert theirs.vocab_size == learnt.vocabulary_size == 700


def test_the_end_token_has_the_largest_id_and_rows_are_openais(learnt):
    rules = learnt.rules
    assert (rules.start_id, rules.end_id, rules.pad_id) == (698, 699, 0)
    assert (rules.cleaning, rules.context_length, rules.pad_to_context) == ("openai", 40, True)
    ids = learnt.encode(["a red car", "赤い車"]).ids
    assert ids.shape == (2, 40)
    assert (ids.argmax(axis=1) == (ids == 699).argmax(axis=1)).all()


def test_japanese_words_of_the_captions_become_few_tokens(learnt):
    assert len(learnt.spell("赤い車が東京タワーを走る").ids) <= 12
    assert len(learnt.spell("赤い車が東京タワーを走る".encode().decode("latin-1")).ids) > 0
    assert learnt.spell("鰻").ids  # never seen: its bytes


@pytest.fixture(scope="module")
def names(learnt) -> dict[int, str]:
    vocabulary = json.loads(learnt.to_bytes())["model"]["vocab"]
    return {index: name for name, index in vocabulary.items()}


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30))
def test_a_text_can_be_put_together_again_from_its_tokens(original, learnt, names, text):
    text = text.replace("\0", "")
    symbols = "".join(names[index].removesuffix("</w>") for index in learnt.spell(text).ids)
    back = bytes(original.byte_decoder[symbol] for symbol in symbols).decode()
    kept = [c for c in clean(text, "openai") if not c.isspace() and c != "\u0345"]
    assert back == "".join(kept)


def test_another_process_learns_the_same(learnt, tmp_path):
    script = tmp_path / "learn.py"
    script.write_text(
        "import json, sys\n"
        "from wordsight.text.learn_bpe import learn_bpe\n"
        "texts = json.load(open(sys.argv[1]))\n"
        "made = learn_bpe(iter(texts), vocab_size=700, context_length=40)\n"
        "sys.stdout.buffer.write(made.to_bytes())\n"
    )
    (tmp_path / "texts.json").write_text(json.dumps(captions()))
    for threads, seed in (("1", "0"), ("3", "77")):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "texts.json")],
            capture_output=True, check=True, env=environment,
        )  # fmt: skip
        assert done.stdout == learnt.to_bytes()


def test_the_largest_vocabulary_the_captions_allow_is_named():
    with pytest.raises(TextError, match="not for vocab_size 5000") as caught:
        learn_bpe(captions(20), vocab_size=5000)
    most = int(str(caught.value).split("enough for ")[1].split(" tokens")[0])
    assert learn_bpe(captions(20), vocab_size=most).vocabulary_size == most
    with pytest.raises(TextError, match=f"enough for {most} tokens"):
        learn_bpe(captions(20), vocab_size=most + 1)
    with pytest.raises(TextError, match="enough for 514 tokens"):
        learn_bpe([], vocab_size=515)
    with pytest.raises(TextError, match="enough for 514 tokens"):
        learn_bpe(["", " "], vocab_size=515)


def test_few_captions_give_the_largest_vocabulary_they_allow_where_that_will_do():
    found = learn_bpe(captions(20), vocab_size=5000, at_most=True)
    assert found.vocabulary_size < 5000
    exact = learn_bpe(captions(20), vocab_size=found.vocabulary_size)
    assert found.to_bytes() == exact.to_bytes()
    assert learn_bpe(captions(), vocab_size=700, at_most=True).vocabulary_size == 700
    assert learn_bpe(["", " "], vocab_size=515, at_most=True).vocabulary_size == 514


def test_a_pair_must_stand_there_often_enough():
    assert learn_bpe(["ab"], vocab_size=515, min_count=1).spell("ab").ids == [512]
    with pytest.raises(TextError, match="enough for 514"):
        learn_bpe(["ab"], vocab_size=515)


@pytest.mark.parametrize(
    "values",
    [{"vocab_size": 514}, {"vocab_size": -1}, {"vocab_size": 2**20 + 1},
     {"vocab_size": 600, "context_length": 2}, {"vocab_size": 600, "min_count": 0}],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(ConfigError, match=next(reversed(values))):
        learn_bpe(["a cat"], **values)


@pytest.mark.parametrize("bad", [3, None, "a\0b", "\ud800", "x" * 100_001])
def test_an_unusable_caption_is_named_with_its_place(bad):
    with pytest.raises(TextError, match="text 2 is "):
        learn_bpe(["a cat", "a dog", bad], vocab_size=600)
