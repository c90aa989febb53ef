"""The SQL of common segments reads as one would write it by hand; what has none is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from engine.language.catalogue import Catalogue, EventType, Property, Tag
from engine.language.expressions import parse
from engine.language.expressions.sql import (
    Condition,
    NotInSql,
    Setting,
    Way,
    column,
    condition,
    conjuncts,
    fixed_part,
)

NOW = datetime(2026, 11, 11, 12, tzinfo=UTC)
SETTING = Setting(
    Catalogue(
        events={"paid": EventType("paid", {"total": Property("number")})},
        profile={
            "tier": Property("text"),
            "points": Property("number"),
            "orders": Property("number", computed='count("paid", "365d")'),
        },
        tags=("staff",),
        segments={
            "list": None,
            "gold": 'profile.tier == "gold"',
            "both": 'in_segment("gold") and has_tag("x")',
        },
        about_tags={"rich": Tag("rich", where='in_segment("gold")')},
    )
)


def lasting(tag: str) -> str:
    """That a tag is not over; nothing is looked up for who has none that expires."""
    now = f"<{NOW}>"
    return (
        f"(p.tags_expire_at IS NULL OR p.tags_expire_at > {now} OR NOT EXISTS (SELECT 1 FROM tag_grants g "
        f"WHERE g.profile_id = p.id AND g.tag = {tag} AND g.expires_at <= {now}))"
    )


STAFF = f"(p.tags @> ARRAY[<staff>] AND {lasting('<staff>')})"
X = f"(p.tags @> ARRAY[<x>] AND {lasting('<x>')})"


def said(text: str, way: Way = "all") -> tuple[str, str]:
    """Condition and joins, with the parameters in their places."""
    found = condition(parse(text), SETTING, NOW, way)
    return filled(found, found.where), filled(found, found.joins)


def filled(found: Condition, sql: str) -> str:
    for name, value in sorted(found.parameters.items(), key=lambda item: -len(item[0])):
        for type_ in ("text", "jsonb", "bigint", "numeric", "timestamptz", "float8", "text[]"):
            sql = sql.replace(f"CAST(:{name} AS {type_})", f"<{value}>")
    return sql


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ('profile.tier == "gold"', '((p.attributes -> <tier>) = <"gold">)'),
        ('has_tag("staff")', f"({STAFF})"),
        ('not has_tag("staff")', f"((({STAFF}) IS NOT TRUE))"),
        ('has_tag("rich")', '((p.attributes -> <tier>) = <"gold">)'),
        ("exists(profile.tier)", "((jsonb_typeof((p.attributes -> <tier>)) = 'string') IS TRUE)"),
        ('in_segment("both")', f'(((p.attributes -> <tier>) = <"gold"> AND {X}))'),
        (
            'profile.tier in ["a", "b"]',
            """((p.attributes -> <tier>) = ANY (CAST(<['"a"', '"b"']> AS jsonb[])))""",
        ),
        ('stage() == "new"', '(p.stage COLLATE "C" = <new>)'),
        ("profile.orders > 1", "(t1.c1 > <1>)"),
        ('profile.tier == "gold" and 1 > 2', "(false)"),
        ('profile.points == "gold"', "(false)"),
    ],
)
def test_a_condition_reads_as_if_written_by_hand(text: str, sql: str) -> None:
    found = condition(parse(text), SETTING, NOW)
    if text == "profile.orders > 1":
        assert "count(*) AS c1" in found.joins
        assert "GROUP BY r.profile_id" in found.joins
    assert filled(found, found.where) == sql


def test_events_are_gathered_once_for_everybody_or_looked_up_for_each() -> None:
    text = 'count("paid", "30d") > 1 and count("paid", "30d") < 9 and days_since(last("paid")) > 3'
    _, joins = said(text)
    assert joins.count("LEFT JOIN") == 2
    assert "LATERAL" not in joins
    _, joins = said(text, "each")
    assert joins.count("LEFT JOIN LATERAL") == 2
    assert "r.profile_id = p.id" in joins


def test_no_word_of_an_expression_is_part_of_the_text() -> None:
    odd = "x'; DROP TABLE profiles; -- :a"
    text = f'profile["{odd}"] == "{odd}" or has_tag("{odd}") or count("{odd}") > 1 or in_segment("{odd}")'
    found = condition(parse(text), SETTING, NOW)
    assert "DROP" not in found.where + found.joins
    assert odd in found.parameters.values()


@pytest.mark.parametrize("text", ["profile == profile", "[profile] == [profile]", "profile in profile.home"])
def test_the_whole_profile_cannot_be_compared(text: str) -> None:
    with pytest.raises(NotInSql, match="whole profile"):
        condition(parse(text), SETTING, NOW)
    with pytest.raises(NotInSql):
        column(parse("[profile]"), SETTING, NOW)


def test_definitions_that_use_each_other_over_and_over_are_refused() -> None:
    segments: dict[str, str | None] = {"s0": 'profile.tier == "a" or profile.tier == "b"'}
    for number in range(1, 8):
        segments[f"s{number}"] = " or ".join([f'in_segment("s{number - 1}")'] * 12)
    with pytest.raises(NotInSql, match="too large"):
        condition(parse('in_segment("s7")'), Setting(Catalogue(segments=segments)), NOW)


def test_a_definition_that_needs_itself_is_refused() -> None:
    circle = Setting(Catalogue(segments={"a": 'in_segment("b")', "b": 'in_segment("a")'}))
    with pytest.raises(NotInSql, match="needs itself"):
        condition(parse('in_segment("a")'), circle, NOW)


def test_conjuncts_are_taken_apart_and_those_of_the_profile_alone_found() -> None:
    trees = conjuncts(
        parse('profile.tier == "gold" and (has_tag("x") and consent("sms")) and count("paid") > 1')
    )
    assert len(trees) == 4
    alone = fixed_part(trees, SETTING, NOW)
    assert len(alone.wheres) == 2
    assert alone.joins == ""
    assert fixed_part(trees[2:], SETTING, NOW).wheres == ("true",)


def test_the_back_end_loads_no_driver() -> None:
    code = "import sys, engine.language.expressions.sql; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
