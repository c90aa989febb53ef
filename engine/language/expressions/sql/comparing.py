"""Comparison of values: equality, order, membership. Each gives a condition whose null counts as false.

Values come with their dates parsed. `zone` is where a bare date begins, as SQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Final

from engine.language.expressions import values as meaning
from engine.language.expressions.sql.moments import as_instant
from engine.language.expressions.sql.values import (
    ANY,
    EXACT,
    HUGE,
    Constant,
    Json,
    Many,
    Scalar,
    Value,
    Whole,
    as_boolean,
    as_number,
    as_text,
    double,
    exists,
    is_number,
    is_of,
    json_of,
    kinds,
    numeric,
    once,
)
from engine.language.expressions.sql.writer import NotInSql, Writer

Zone = Callable[[], str]
NEVER: Final = "false"
_MOMENTS: Final = frozenset({"date", "datetime"})
_DEEPEST: Final = 32
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def either(conditions: Sequence[str]) -> str:
    wanted = [each for each in conditions if each != NEVER]
    return f"({' OR '.join(wanted)})" if len(wanted) > 1 else wanted[0] if wanted else NEVER


def both(conditions: Sequence[str]) -> str:
    if NEVER in conditions:
        return NEVER
    wanted = [each for each in conditions if each != "true"]
    return f"({' AND '.join(wanted)})" if len(wanted) > 1 else wanted[0] if wanted else "true"


def negated(condition: str) -> str:
    return {"true": NEVER, NEVER: "true"}.get(condition, f"(({condition}) IS NOT TRUE)")


def plain(constant: Constant) -> bool:
    """Whether JSON's own equality and order are right for it: not for numbers that doubles leave gaps at."""
    return constant.kind != "number" or abs(float(constant.value)) < EXACT


def as_json(w: Writer, value: object) -> str:
    return w.bind(json.dumps(value, ensure_ascii=False), "jsonb")


# --- equality -------------------------------------------------------------------------------------------


def equal(w: Writer, left: Value, right: Value, zone: Zone, depth: int = 0) -> str:
    """Whether `engine.language.expressions.values.same` says yes."""
    if isinstance(left, Constant) and not isinstance(right, Constant):
        left, right = right, left
    shared = kinds(left) & kinds(right)
    match left, right:
        case Constant(one), Constant(two):
            return "true" if meaning.same(one, two, UTC) is True else NEVER
        case Whole(offset), _ if shared:
            raise NotInSql("the whole profile cannot be compared for everybody at once", offset)
        case _, Whole(offset) if shared:
            raise NotInSql("the whole profile cannot be compared for everybody at once", offset)
        case Json(), Constant(value) if shared and plain(right):
            return f"{left.sql} = {as_json(w, value)}"
        case Scalar(bare=str(bare)), Constant(value) if _excludes_zero("==", right):
            return f"{bare} = {_number(w, value)}"
        case Many(), Many():
            if len(left.items) != len(right.items):
                return NEVER
            pairs = zip(left.items, right.items, strict=True)
            return both([_alike(w, a, b, zone, depth) for a, b in pairs])
        case Json(), Many(items) if shared:
            return _listed(w, left, items, zone, depth)
        case Many(items), Json() if shared:
            return _listed(w, right, items, zone, depth)
        case Json(), Json() if shared & {"list", "object"}:
            return f"({_typed(left)} AND {_typed(right)} AND {_deep(w, left, right, depth)})"
        case Json(), Json() if shared and shared <= {"text", "boolean"}:
            [kind] = shared
            return f"({is_of(left, kind)} AND {left.sql} = {right.sql})"
    if _MOMENTS & kinds(left) and _MOMENTS & kinds(right):
        return _moments(w, "=", left, right, zone)
    return either([_scalars(w, kind, "=", left, right) for kind in ("text", "number", "boolean")])


def unequal(w: Writer, left: Value, right: Value, zone: Zone) -> str:
    """Whether they can be compared and differ."""
    if isinstance(left, Constant) and not isinstance(right, Constant):
        left, right = right, left
    shared = kinds(left) & kinds(right)
    match left, right:
        case Constant(one), Constant(two):
            return "true" if meaning.same(one, two, UTC) is False else NEVER
        case Json(), Constant(value) if shared and plain(right):
            known = is_number(w, left) if right.kind == "number" else is_of(left, right.kind)
            return f"({known} AND {left.sql} <> {as_json(w, value)})"
        case Json(), Json() if shared & {"list", "object"} and left.type == right.type == "any":
            alike = f"jsonb_typeof({left.sql}) = jsonb_typeof({right.sql})"
            known = f"{exists(w, left)} AND {exists(w, right)}"
            return f"({alike} AND {known} AND {negated(_deep(w, left, right, 0))})"
    if shared & {"list", "object"}:
        known_kinds = [_is(each, kind) for kind in shared & {"list", "object"} for each in (left, right)]
        return both([*known_kinds, negated(equal(w, left, right, zone))])
    if _MOMENTS & kinds(left) and _MOMENTS & kinds(right):
        return _moments(w, "<>", left, right, zone)
    return either([_scalars(w, kind, "<>", left, right) for kind in ("text", "number", "boolean")])


def _is(value: Value, kind: str) -> str:
    return is_of(value, kind) if isinstance(value, Json) else "true"


def _typed(value: Json) -> str:
    """That a JSON value is of the type that it is read as."""
    return f"jsonb_typeof({value.sql}) <> 'null'" if value.type == "any" else is_of(value, value.type)


def _scalars(w: Writer, kind: str, sign: str, left: Value, right: Value) -> str:
    match kind:
        case "text":
            one, two = as_text(w, left), as_text(w, right)
        case "number":
            one, two = as_number(w, left), as_number(w, right)
        case _:
            one, two = as_boolean(left), as_boolean(right)
    if one is None or two is None:
        return NEVER
    return f"{one.sql}{_collated(kind)} {sign} {two.sql}"


def _collated(kind: str) -> str:
    return ' COLLATE "C"' if kind == "text" else ""


def _moments(w: Writer, sign: str, left: Value, right: Value, zone: Zone) -> str:
    if isinstance(left, Scalar) and isinstance(right, Scalar) and left.kind == right.kind:
        return f"{left.sql} {sign} {right.sql}"
    if not isinstance(left, Scalar) or not isinstance(right, Scalar):
        return NEVER
    if left.kind == "date":
        return once(w, [left, right], lambda day, instant: _beside_instant(w, sign, day, instant, zone))
    turned = _TURNED.get(sign, sign)
    return once(w, [right, left], lambda day, instant: _beside_instant(w, turned, day, instant, zone))


def _beside_instant(w: Writer, sign: str, day: Scalar, instant: Scalar, zone: Zone) -> str:
    """A date beside an instant. Where they are days apart, no zone needs to be asked when the date begins."""
    near = f"CAST({instant.sql} AT TIME ZONE 'UTC' AS date)"
    begins = as_instant(w, day, zone)
    assert begins is not None
    before, after = sign in ("<", "<=", "<>"), sign in (">", ">=", "<>")
    return (
        f"CASE WHEN {day.sql} BETWEEN CAST('0001-01-03' AS date) AND {near} - 3 THEN {before} "
        f"WHEN {day.sql} BETWEEN {near} + 3 AND CAST('9999-12-29' AS date) THEN {after} "
        f"ELSE {begins.sql} {sign} {instant.sql} END"
    )


def _alike(w: Writer, left: Value, right: Value, zone: Zone, depth: int, raw: bool = False) -> str:
    """Two members of lists: equal, or both null. `raw`: `left` stands inside JSON."""
    if left is None and right is None:
        return "true"
    missing = both([_missing(w, left, raw), _missing(w, right, False)])
    return either([equal(w, left, right, zone, depth + 1), missing])


def _missing(w: Writer, value: Value, raw: bool) -> str:
    """That a member of a list is null. Inside JSON a number beyond all doubles is not, but equals none."""
    if raw and isinstance(value, Json):
        return f"coalesce(jsonb_typeof({value.sql}), 'null') = 'null'"
    return negated(exists(w, value))


def _listed(w: Writer, whole: Json, items: tuple[Value, ...], zone: Zone, depth: int) -> str:
    """A JSON list against one that is written out."""
    places = [json_of(f"({whole.sql} -> {place})") for place in range(len(items))]
    alike = [_alike(w, place, item, zone, depth, True) for place, item in zip(places, items, strict=True)]
    rest = both([f"jsonb_array_length({whole.sql}) = {len(items)}", *alike])
    return f"CASE WHEN {is_of(whole, 'list')} THEN {rest} END"


def _deep(w: Writer, left: Json, right: Json, depth: int) -> str:
    """Two JSON values that are not null, member by member."""
    one, two = json_of("l.v"), json_of("r.v")
    numbers = f"{double(w, numeric(one))} = {double(w, numeric(two))}"
    return w.grown(
        "(SELECT bool_and(coalesce(CASE WHEN jsonb_typeof(l.v) IS DISTINCT FROM jsonb_typeof(r.v) THEN false "
        f"WHEN {is_of(one, 'number')} THEN {numbers} "
        f"WHEN jsonb_typeof(l.v) IN ('array', 'object') THEN l.depth < {_DEEPEST - depth} "
        f"ELSE l.v = r.v END, false)) FROM {_flat(left)} l FULL JOIN {_flat(right)} r ON l.path = r.path)"
    )


def _flat(value: Json) -> str:
    """Every value inside a JSON value, with its place and how deep it lies."""
    return (
        f"(WITH RECURSIVE n(path, depth, v) AS (SELECT CAST(ARRAY[] AS text[]), 0, {value.sql} UNION ALL "
        "SELECT n.path || c.k, n.depth + 1, c.v FROM n CROSS JOIN LATERAL ("
        "SELECT 'k' || key, value FROM jsonb_each(CASE WHEN jsonb_typeof(n.v) = 'object' THEN n.v END) "
        "UNION ALL SELECT 'i' || place, value FROM jsonb_array_elements("
        "CASE WHEN jsonb_typeof(n.v) = 'array' THEN n.v END) WITH ORDINALITY e(value, place)) c(k, v)) "
        "SELECT path, depth, v FROM n)"
    )


# --- order ----------------------------------------------------------------------------------------------


def ordered(w: Writer, sign: str, left: Value, right: Value, zone: Zone) -> str:
    """`left < right` and the like: numbers, text by code point, dates and instants; else false."""
    match left, right:
        case Constant(one), Constant(two):
            return "true" if meaning.ordered(sign, one, two, UTC) else NEVER
        case Json(type="number" | "any"), Constant(value) if right.kind == "number" and plain(right):
            return _beside_constant(w, sign, left, value)
        case Constant(value), Json(type="number" | "any") if left.kind == "number" and plain(left):
            return _beside_constant(w, _TURNED[sign], right, value)
        case Scalar(bare=str(bare)), Constant(value) if _excludes_zero(sign, right):
            return f"{bare} {sign} {_number(w, value)}"
        case Constant(value), Scalar(bare=str(bare)) if _excludes_zero(_TURNED[sign], left):
            return f"{bare} {_TURNED[sign]} {_number(w, value)}"
    if _MOMENTS & kinds(left) and _MOMENTS & kinds(right):
        return _moments(w, sign, left, right, zone)
    return either([_scalars(w, kind, sign, left, right) for kind in ("text", "number")])


def _excludes_zero(sign: str, constant: Constant) -> bool:
    """Whether 0 does not compare so: then who has nothing gathered need not be looked at."""
    if constant.kind != "number" or not plain(constant):
        return False
    test = (
        meaning.same(0, constant.value, UTC)
        if sign == "=="
        else meaning.ordered(sign, 0, constant.value, UTC)
    )
    return test is False


def _number(w: Writer, value: object) -> str:
    return w.bind(value, "bigint") if isinstance(value, int) else w.bind(value, "float8")


def _beside_constant(w: Writer, sign: str, json: Json, value: object) -> str:
    """A JSON number beside a constant: as decimals, whose order is that of the doubles."""
    found = numeric(json)
    limit = w.bind(HUGE if sign.startswith(">") else -HUGE, "numeric")
    inside = f"{found} {'<' if sign.startswith('>') else '>'} {limit}"
    compared = f"{found} {sign} CAST({as_json(w, value)} AS numeric)"
    return f"CASE WHEN {is_of(json, 'number')} THEN {compared} AND {inside} END"


# --- membership -----------------------------------------------------------------------------------------


def member(w: Writer, item: Value, whole: Value, zone: Zone) -> str:
    """Whether a list holds `item`, or a text holds it as a part."""
    if item is None:
        return NEVER
    return either([_in_list(w, item, whole, zone), _in_text(w, item, whole, ">")])


def no_member(w: Writer, item: Value, whole: Value, zone: Zone) -> str:
    """Whether that can be asked, and is not so."""
    if item is None:
        return NEVER
    found = [_in_text(w, item, whole, "=")]
    if "list" in kinds(whole):
        found.append(both([exists(w, item), _is(whole, "list"), negated(_in_list(w, item, whole, zone))]))
    return either(found)


def _in_text(w: Writer, item: Value, whole: Value, sign: str) -> str:
    match item, whole:
        case Constant(str(part)), Constant(str(text)):
            return "true" if (part in text) == (sign == ">") else NEVER
    part_sql, text_sql = as_text(w, item), as_text(w, whole)
    if part_sql is None or text_sql is None:
        return NEVER
    return f'strpos({text_sql.sql} COLLATE "C", {part_sql.sql}) {sign} 0'


def _in_list(w: Writer, item: Value, whole: Value, zone: Zone) -> str:
    match item, whole:
        case _, Many(items):
            return _in_many(w, item, items, zone)
        case Constant(value), Json(type="list" | "any") if plain(item):
            held = f"{whole.sql} @> {as_json(w, [value])}"
            return f"({is_of(whole, 'list')} AND {held})"
        case _, Json(type="list" | "any"):
            alias = w.alias()
            listed = f"CASE WHEN {is_of(whole, 'list')} THEN {whole.sql} END"
            test = equal(w, item, json_of(f"{alias}.v"), zone)
            if test == NEVER:
                return NEVER
            return f"EXISTS (SELECT 1 FROM jsonb_array_elements({listed}) {alias}(v) WHERE {test})"
    return NEVER


def _in_many(w: Writer, item: Value, items: tuple[Value, ...], zone: Zone) -> str:
    """Constants at one go, the others each for itself."""
    fixed = [each for each in items if isinstance(each, Constant) and plain(each)]
    rest = [each for each in items if each not in fixed]
    found: list[str] = []
    if isinstance(item, Constant) or len(fixed) < 2:
        rest = list(items)
    elif isinstance(item, Json):
        wanted = [each for each in fixed if each.kind in kinds(item)]
        if wanted:
            listed = [json.dumps(each.value, ensure_ascii=False) for each in wanted]
            found.append(f"{item.sql} = ANY (CAST({w.bind(listed, 'text[]')} AS jsonb[]))")
    else:
        rest = list(items) if kinds(item) <= _MOMENTS | {"list"} else rest
        texts = [each.value for each in fixed if each.kind == "text"]
        numbers = [float(each.value) for each in fixed if each.kind == "number"]
        truths = [each.value for each in fixed if each.kind == "boolean"]
        kind = kinds(item)
        if texts and kind == {"text"} and isinstance(item, Scalar):
            found.append(f'{item.sql} COLLATE "C" = ANY ({w.bind(texts, "text[]")})')
        if numbers and kind == {"number"} and isinstance(item, Scalar):
            found.append(f"{item.sql} = ANY ({w.bind(numbers, 'float8[]')})")
        if truths and kind == {"boolean"} and isinstance(item, Scalar):
            found.append(f"{item.sql} = ANY ({w.bind(truths, 'boolean[]')})")
    found += [equal(w, item, each, zone) for each in rest]
    return either(found)


__all__ = ["ANY", "both", "either", "equal", "member", "negated", "no_member", "ordered", "unequal"]
