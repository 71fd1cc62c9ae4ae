"""The errors form the tree that their module draws, and carry what the command line needs."""

import inspect
import pickle

import pytest

from wordsight import errors
from wordsight.errors import MissingError, WordsightError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_the_drawn_tree_names_every_class_and_no_other():
    drawn = {
        word.strip("|-` ")
        for line in str(errors.__doc__).splitlines()
        for word in line.split()[:2]
        if word.endswith("Error")
    }
    assert drawn == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_caught_as_one_family(kind: type[WordsightError]):
    error = kind("what happened", hint="what to do")
    assert isinstance(error, WordsightError)
    assert str(error) == "what happened"
    assert error.hint == "what to do"
    assert error.exit_code == (3 if kind is MissingError else 2)
    assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_a_process_border_with_its_hint(kind: type[WordsightError]):
    copy = pickle.loads(pickle.dumps(kind("what happened", hint="what to do")))
    assert (type(copy), str(copy), copy.hint) == (kind, "what happened", "what to do")
