"""What NVIDIA's type stubs say of Isaac Gym, read from their source, and a check of calls against it."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Method:
    names: tuple[str, ...]  # of the parameters, without self
    kinds: tuple[str, ...]  # their annotations
    required: int
    anything: bool  # the stubs only say *args, **kwargs


@dataclass(frozen=True)
class Stub:
    fields: frozenset[str]
    methods: dict[str, Method]


def folder() -> Path:
    """Where the package `isaacgym-stubs` lies; no module can have this name, so it is looked for as a folder."""
    spec = importlib.util.find_spec("numpy")
    assert spec and spec.origin
    return Path(spec.origin).parents[1] / "isaacgym-stubs"


@cache
def source() -> str:
    """The stubs, with a field that is called like a keyword renamed: as they are no parser takes them."""
    return re.sub(r"\bdef lambda\b", "def lambda_", (folder() / "gymapi.pyi").read_text())


@cache
def stubs() -> dict[str, Stub]:
    return {node.name: _stub(node) for node in ast.parse(source()).body if isinstance(node, ast.ClassDef)}


@cache
def constants() -> dict[str, str]:
    """Names of the module and what type they have."""
    found = [node for node in ast.parse(source()).body if isinstance(node, ast.AnnAssign)]
    return {node.target.id: ast.unparse(node.annotation) for node in found if isinstance(node.target, ast.Name)}


def check_call(owner: str, name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments by parameter; an AssertionError where the stubs do not know such a call."""
    assert name in stubs()[owner].methods, f"{owner} has no method '{name}'"
    method = stubs()[owner].methods[name]
    if method.anything:
        return dict(enumerate(positional)) | named
    assert len(positional) <= len(method.names), f"{owner}.{name}: {len(positional)} arguments, at most {method.names}"
    bound = dict(zip(method.names, positional, strict=False))
    assert not bound.keys() & named.keys() and named.keys() <= set(method.names), f"{owner}.{name}: {sorted(named)}"
    bound |= named
    assert set(method.names[: method.required]) <= bound.keys(), f"{owner}.{name}: expected {method.names}"
    for parameter, kind in zip(method.names, method.kinds, strict=True):
        if parameter in bound:
            assert _fits(bound[parameter], kind), f"{owner}.{name}: {parameter} is {bound[parameter]!r}, not {kind}"
    return bound


def _fits(value: Any, kind: str) -> bool:
    plain = {"int": int, "str": str, "bool": bool, "float": (float, int)}
    if kind in plain:
        return isinstance(value, plain[kind]) and (kind == "bool" or not isinstance(value, bool))
    if kind.startswith("List["):
        return isinstance(value, list) and all(_fits(item, kind[5:-1]) for item in value)
    return type(value).__name__ == kind if kind in stubs() else True


def _stub(node: ast.ClassDef) -> Stub:
    fields = [
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]
    methods = {item.name: _method(item) for item in node.body if isinstance(item, ast.FunctionDef)}
    return Stub(frozenset(fields), methods)


def _method(node: ast.FunctionDef) -> Method:
    parameters = node.args.args[1:]
    kinds = tuple(ast.unparse(argument.annotation) if argument.annotation else "" for argument in parameters)
    names = tuple(argument.arg for argument in parameters)
    return Method(names, kinds, len(names) - len(node.args.defaults), node.args.vararg is not None)
