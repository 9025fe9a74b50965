"""Records survive the trip to JSON and back, and every mistake on the way is named."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_core.errors import ConfigError
from pgx_core.records import from_plain, parse_json, to_json, to_plain


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    rate: float
    name: str = "inner"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    pair: tuple[int, str]
    table: dict[str, float]
    limit: float | None
    mode: Literal["fast", "slow"]
    flag: bool
    colour: Colour
    path: Path
    free: Any


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INNERS = st.builds(Inner, rate=FLOATS, name=st.text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OUTERS = st.builds(
    Outer,
    inner=INNERS,
    many=st.lists(INNERS, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), st.text()),
    table=st.dictionaries(st.text(), FLOATS, max_size=3),
    limit=st.none() | FLOATS,
    mode=st.sampled_from(("fast", "slow")),
    flag=st.booleans(),
    colour=st.sampled_from(Colour),
    path=st.sampled_from((Path("a/b"), Path("c"))),
    free=JSON,
)


@given(record=OUTERS)
def test_a_record_survives_json(record):
    text = to_json(record)
    assert from_plain(Outer, parse_json(text, "file")) == record
    assert to_json(from_plain(Outer, json.loads(text))) == text


@given(record=OUTERS, name=st.text(), data=st.data())
def test_a_missing_or_additional_key_is_always_an_error(record, name, data):
    plain = to_plain(record)
    removed = data.draw(st.sampled_from(sorted(plain)))
    with pytest.raises(ConfigError, match=f"lacks '{removed}'"):
        from_plain(Outer, {key: value for key, value in plain.items() if key != removed})
    if name not in plain:
        with pytest.raises(ConfigError, match="unknown key"):
            from_plain(Outer, plain | {name: 1})


GOOD = Outer(Inner(1.0), (), (1, "a"), {}, None, "fast", True, Colour.RED, Path("p"), None)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("inner", 3, "config.inner: expected an object (Inner), got 3"),
        ("inner", {"rate": "1"}, "config.inner.rate: expected a number, got '1'"),
        ("inner", {"rate": True}, "config.inner.rate: expected a number, got True"),
        ("inner", {"rat": 1.0}, "config.inner: unknown key 'rat' in Inner; did you mean 'rate'?"),
        ("inner", {"zzz": 1.0}, "config.inner: unknown key 'zzz' in Inner; known keys: rate, name"),
        ("inner", {}, "config.inner: Inner lacks 'rate'"),
        ("many", [{"rate": 1.0}, {"rate": None}], "config.many[1].rate: expected a number, got None"),
        ("many", "abc", "config.many: expected a list, got 'abc'"),
        ("pair", [1], "config.pair: expected 2 items, got [1]"),
        ("pair", [1.5, "a"], "config.pair[0]: expected a whole number, got 1.5"),
        ("table", {"a": "b"}, "config.table.a: expected a number, got 'b'"),
        ("limit", "high", "config.limit: expected a number, got 'high'"),
        ("limit", 10**400, "config.limit: expected a number that a float can hold"),
        ("mode", "medium", "config.mode: expected one of 'fast', 'slow', got 'medium'"),
        ("flag", 1, "config.flag: expected a bool, got 1"),
        ("colour", "green", "config.colour: expected one of 'red', 'blue', got 'green'"),
        ("path", 3, "config.path: expected a path, got 3"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(key, value, message):
    with pytest.raises(ConfigError) as caught:
        from_plain(Outer, to_plain(GOOD) | {key: value}, "config")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_become_plain_ones():
    record = from_plain(Outer, to_plain(GOOD) | {"pair": [np.int64(2), "a"], "limit": np.float32(0.5)})
    assert (type(record.pair[0]), record.pair[0]) == (int, 2)
    assert (type(record.limit), record.limit) == (float, 0.5)
    with pytest.raises(ConfigError, match="expected a whole number"):
        from_plain(Outer, to_plain(GOOD) | {"pair": [np.float64(2.0), "a"]})


def test_a_whole_number_is_a_number_and_a_default_may_be_left_out():
    assert from_plain(Inner, {"rate": 2}) == Inner(2.0)
    assert isinstance(from_plain(Inner, {"rate": 2}).rate, float)


def test_a_long_wrong_value_does_not_flood_the_message():
    with pytest.raises(ConfigError) as caught:
        from_plain(Inner, {"rate": ["x" * 1000] * 1000})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", '{"a": Infinity}', "[-Infinity]", "1e999", '{"a": 1, "a": 2}', "[" * 100_000, "'a'", "{1: 2}"],
)
def test_what_is_not_standard_json_is_refused(text):
    with pytest.raises(ConfigError, match=r"^file\.json: not standard JSON") as caught:
        parse_json(text, "file.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1j, b"bytes", {1, 2}])
def test_what_json_cannot_hold_is_refused_with_its_place(value):
    with pytest.raises(ConfigError, match=r"at 'b\.1\.c'"):
        to_json({"a": 1, "b": [0, {"c": value}]})
