"""The order of an epoch is a permutation, and a pure function of (seed, epoch, n)."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.data import epoch_order
from wordsight.errors import ConfigError

numbers = st.integers(0, 2**63 - 1)
MASK = 2**64 - 1


def philox_words(key, count):
    """Philox4x64-10 as in Salmon et al., 2011, one block at a time, counter from 1 as numpy."""
    words = []
    for block in range(1, count // 4 + 2):
        c, k = [block, 0, 0, 0], list(key)
        for _ in range(10):
            first, second = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
            c = [
                (second >> 64) ^ c[1] ^ k[0],
                second & MASK,
                (first >> 64) ^ c[3] ^ k[1],
                first & MASK,
            ]
            k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
        words += c
    return words[:count]


@given(n=st.integers(0, 200), seed=numbers, epoch=numbers)
def test_the_order_is_that_of_the_random_words_of_the_paper(n, seed, epoch):
    words = philox_words((seed, epoch), n)
    order = epoch_order(n, seed=seed, epoch=epoch)
    assert order.dtype == np.int64
    assert order.tolist() == sorted(range(n), key=words.__getitem__)


@given(n=st.integers(20, 300), seed=st.integers(0, 1000), epoch=st.integers(0, 1000))
def test_seeds_and_epochs_give_orders_of_their_own(n, seed, epoch):
    order = epoch_order(n, seed=seed, epoch=epoch).tolist()
    assert order == epoch_order(n, seed=seed, epoch=epoch).tolist()
    assert order != epoch_order(n, seed=seed, epoch=epoch + 1).tolist()
    assert order != epoch_order(n, seed=seed + 1, epoch=epoch).tolist()
    assert sorted(order) == list(range(n))


@pytest.mark.parametrize("wrong", [{"n": -1}, {"seed": -1}, {"epoch": -1}, {"seed": 2**63}])
def test_numbers_out_of_range_are_refused(wrong):
    numbers = {"n": 3, "seed": 0, "epoch": 0} | wrong
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*, expected 0 to"):
        epoch_order(numbers["n"], seed=numbers["seed"], epoch=numbers["epoch"])


def test_reading_pairs_imports_no_heavy_package():
    code = (
        "import sys, wordsight.data; "
        "print({'torch', 'sklearn', 'pyarrow', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
