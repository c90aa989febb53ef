"""What a condition meant, kept for later: as little as it needs, and all of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings

from engine.customers.frozen import frozen_meaning, thawed_meaning
from engine.language.catalogue import Catalogue
from engine.language.expressions import ExpressionError, parse
from engine.language.expressions.sql import NotInSql, Setting, condition
from tests.integration.segments.population import catalogues, conditions

NOW = datetime(2026, 11, 11, tzinfo=UTC)


def sql(text: str, catalogue: Catalogue) -> object:
    try:
        found = condition(parse(text), Setting(catalogue, "Europe/Paris"), NOW)
    except NotInSql:
        return None
    return (found.wheres, found.joins, found.parameters)


@settings(suppress_health_check=list(HealthCheck))
@given(conditions, catalogues)
def test_what_was_kept_gives_the_same_sql(text: str, catalogue: Catalogue) -> None:
    try:
        kept = frozen_meaning(text, catalogue)
    except ExpressionError:
        return
    assert sql(text, thawed_meaning(json.loads(json.dumps(kept)))) == sql(text, catalogue)


def test_what_is_not_asked_for_is_not_kept() -> None:
    catalogue = Catalogue(segments={"a": 'has_tag("x")', "b": 'in_segment("a")', "c": 'has_tag("y")'})
    assert frozen_meaning('in_segment("b")', catalogue)["segments"] == {
        "a": 'has_tag("x")',
        "b": 'in_segment("a")',
    }
