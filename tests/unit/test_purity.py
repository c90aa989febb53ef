"""The pure half has no clock, no randomness, no I/O, and nothing whose order changes between runs.

import-linter sees imports; this sees calls of built-ins and attributes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = ("core", "language", "policy", "experiments")
MODULES = [path for package in PURE for path in sorted((ROOT / "engine" / package).rglob("*.py"))]

BUILTINS = {
    "hash": "differs between processes: use engine.core.assignment",
    "id": "differs between processes",
    "open": "is input or output",
    "input": "is input or output",
    "print": "is input or output",
    "eval": "runs text",
    "exec": "runs text",
}
CALLS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("uuid", "uuid1"),
    ("uuid", "uuid4"),
    ("os", "environ"),
    ("os", "getenv"),
}
NAMES = {"uuid1", "uuid4", "environ", "getenv"}


def impurities(source: str) -> Iterator[str]:
    """What a module does that the pure half must not, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
            yield f"{node.lineno}: {node.func.id}() {BUILTINS[node.func.id]}"
        elif isinstance(node, ast.Attribute) and _dotted(node) in CALLS:
            yield f"{node.lineno}: {'.'.join(_dotted(node))}"
        elif isinstance(node, ast.ImportFrom) and node.module in {"os", "uuid"}:
            yield from (f"{node.lineno}: import of {name.name}" for name in node.names if name.name in NAMES)
        elif isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
            yield f"{node.iter.lineno}: iterates over a set, whose order differs between processes"


def _dotted(node: ast.Attribute) -> tuple[str, str]:
    match node.value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name, node.attr
    return "", node.attr


def _is_set(node: ast.expr) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
    return False


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_of_the_pure_half_is_pure(module: Path) -> None:
    assert list(impurities(module.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "hash('x')",
        "open('x')",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(tz)",
        "import time\ntime.time()",
        "from uuid import uuid4",
        "import os\nos.environ['X']",
        "for x in {1, 2}: pass",
        "[x for x in set(y)]",
    ],
)
def test_impurity_is_seen(source: str) -> None:
    assert list(impurities(source))


def test_sorted_set_and_uuid5_are_pure() -> None:
    assert list(impurities("import uuid\nuuid.uuid5(a, b)\nfor x in sorted({1, 2}): pass")) == []
