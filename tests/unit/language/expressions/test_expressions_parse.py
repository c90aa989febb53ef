"""What is an expression, and how a mistake is told."""

from __future__ import annotations

import time
import warnings

import pytest

from engine.language.expressions import ExpressionError, normal, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.a>=50 and(not has_tag('staff'))", 'event.a >= 50 and not has_tag("staff")'),
        ("(1+2)*3", "(1 + 2) * 3"),
        ("1+(2*3)", "1 + 2 * 3"),
        ("1-(2-3)", "1 - (2 - 3)"),
        ("not (event.a and event.b)", "not (event.a and event.b)"),
        ("(event.a or event.b) and event.c", "(event.a or event.b) and event.c"),
        ("event['class']", 'event["class"]'),
        ("event['ok']", "event.ok"),
        ("1.0 < - 2", "1 < -2"),
        ("--event.a", "--event.a"),
        ("-(1+event.a)", "-(1 + event.a)"),
        ("\n  event.a\n  == 'x\\n'", 'event.a == "x\\n"'),
        ("(event.a == 1) == true", "(event.a == 1) == true"),
        ("last('p') . total", 'last("p").total'),
        ("[1,]", "[1]"),
        ("event.价格 > 1", 'event["价格"] > 1'),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normal(parse(text)) == expected
    assert parse(expected) == parse(text)


@pytest.mark.parametrize(
    ("text", "offset", "code", "said"),
    [
        ("event.class == 1", 6, "syntax", 'event["class"]'),
        ("gold", 0, "unknown-name", "'gold'"),
        ("evnt.total > 3", 0, "unknown-name", "did you mean `event`?"),
        ("1 < profil.x", 4, "unknown-name", "did you mean `profile`?"),
        ("event.x == True", 11, "unknown-name", "true"),
        ("event.x is 1", 11, "not-allowed", "=="),
        ("event.x = 3", 8, "syntax", "=="),
        ("event.a && event.b", 9, "syntax", "and"),
        ("", 0, "syntax", "empty"),
        ("   ", 0, "syntax", "empty"),
        ("(event.a", 0, "syntax", "never closed"),
        ('event.a == "x', 11, "syntax", "not closed"),
        ("event.a ==", 10, "syntax", "ends too early"),
        ("event.a # why", 8, "syntax", "YAML comment"),
        ("hastag('x')", 0, "unknown-function", "did you mean `has_tag`?"),
        ("has_tag()", 0, "arguments", "has_tag(tag)"),
        ("has_tag(tag='x')", 8, "arguments", "has_tag(tag)"),
        ("has_tag", 0, "unknown-name", "has_tag(tag)"),
        ("count(event.name, '3d')", 6, "arguments", "literal"),
        ("count('a', '3x')", 11, "length", "no length"),
        ("count('a', '0d')", 11, "length", "no length"),
        ("event.a[0]", 8, "not-allowed", "in quotes"),
        ("[1][0]", 4, "not-allowed", None),
        ("lower('a').b", 0, "syntax", "no properties"),
        ("event.a.upper()", 0, "not-allowed", None),
        ("f'{event.a}'", 0, "not-allowed", "f-string"),
        ("'''a'''", 0, "not-allowed", "triple"),
        ("lambda: 1", 0, "not-allowed", "lambda"),
        ("1 if true else 2", 0, "not-allowed", "branch"),
        ("event.a ** 2", 0, "not-allowed", "**"),
        ("(x := 1)", 1, "not-allowed", ":="),
        ("[a for a in event.l]", 0, "not-allowed", "comprehension"),
        ("1, 2", 0, "not-allowed", "[…]"),
        ("b'x'", 0, "not-allowed", None),
        ("1j", 0, "not-allowed", None),
        ("1e999", 0, "syntax", "too large"),
        ("'\\ud800'", 0, "syntax", "cannot hold"),
        ("__import__('os')", 0, "unknown-function", None),
        ("'价' == 价", 7, "unknown-name", "'价'"),
    ],
)
def test_a_mistake_has_a_column_and_a_hint(text: str, offset: int, code: str, said: str | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    error = caught.value
    assert (error.offset, error.code) == (offset, code)
    assert said is None or said in f"{error.message} {error.expected} {error.hint}"


MONSTERS = [
    "x" * 10_000,
    "event.a == 1 and " * 600 + "true",
    "(" * 4000,
    "(" * 29 + "1",
    "[" * 2000 + "]" * 2000,
    "{" * 29,
    "not " * 1200 + "true",
    "-" * 4000 + "1",
    "1" + "+1" * 2000,
    "event" + ".a" * 2000,
    "event" + "['a']" * 900,
    "1 if 1 else " * 400 + "1",
    "lambda:" * 700,
    "9" * 4900,
    "f({f(" * 14,
    "lower(" * 29 + "'a'" + ")" * 29 + "#",
    '"\\d" == 1 is 1',
    "1if 1else 2",
]


@pytest.mark.parametrize("text", MONSTERS, ids=range(len(MONSTERS)))
def test_a_monster_is_refused_soon_and_without_a_warning(text: str) -> None:
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ExpressionError):
            parse(text)
    assert time.perf_counter() - began < 5


def test_a_long_flat_condition_is_fine() -> None:
    assert parse(" or ".join(f'event.a == "{n}"' for n in range(150)))
