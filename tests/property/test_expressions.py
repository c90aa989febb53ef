"""Expressions are total: no text breaks the parser, no facts break an expression."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.expressions import (
    Definitions,
    ExpressionError,
    Facts,
    Occurrence,
    Scope,
    check,
    evaluate,
    event_facts,
    holds,
    normal,
    parse,
    requirements,
)
from engine.language.types import TYPES, coerce, to_json, typed

NAMES = ["a", "b", "total", "class", "name", "occurred_at", "价 格"]
EVENTS = ["paid", "cart.updated", "never"]


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


names = st.sampled_from(NAMES).map(lambda name: f"[{quoted(name)}]")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
leaves = st.one_of(
    st.builds(
        "{}{}".format,
        st.sampled_from(["event", "trigger", "profile", "answers"]),
        st.lists(names, max_size=3).map("".join),
    ),
    st.sampled_from(["now", "true", "false", "null", "stage()"]),
    st.integers(-(10**17), 10**17).map(str),
    st.floats(0, 1e300).map(repr),
    texts.map(quoted),
    st.sampled_from(['"30d"', '"1h"', "0", "1e15", '"2026-01-01"']),
    st.builds('{}("{}"){}'.format, st.sampled_from(["first", "last"]), st.sampled_from(EVENTS), names),
    st.builds('{}("{}")'.format, st.sampled_from(["first", "last", "count"]), st.sampled_from(EVENTS)),
    st.builds('count("{}", "{}")'.format, st.sampled_from(EVENTS), st.sampled_from(["1d", "36500d"])),
    st.builds('decayed("{}", "{}")'.format, st.sampled_from(EVENTS), st.sampled_from(["1s", "36500d"])),
    st.builds(
        'favourite("{}", {}, "9d")'.format, st.sampled_from(EVENTS), st.sampled_from(NAMES).map(quoted)
    ),
    st.builds('total("{}", {}, "9d")'.format, st.sampled_from(EVENTS), st.sampled_from(NAMES).map(quoted)),
    st.sampled_from(['in_segment("s")', 'in_segment("circle")', 'in_segment("list")']),
)


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", *"+-*/%"])
    one = st.sampled_from(["has_tag", "days_since", "exists", "lower", "consent"])
    two = st.sampled_from(["starts_with", "contains", "bucket"])
    return st.one_of(
        st.builds("({}) {} ({})".format, inner, signs, inner),
        st.builds("{} < ({}) <= {}".format, leaves, inner, leaves),
        st.builds("not ({})".format, inner),
        st.builds("-({})".format, inner),
        st.builds("{}({})".format, one, inner),
        st.builds("{}({}, {})".format, two, inner, inner),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    )


expressions = st.recursive(leaves, larger, max_leaves=12)

odd = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -(2**53) - 1, 2**63]),
        st.floats(),
        st.text(max_size=5),
        st.dates(),
        st.datetimes(),
        st.datetimes(timezones=st.just(UTC)),
        st.just(datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
        st.just(datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        st.sampled_from([date.min, date.max, b"bytes", Decimal("NaN"), object(), {1, 2}]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
properties = st.dictionaries(st.sampled_from(NAMES), odd, max_size=4)
instants = st.datetimes(timezones=st.just(UTC))
definitions = st.builds(
    lambda segment, computed: Definitions(
        segments={"s": segment, "circle": 'in_segment("circle") or in_segment("s")'},
        computed={"b": computed},
        stages=[("aware", None), ("later", segment)],
    ),
    expressions,
    expressions,
)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    now = draw(instants)
    occurrences = st.lists(st.builds(Occurrence, instants, properties), max_size=3)
    history = draw(st.dictionaries(st.sampled_from(EVENTS), occurrences, max_size=3))
    return Facts(
        now=now,
        key=draw(st.text(max_size=3)),
        profile=draw(properties),
        tags=frozenset(draw(st.lists(st.text(max_size=3), max_size=3))),
        segments=frozenset(draw(st.lists(st.just("list")))),
        stage=draw(st.none() | st.text(max_size=3)),
        consents=draw(st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)),
        trigger=draw(st.none() | properties),
        event=draw(st.none() | properties.map(lambda flat: event_facts("x", "1", now, flat))),
        answers=draw(properties),
        history={name: sorted(seen, key=lambda one: one.at) for name, seen in history.items()},
        definitions=draw(definitions),
        zone=draw(st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])),
    )


@settings(max_examples=400, deadline=None)
@given(expressions, facts())
def test_no_facts_make_an_expression_raise(text: str, given_facts: Facts) -> None:
    found = to_json(evaluate(text, given_facts))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert holds(text, given_facts) is (found is True)


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_the_normal_form_means_the_same(text: str) -> None:
    tree = parse(text)
    written = normal(tree)
    assert parse(written) == tree
    assert normal(parse(written)) == written


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_the_checker_takes_whatever_parses(text: str) -> None:
    tree = parse(text)
    for problem in check(tree, Scope(event={"a": "number", "b": "object"}), condition=True):
        assert 0 <= problem.offset <= len(text)
    requirements(text)


SYMBOLS = "event . [ ] ( ) ' \" == and or not in 1 1.5 # \\ é 😀 f{ } lambda : , count"
symbols = st.sampled_from([*SYMBOLS.split(), "\0", "\n"])


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=40) | st.lists(symbols, max_size=30).map(" ".join) | st.lists(symbols).map("".join))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError as error:
        problem = error.problem()
    else:
        assert parse(normal(tree)) == tree
        return
    assert 0 <= problem.offset <= len(text)
    assert problem.message


@settings(max_examples=300, deadline=None)
@given(odd, st.sampled_from(TYPES))
def test_values_survive_json(value: Any, type_: str) -> None:
    read = coerce(value, type_)
    if type_ in ("list", "object"):
        json.dumps(to_json(read), allow_nan=False)
    else:
        assert coerce(to_json(read), type_) == read
    typed({"a": value}, {"a": type_})
