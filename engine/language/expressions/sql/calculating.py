"""Arithmetic of doubles as Python does it, in a database that raises where Python gives an infinity or zero.

What comes in is named several times: bind it before (`values.once`).
"""

from __future__ import annotations

from typing import Final

from engine.language.expressions import values as meaning
from engine.language.expressions.sql.values import Constant, Scalar, Value, as_number, once
from engine.language.expressions.sql.writer import Writer
from engine.language.types import number

_LARGEST: Final = "1e15"
_BITS: Final = "CAST(CAST('x' || encode(float8send(abs({0})), 'hex') AS bit(64)) AS bigint)"
_ONE: Final = 2**52  # the bit before a double's point, which is not stored
_TINIEST: Final = repr(2.0**-475)  # half of the least double, times 2^600
_UP: Final = repr(2.0**600)


def calculate(w: Writer, sign: str, left: Value, right: Value) -> Value:
    """`left sign right`; null of anything but numbers, by zero, or beyond 1e15."""
    if isinstance(left, Constant) and isinstance(right, Constant):
        found = meaning.calculate(sign, left.value, right.value)
        return None if found is None else Constant(number(found) or 0)
    one, two = as_number(w, left), as_number(w, right)
    if one is None or two is None:
        return None
    if sign == "-" and isinstance(left, Constant) and left.value == 0:
        negated = once(w, [two], lambda a: f"CASE WHEN {_within(a.sql)} THEN 0 - {a.sql} END")
        return Scalar("number", negated, small=True)

    def build(a: Scalar, b: Scalar) -> str:
        match sign:
            case "+" | "-":
                return _sum(sign, a, b)
            case "*":
                return _product(a.sql, b.sql)
            case "/":
                return _quotient(a.sql, b.sql)
        return _remainder(w, a.sql, b.sql)

    return Scalar("number", once(w, [one, two], build), small=True)


def _within(sql: str) -> str:
    return f"{sql} BETWEEN -{_LARGEST} AND {_LARGEST}"


def _bounded(sql: str) -> str:
    return f"CASE WHEN {_within(sql)} THEN {sql} END"


def _sum(sign: str, a: Scalar, b: Scalar) -> str:
    found = _bounded(f"({a.sql} {sign} {b.sql})")
    large = [f"abs({each.sql}) <= 1e300" for each in (a, b) if not each.small]
    if not large:
        return found
    # Beyond that two numbers are far apart, or cancel each other out.
    cancel = f"{a.sql} = {'-' if sign == '+' else ''}{b.sql}"
    return f"CASE WHEN {' AND '.join(large)} THEN {found} WHEN {cancel} THEN 0 END"


def _product(a: str, b: str) -> str:
    less, more = f"least(abs({a}), abs({b}))", f"greatest(abs({a}), abs({b}))"
    found = _bounded(f"({a} * {b})")
    return (
        f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL WHEN {a} = 0 OR {b} = 0 THEN 0 "
        f"WHEN {less} > 1 THEN CASE WHEN {less} <= 1e16 / {more} THEN {found} END "
        f"WHEN {more} >= 1 OR {less} >= 1e-150 THEN {found} "
        f"WHEN {less} * {_UP} <= {_TINIEST} / {more} THEN 0 ELSE {a} * {b} END"
    )


def _quotient(a: str, b: str) -> str:
    found = _bounded(f"({a} / {b})")
    return (
        f"CASE WHEN {a} IS NULL OR {b} IS NULL OR {b} = 0 THEN NULL WHEN {a} = 0 THEN 0 "
        f"WHEN abs({b}) < 1 THEN CASE WHEN abs({a}) <= 1e16 * abs({b}) THEN {found} END "
        f"WHEN abs({a}) >= 1e-300 * abs({b}) THEN {found} "
        f"WHEN abs({a}) * {_UP} <= abs({b}) * {_TINIEST} THEN 0 ELSE {a} / {b} END"
    )


def _remainder(w: Writer, a: str, b: str) -> str:
    """The exact remainder, from both doubles as whole numbers times a power of two; it has b's sign."""
    return w.steps(
        f"{a} AS a, {b} AS b",
        f"{_BITS.format('a')} AS s, {_BITS.format('b')} AS t",
        f"greatest(s >> 52, 1) AS i, (s & {_ONE - 1}) + CASE WHEN s >> 52 > 0 THEN {_ONE} ELSE 0 END AS m, "
        f"greatest(t >> 52, 1) AS j, (t & {_ONE - 1}) + CASE WHEN t >> 52 > 0 THEN {_ONE} ELSE 0 END AS n",
        "least(i, j) AS k",
        "CASE WHEN b <> 0 THEN CAST(mod(m * power(CAST(2 AS numeric), i - k), "
        "n * power(CAST(2 AS numeric), j - k)) AS float8) END AS r, (k - 1075) / 2 AS h",
        # In two steps, since 2^-1074 alone is out of the range of `power`.
        "sign(a) * r * power(CAST(2 AS float8), h) * power(CAST(2 AS float8), k - 1075 - h) AS f",
        "CASE WHEN f <> 0 AND (f < 0) <> (b < 0) THEN f + b ELSE f END AS g",
        result=_bounded("g"),
    )


def bucket(w: Writer, salt: Scalar, parts: Value) -> Value:
    """Where a profile falls among `parts`, from 0 (`engine.language.expressions.closures.bucket`)."""
    digest = f"sha256(convert_to('1:' || {salt.sql} || ':' || p.key, 'UTF8'))"
    signed = f"CAST(CAST('x' || left(encode({digest}, 'hex'), 16) AS bit(64)) AS bigint)"
    if isinstance(parts, Constant) and not isinstance(parts.value, str | bool):
        n = parts.value
        if n < 1 or n != int(n):
            return None
        if n <= 2**31:
            whole = w.bind(int(n), "bigint")
            rest = w.bind(2**64 % int(n), "bigint")
            found = f"CASE WHEN h < 0 THEN (h % {whole} + {rest} + {whole}) % {whole} ELSE h % {whole} END"
            return Scalar("number", w.steps(f"{signed} AS h", result=f"CAST({found} AS float8)"), small=True)
    count = as_number(w, parts)
    if count is None:
        return None
    half = str(2**63)
    n_sql = f"CASE WHEN n >= 1 AND n = trunc(n) THEN CASE WHEN n >= {2**64} THEN {2**64} "
    n_sql += f"WHEN n >= {half} THEN CAST(CAST(n - {half} AS bigint) AS numeric) + {half} "
    n_sql += "ELSE CAST(CAST(n AS bigint) AS numeric) END END"
    return Scalar(
        "number",
        w.steps(
            f"{signed} AS h, {count.sql} AS n",
            f"CAST(h AS numeric) + CASE WHEN h < 0 THEN {2**64} ELSE 0 END AS u, {n_sql} AS w",
            result="CAST(mod(u, w) AS float8)",
        ),
    )
