"""Whatever file holds a vocabulary, the tokenizer is the model's own."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wordsight.errors import ConfigError, TextError
from wordsight.text import OPENAI_RULES
from wordsight.text.learn_bpe import learn_bpe
from wordsight.text.presets import SIGLIP2_RULES, SIGLIP_RULES
from wordsight.text.vocabulary_files import find_vocabulary, open_vocabulary

SENTENCES = [
    "a photo of a cat", "Two dogs, running on grass!", "the Eiffel Tower at night.", "it's 3.5 mm",
    "A red car (left) and a blue one", "東京タワーの写真", "crack in steel", "x-ray of hand",
    "  spaces \t and\nlines  ", "They'RE here", "word " * 100, "naïve café",
]  # fmt: skip
NAMES = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}


def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary of OpenAI's CLIP as open_clip's own code numbers it."""
    original = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    vocabulary = {NAMES.get(token, token): i for token, i in original.encoder.items()}
    return vocabulary, list(original.bpe_ranks)


@pytest.fixture(scope="module")
def openai_folder(tmp_path_factory) -> Path:
    """vocab.json and merges.txt as the Hugging Face folders of OpenAI's models hold them."""
    folder = tmp_path_factory.mktemp("openai")
    vocabulary, merges = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *map(" ".join, merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def clip_folder(path: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Path:
    """A folder as transformers' CLIPTokenizer writes it."""
    transformers = pytest.importorskip("transformers")
    transformers.CLIPTokenizer(vocab=vocabulary, merges=merges).save_pretrained(path)
    assert (path / "tokenizer.json").is_file()
    return path


def opened(path: Path, family="clip", context_length=77, **options):
    return open_vocabulary(path, family=family, context_length=context_length, **options)


# CLIP


def test_vocab_json_and_merges_txt_give_the_tokenizer_of_openais_file(openai_folder, clip_json):
    path = find_vocabulary(openai_folder, family="clip")
    assert path == openai_folder / "vocab.json"
    tokenizer = opened(path)
    assert tokenizer.rules == OPENAI_RULES
    assert json.loads(tokenizer.to_bytes()) == json.loads(clip_json)


def test_the_tokenizer_json_of_transformers_gives_openais_rules(tmp_path, clip_json):
    folder = clip_folder(tmp_path, *clip_vocabulary())
    tokenizer = opened(find_vocabulary(folder, family="clip"))
    assert tokenizer.rules == OPENAI_RULES
    assert json.loads(tokenizer.to_bytes()) == json.loads(clip_json)


def test_on_plain_sentences_the_ids_are_those_of_transformers(openai_folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPTokenizerFast.from_pretrained(str(openai_folder))
    ours = opened(openai_folder / "vocab.json").encode(SENTENCES)
    rows = theirs(SENTENCES, truncation=True, max_length=77)["input_ids"]
    for row, length, expected in zip(ours.ids, ours.lengths, rows, strict=True):
        assert row[:length].tolist() == expected


def test_where_transformers_deviates_the_ids_are_openais(openai_folder):
    transformers = pytest.importorskip("transformers")
    original = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    theirs = transformers.CLIPTokenizerFast.from_pretrained(str(openai_folder))
    ours = opened(openai_folder / "vocab.json")
    for text in ("Ã©tÃ©", "AT&amp;T", "ＦＵＬＬ", "“quoted”"):
        ids = ours.spell(text).ids
        assert ids == original.encode(text)
        assert ids != theirs(text, add_special_tokens=False)["input_ids"], text


def test_openais_merges_file_is_known_by_its_content(merges, tmp_path, clip):
    other = shutil.copy(merges, tmp_path / "vocabulary.bin")
    tokenizer = opened(Path(other), context_length=30)
    assert tokenizer.to_bytes() == clip.to_bytes()
    assert tokenizer.rules.context_length == 30
    assert tokenizer.encode(["a cat"]).ids.shape == (1, 30)


def test_a_learnt_vocabulary_comes_back_from_transformers_unchanged(tmp_path):
    made = learn_bpe([*SENTENCES, *SENTENCES], vocab_size=530, context_length=20)
    model = json.loads(made.to_bytes())["model"]
    folder = clip_folder(tmp_path, model["vocab"], list(map(tuple, model["merges"])))
    tokenizer = opened(folder / "tokenizer.json", context_length=20)
    assert tokenizer.rules == made.rules
    assert tokenizer.rules.end_id == 529
    assert json.loads(tokenizer.to_bytes()) == json.loads(made.to_bytes())


def test_a_folder_may_call_its_tokens_otherwise(tmp_path):
    made = learn_bpe([*SENTENCES, *SENTENCES], vocab_size=530)
    model = json.loads(made.to_bytes())["model"]
    renamed = {"<|startoftext|>": "<go>", "<|endoftext|>": "<stop>"}
    vocabulary = {renamed.get(token, token): i for token, i in model["vocab"].items()}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#v\n" + "\n".join(map(" ".join, model["merges"])))
    settings = {"bos_token": "<go>", "eos_token": {"content": "<stop>", "lstrip": False}}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(settings))
    tokenizer = opened(tmp_path / "vocab.json")
    assert (tokenizer.rules.start_id, tokenizer.rules.end_id) == (528, 529)
    assert tokenizer.spell("a cat <stop>").ids == made.spell("a cat <stop>").ids


# Any tokenizer.json


def test_the_rules_of_a_bert_are_read_from_its_file(minilm_json, minilm):
    tokenizer = opened(minilm_json, context_length=20)
    rules = tokenizer.rules
    assert (rules.start_id, rules.end_id, rules.pad_id, rules.cleaning) == (101, 102, 0, "none")
    auto = pytest.importorskip("transformers").AutoTokenizer
    theirs = auto.from_pretrained(str(minilm_json.parent), local_files_only=True)
    batch = theirs(SENTENCES, padding="max_length", truncation=True, max_length=20)
    assert tokenizer.encode(SENTENCES).ids.tolist() == batch["input_ids"]


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (None, (None, None)),
        ({"type": "RobertaProcessing", "cls": ["[CLS]", 101], "sep": ["[SEP]", 102],
          "trim_offsets": True, "add_prefix_space": False}, (101, 102)),
        ({"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
             "use_regex": True},
            {"type": "TemplateProcessing", "pair": [],
             "single": [{"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
             "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [102], "tokens": ["[SEP]"]}}},
        ]}, (None, 102)),
    ],
    ids=["none", "roberta", "sequence"],
)  # fmt: skip
def test_tokens_around_a_text_are_those_the_file_names(minilm_json, tmp_path, processor, expected):
    values = {**json.loads(minilm_json.read_text()), "post_processor": processor}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(values))
    rules = opened(path).rules
    assert (rules.start_id, rules.end_id) == expected


# SigLIP


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory) -> Path:
    """A small SentencePiece model made as SigLIP's: pad 0, end 1, unknown 2."""
    folder = tmp_path_factory.mktemp("siglip")
    (folder / "spiece.model").write_bytes(
        trained(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False)
    )
    return folder


@pytest.fixture(scope="module")
def siglip2_folder(tmp_path_factory) -> Path:
    """A small SentencePiece model made as Gemma's, and what transformers makes of it."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("siglip2")
    (folder / "tokenizer.model").write_bytes(
        trained(
            model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
            add_dummy_prefix=False, remove_extra_whitespaces=False, pad_id=0, eos_id=1, bos_id=2,
            unk_id=3, eos_piece="<eos>", bos_piece="<bos>", user_defined_symbols=["<mask>"],
        )
    )  # fmt: skip
    theirs = transformers.GemmaTokenizerFast.from_pretrained(
        str(folder), add_bos_token=False, add_eos_token=True
    )
    theirs.save_pretrained(folder)
    assert (folder / "tokenizer.json").is_file()
    return folder


def trained(**settings) -> bytes:
    out = io.BytesIO()
    size = 410 if settings.get("model_type") == "bpe" else 300
    pytest.importorskip("sentencepiece").SentencePieceTrainer.train(
        sentence_iterator=iter([s.lower() for s in SENTENCES * 50]), model_writer=out,
        num_threads=1, minloglevel=2, vocab_size=size, **settings,
    )  # fmt: skip
    return out.getvalue()


def test_siglip_is_transformers_siglip_tokenizer(siglip_folder):
    theirs = pytest.importorskip("transformers").SiglipTokenizer(
        str(siglip_folder / "spiece.model")
    )
    tokenizer = opened(find_vocabulary(siglip_folder, family="siglip"), "siglip", 64)
    assert tokenizer.rules == SIGLIP_RULES
    expected = theirs(SENTENCES, padding="max_length", truncation=True, max_length=64)["input_ids"]
    assert tokenizer.encode(SENTENCES).ids.tolist() == expected


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_siglip_2_is_transformers_tokenizer_on_lower_case(siglip2_folder, name):
    auto = pytest.importorskip("transformers").AutoTokenizer
    theirs = auto.from_pretrained(str(siglip2_folder), local_files_only=True)
    tokenizer = opened(siglip2_folder / name, "siglip2", 64)
    rules = tokenizer.rules
    assert (rules.pad_id, rules.end_id, rules.start_id, rules.cleaning) == (0, 1, None, "none")
    lower = [sentence.lower() for sentence in SENTENCES]
    expected = theirs(lower, padding="max_length", truncation=True, max_length=64,
                      padding_side="right")["input_ids"]  # fmt: skip
    assert tokenizer.encode(SENTENCES).ids.tolist() == expected


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_siglip_2_cleaned_as_open_clip_is_open_clips_tokenizer(siglip2_folder, name):
    module = pytest.importorskip("open_clip.tokenizer")
    theirs = module.HFTokenizer(
        str(siglip2_folder), context_length=64, clean="canonicalize", padding_side="right"
    )
    tokenizer = opened(siglip2_folder / name, "siglip2", 64, cleaning="siglip")
    assert tokenizer.rules == SIGLIP2_RULES
    assert tokenizer.encode(SENTENCES).ids.tolist() == theirs(SENTENCES).tolist()


def test_a_sentencepiece_model_of_another_kind_uses_its_own_control_pieces(siglip2_folder):
    rules = opened(siglip2_folder / "tokenizer.model", "clip", 40).rules
    assert (rules.start_id, rules.end_id, rules.pad_id, rules.cleaning) == (2, 1, 0, "none")


# Finding


def test_siglips_own_file_goes_first_and_half_a_vocabulary_is_none(tmp_path):
    assert find_vocabulary(tmp_path, family="clip") is None
    (tmp_path / "vocab.json").touch()
    assert find_vocabulary(tmp_path, family="clip") is None
    (tmp_path / "merges.txt").touch()
    assert find_vocabulary(tmp_path, family="clip") == tmp_path / "vocab.json"
    for name in ("bpe_simple_vocab_16e6.txt.gz", "spiece.model", "tokenizer.json"):
        (tmp_path / name).touch()
    assert find_vocabulary(tmp_path, family="clip") == tmp_path / "tokenizer.json"
    assert find_vocabulary(tmp_path, family="siglip2") == tmp_path / "tokenizer.json"
    assert find_vocabulary(tmp_path, family="siglip") == tmp_path / "spiece.model"


# Hostile files


CHANGES: dict[str, Callable[[dict, list], object]] = {
    "missing symbol": lambda vocabulary, merges: vocabulary.pop("a"),
    "one id twice": lambda vocabulary, merges: vocabulary.update(a=vocabulary["b"]),
    "negative id": lambda vocabulary, merges: vocabulary.update(a=-1),
    "id as text": lambda vocabulary, merges: vocabulary.update(a="1"),
    "no end": lambda vocabulary, merges: vocabulary.pop("<|endoftext|>"),
    "half a character": lambda vocabulary, merges: vocabulary.update({"\ud800": 999}),
    "unknown merge": lambda vocabulary, merges: merges.append("q zz"),
    "three symbols": lambda vocabulary, merges: merges.append("a b c"),
}


def hostile(kind: str, folder: Path, vocabulary: dict[str, int], merges: list[str]) -> Path:
    """Write a damaged vocabulary and return its path."""
    path = folder / "vocab.json"
    if kind in CHANGES:
        CHANGES[kind](vocabulary, merges)
    (folder / "merges.txt").write_text("\n".join(["#version", *merges]))
    path.write_text(json.dumps(vocabulary))
    if kind == "torn":
        path.write_text(path.read_text()[:-20])
    elif kind == "deep":
        path.write_text('{"a":' * 100_000)
    elif kind == "settings":
        (folder / "tokenizer_config.json").write_text("[1]")
    elif kind == "merges gone":
        (folder / "merges.txt").unlink()
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing symbol", "lacks 'a'"), ("one id twice", "not different numbers"),
        ("negative id", "not different numbers"), ("id as text", "are not numbers"),
        ("no end", r"lacks '<\|endoftext\|>'"), ("half a character", "lone surrogate"),
        ("unknown merge", "'q' 'zz' does not join"), ("three symbols", "expected two symbols"),
        ("torn", "not valid JSON"), ("deep", "not valid JSON"), ("merges gone", "no such file"),
        ("settings", "expected a JSON object"),
    ],
)  # fmt: skip
def test_a_damaged_clip_vocabulary_is_refused_with_its_path(tmp_path, kind, reason):
    model = json.loads(learn_bpe(SENTENCES, vocab_size=520).to_bytes())["model"]
    path = hostile(kind, tmp_path, model["vocab"], list(map(" ".join, model["merges"])))
    with pytest.raises((TextError, ConfigError), match=reason) as caught:
        opened(path)
    assert str(caught.value).startswith(str(tmp_path))
    assert len(str(caught.value)) < 400


def bert_with(minilm_json: Path, path: Path, **changes) -> Path:
    path.write_text(json.dumps({**json.loads(minilm_json.read_text()), **changes}))
    return path


def test_a_tokenizer_json_that_cannot_be_used_is_refused_with_its_path(minilm_json, tmp_path):
    path = tmp_path / "tokenizer.json"
    two = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 2
    known = {"[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}}
    template = {"type": "TemplateProcessing", "single": two, "pair": [], "special_tokens": known}
    bert_with(minilm_json, path, post_processor=template)
    with pytest.raises(TextError, match="one token at most") as caught:
        opened(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(TextError, match="lacks the end token '</s>'"):
        opened(path, "siglip")
    bert_with(minilm_json, path, model={"type": "Neural"})
    for family in ("clip", "siglip", "siglip2"):
        with pytest.raises(TextError, match="cannot be opened") as caught:
            opened(path, family)
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("content", [b"", b"hello", b"[1, 2]", b"\x80\x04\x95pickle", b"\n", b"{"])
def test_what_is_no_vocabulary_is_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(TextError) as caught:
        opened(path)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_and_a_context_without_room_are_wrong_settings(tmp_path, openai_folder):
    with pytest.raises(ConfigError, match="there is no such file"):
        opened(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be read"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="context_length 2 leaves no room"):
        opened(openai_folder / "vocab.json", context_length=2)


def test_ids_of_every_family_stay_below_the_size_of_the_vocabulary(siglip_folder, siglip2_folder):
    for path, family in ((siglip_folder / "spiece.model", "siglip"),
                         (siglip2_folder / "tokenizer.json", "siglip2")):  # fmt: skip
        tokenizer = opened(path, family, 64)
        ids = tokenizer.encode(SENTENCES).ids
        assert np.all((ids >= 0) & (ids < tokenizer.vocabulary_size))
