"""Scalars as the language reads them, places, and hostile files."""

from __future__ import annotations

import pytest

from engine.language.diagnostics import Mark
from engine.language.loader import MOST_CHARACTERS, Mapping, Scalar, load, plain_data
from engine.language.project import check_project


def value(text: str) -> object:
    root, reporter = load("a.yaml", f"a: {text}\n")
    assert not reporter.found
    assert isinstance(root, Mapping)
    return plain_data(root)["a"]


@pytest.mark.parametrize(
    "text",
    ["21:00", "on", "off", "yes", "NO", "017", "1e3", "~", "0x1F", "1_000", "+5", ".5", "2026-11-11", "True"],
)
def test_what_yaml_would_twist_stays_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("", None),
        ("5", 5),
        ("-5", -5),
        ("1.50", 1.5),
        ("0", 0),
    ],
)
def test_special_scalars(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize("text", ['"5"', "'true'", '"null"', "''"])
def test_everything_in_quotes_is_text(text: str) -> None:
    assert value(text) == text[1:-1]


def test_places_count_from_one_and_lead_into_the_scalar() -> None:
    root, _ = load("a.yaml", 'a:\n  b: "x > 1"\n')
    assert isinstance(root, Mapping)
    inner = root.values["a"]
    assert isinstance(inner, Mapping)
    node = inner.values["b"]
    assert isinstance(node, Scalar)
    assert node.mark == Mark(2, 6)
    assert node.at(2) == Mark(2, 9)


@pytest.mark.parametrize(
    "text",
    [
        "x" * (MOST_CHARACTERS + 1),
        "[" * 50_000,
        "{" * 50_000,
        "a\0b",
        "\ufeff",
        "*a",
        "a: &x [*x]",
        "%YAML 9.9\n---\n",
        'a: "\\UFFFFFFFF"',
        "a: " + "9" * 5_000,
        "\t\ta",
        "a: \ud800",
        "".join(f"k{i}: 1\n" for i in range(5_000)),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("path", ["journeys/a.yaml", "journeys/catalog.yaml", "journeys/tests/a.test.yaml"])
@pytest.mark.timeout(20)
def test_hostile_files_get_a_diagnostic(text: str, path: str) -> None:
    found = check_project({path: text}).diagnostics
    assert found or not text.strip("\ufeff")
    assert len(found) <= 501
