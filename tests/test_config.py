"""Settings from TOML and JSON: what fits comes back the same, what does not is named."""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.bundle.schema import BundleConfig
from wordsight.config import from_dict, load_toml, nearest, to_dict
from wordsight.errors import ConfigError
from wordsight.training.align_config import AlignConfig


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int
    kind: Literal["round", "square"] = "round"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size must not be negative, got {self.size}")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    rate: float
    inner: Inner
    is_on: bool = False
    place: Path | None = None
    either: int | str = 0
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sizes: tuple[int, ...] = ()
    inners: list[Inner] = field(default_factory=list)
    table: dict[str, tuple[str, ...]] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)


numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, size=st.integers(0, 10**9), kind=st.sampled_from(["round", "square"]))
outers = st.builds(
    Outer,
    name=st.text(),
    rate=numbers,
    inner=inners,
    is_on=st.booleans(),
    place=st.none() | st.text("abc/.", min_size=1).map(Path),
    either=st.integers() | st.text(),
    point=st.tuples(numbers, numbers, numbers),
    sizes=st.lists(st.integers()).map(tuple),
    inners=st.lists(inners, max_size=3),
    table=st.dictionaries(st.text(), st.lists(st.text(), max_size=3).map(tuple), max_size=3),
    anything=st.dictionaries(st.text(), st.integers() | st.text(), max_size=3),
)
GOOD = {"name": "x", "rate": 1.5, "inner": {"size": 3}}


@given(outers)
def test_what_is_written_reads_back_the_same(value: Outer):
    text = json.dumps(to_dict(value))
    assert from_dict(Outer, json.loads(text), where="file") == value


@given(
    st.dictionaries(
        st.sampled_from([*Outer.__dataclass_fields__, "unknown"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["size", "kind", "x"]), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_values_give_an_object_or_a_named_error(values: dict[str, Any]):
    try:
        result = from_dict(Outer, values, where="some.toml")
    except ConfigError as error:
        assert str(error).startswith("some.toml: ")
    else:
        assert isinstance(result.inner, Inner)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"nmae": "x"}, "f: unknown key 'nmae'", "did you mean 'name'?"),
        ({"zzzz": "x"}, "f: unknown key 'zzzz'", "known: anything, either"),
        ({"inner": {"sise": 3}}, "f: inner: unknown key 'sise'", "did you mean 'size'?"),
        ({"inner": {}}, "f: inner: key 'size' is missing", ""),
        ({"inner": 3}, "f: inner: expected a table, got 3", ""),
        ({"inner": {"size": -1}}, "f: inner: size must not be negative, got -1", ""),
        ({"inner": {"size": 1, "kind": "rund"}}, "f: inner: kind: 'rund' is not", "'round'"),
        ({"name": 3}, "f: name: expected str, got 3", ""),
        ({"rate": "fast"}, "f: rate: expected float, got 'fast'", ""),
        ({"rate": True}, "f: rate: expected float, got True", ""),
        ({"rate": 10**400}, "f: rate: the number is too large", ""),
        ({"inner": {"size": True}}, "f: inner: size: expected int, got True", ""),
        ({"inner": {"size": 2.0}}, "f: inner: size: expected int, got 2.0", ""),
        ({"is_on": 1}, "f: is_on: expected bool, got 1", ""),
        ({"point": [1, 2]}, "f: point: expected 3 values, got 2", ""),
        ({"point": "abc"}, "f: point: expected a list, got 'abc'", ""),
        ({"point": [1, "b", 2]}, "f: point[1]: expected float, got 'b'", ""),
        ({"sizes": [1, 2.5]}, "f: sizes[1]: expected int, got 2.5", ""),
        ({"inners": [{"size": 1}, {"size": -1}]}, "f: inners[1]: size must not be negative", ""),
        ({"table": {"en": "no list"}}, "f: table.en: expected a list, got 'no list'", ""),
        ({"table": []}, "f: table: expected a table, got []", ""),
        ({"either": []}, "f: either: expected str, got []", ""),
        ({"place": 3}, "f: place: expected Path, got 3", ""),
        ({"name": None}, "f: name: expected str, got None", ""),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(
    changes: dict[str, Any], message: str, hint: str
):
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, {**GOOD, **changes}, where="f")
    assert str(caught.value).startswith(message)
    assert hint in caught.value.hint


def test_a_whole_number_is_taken_for_a_float_and_none_for_what_may_be_none():
    value = from_dict(Outer, {**GOOD, "rate": 2, "place": None, "either": "x"}, where="f")
    assert isinstance(value.rate, float)
    assert value.place is None
    assert value.either == "x"


def test_a_missing_key_without_default_is_named():
    with pytest.raises(ConfigError, match=r"^f: key 'rate' is missing$"):
        from_dict(Outer, {"name": "x", "inner": {"size": 1}}, where="f")


def test_none_is_left_out_of_what_is_written():
    assert "place" not in to_dict(Outer(name="x", rate=1.0, inner=Inner(size=1)))


@pytest.mark.parametrize(
    ("name", "hint"), [("clasify", "did you mean 'classify'?"), ("qqq", "known: align, classify")]
)
def test_the_nearest_name_is_proposed(name: str, hint: str):
    assert nearest(name, ["classify", "align"]) == hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ]\n", "not valid TOML.*line 1, column 5"),
        (b"a = 1\na = 2", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"[t\n", "not valid TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_toml(path)
    assert str(path) in str(caught.value)


def test_a_toml_file_that_is_not_there_or_a_folder_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_toml(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_toml(tmp_path)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_table_or_a_config_error(tmp_path_factory: Any, content: bytes):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    try:
        assert isinstance(load_toml(path), dict)
    except ConfigError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("kind", [AlignConfig, BundleConfig])
def test_every_setting_has_a_line_of_documentation(kind: type):
    import ast
    import inspect
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    undocumented = [
        node.target.id  # type: ignore[union-attr]
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.AnnAssign)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]
    assert undocumented == []


@pytest.mark.parametrize(
    "changes",
    [
        {"held_out": 0.0},
        {"held_out": 1.0},
        {"held_out": float("nan")},
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"label_trust": 1.1},
        {"low_resolution": [4]},
        {"max_bad": -1},
        {"image_precision": "int4"},
        {"weight_decay": float("nan")},
        {"preserve": float("nan")},
        {"learning_rate": float("inf")},
    ],
)
def test_a_setting_of_align_out_of_range_is_refused(changes: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"align: .*{next(iter(changes))}"):
        from_dict(AlignConfig, changes, where="align")
