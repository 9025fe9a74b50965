"""Frozen dataclasses to JSON and back, strictly: a misspelt or missing key is an error, never a default."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import math
import numbers
import reprlib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pgx_core.errors import ConfigError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A record as dicts, lists, strings and numbers that `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    return value


def from_plain(kind: type[T], data: Any, where: str = "") -> T:
    """Build a `kind` from what `to_plain` made.

    Args:
        kind: a dataclass, or any type that occurs in its annotations.
        data: plain JSON data.
        where: the path to `data` in its file, for messages.

    Raises:
        ConfigError: a key is unknown (the nearest known one is named) or missing, or a value has the wrong type.
    """
    return typing.cast(T, _convert(kind, data, where or "top level"))


def to_json(value: Any) -> str:
    """A record as the text of a standard JSON file; equal records give equal texts.

    Raises:
        ConfigError: a number is NaN or infinite, or a value is none that JSON knows.
    """
    try:
        return json.dumps(to_plain(value), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"expected values that JSON can hold, got {_fault(to_plain(value), '') or error}") from error


def parse_json(text: str, where: str) -> Any:
    """The plain data of a standard JSON text.

    Args:
        text: the whole file.
        where: the file's name, for messages.

    Raises:
        ConfigError: the text is no standard JSON: NaN, infinities and repeated keys are errors too.
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not standard JSON: {error}") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key '{next(name for name in record if names.count(name) > 1)}' occurs twice")
    return record


def _fault(plain: Any, where: str) -> str:
    """Where the first value that JSON cannot hold is, and what it is."""
    if isinstance(plain, dict | list):
        items = plain.items() if isinstance(plain, dict) else enumerate(plain)
        return next(filter(None, (_fault(item, f"{where}.{key}".lstrip(".")) for key, item in items)), "")
    good = plain is None or isinstance(plain, str | int) or (isinstance(plain, float) and math.isfinite(plain))
    return "" if good else f"{reprlib.repr(plain)} at '{where}'"


def _convert(kind: Any, data: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _convert_record(typing.cast(type, kind), data, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, data, where)
    if origin is typing.Literal:
        return _require(data in arguments, data, where, f"one of {', '.join(map(repr, arguments))}")
    if origin is tuple:
        _require(isinstance(data, list | tuple), data, where, "a list")
        item_kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else arguments
        _require(len(item_kinds) == len(data), data, where, f"{len(item_kinds)} items")
        return tuple(
            _convert(item, value, f"{where}[{i}]") for i, (item, value) in enumerate(zip(item_kinds, data, strict=True))
        )
    if origin in (dict, Mapping):
        _require(isinstance(data, dict), data, where, "an object")
        return {key: _convert(arguments[1], value, f"{where}.{key}") for key, value in data.items()}
    if kind is float:
        # Of every kind: a user's suite may hold some of numpy's.
        _require(isinstance(data, numbers.Real) and not isinstance(data, bool), data, where, "a number")
        try:
            return float(data)
        except OverflowError as error:
            raise ConfigError(f"{where}: expected a number that a float can hold, got {reprlib.repr(data)}") from error
    if kind is int:
        whole = isinstance(data, numbers.Integral) and not isinstance(data, bool)
        return int(_require(whole, data, where, "a whole number"))
    if kind is Any:
        return data
    if kind is Path:
        return Path(_require(isinstance(data, str | Path), data, where, "a path"))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        choices = {member.value: member for member in kind}
        return choices[_require(data in choices, data, where, f"one of {', '.join(map(repr, choices))}")]
    return _require(isinstance(data, kind), data, where, f"a {kind.__name__}")


def _convert_record(kind: type, data: Any, where: str) -> Any:
    _require(isinstance(data, dict), data, where, f"an object ({kind.__name__})")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(fields)}"
            raise ConfigError(f"{where}: unknown key '{key}' in {kind.__name__}; {hint}")
    missing = [
        name
        for name, field in fields.items()
        if name not in data and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: {kind.__name__} lacks '{missing[0]}'")
    kinds = typing.get_type_hints(kind)
    return kind(**{key: _convert(kinds[key], value, f"{where}.{key}") for key, value in data.items()})


def _convert_union(choices: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in choices:
        return None
    failures = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _convert(choice, data, where)
        except ConfigError as error:
            failures.append(str(error))
    raise ConfigError(failures[0])


def _require(condition: bool, data: Any, where: str, expected: str) -> Any:
    if not condition:
        raise ConfigError(f"{where}: expected {expected}, got {reprlib.repr(data)}")
    return data
