"""The trigger as it is read from what an enrolment keeps of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from engine.core.plan import Plan, Trigger
from engine.ingest.conditions import MANUAL_ENTRY, trigger_at, trigger_facts
from engine.language.catalogue import Catalogue

ENTERED = datetime(2026, 11, 11, 10, tzinfo=UTC)


def plan(kind: Literal["event", "manual"], **properties: str) -> Plan:
    return Plan("j", Trigger(kind, properties=properties), {}, None)


def test_who_entered_in_a_crowd_has_the_trigger_of_an_entry_by_hand() -> None:
    stored = {"id": "crowd-1", "points": 12, "odd": "x"}
    found = trigger_facts(plan("manual", points="number"), stored, ENTERED, Catalogue(), UTC)
    assert found == {
        "name": MANUAL_ENTRY,
        "id": "crowd-1",
        "occurred_at": ENTERED,
        "points": 12,
        "odd": "x",
    }


def test_what_the_row_says_comes_first() -> None:
    earlier = ENTERED - timedelta(minutes=30)
    stored = {"id": "e1", "name": "cart.updated", "occurred_at": earlier.isoformat()}
    found = trigger_facts(plan("event"), stored, ENTERED, Catalogue(), UTC)
    assert (found["name"], found["occurred_at"]) == ("cart.updated", earlier)
    assert trigger_at(stored, ENTERED) == earlier
