"""Messages in Segment's shape: what they become, and what is refused in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.normalise import Arrival, Incoming, Refusal, normalise

NOW = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)


def read(message: object, arrival: Arrival | None = None, **called: str) -> Incoming:
    return normalise(message, arrival or Arrival(NOW), "made-up", called)


def track(**more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "c1", "event": "seen", **more}


def test_a_message_without_id_gets_the_one_handed_in() -> None:
    assert read(track()).message_id == "made-up"
    assert read(track(messageId="m1")).message_id == "m1"


def test_a_message_without_timestamp_happened_when_it_came_in() -> None:
    assert read(track()).occurred_at == NOW


@pytest.mark.parametrize("ahead", [timedelta(days=-20000), timedelta(hours=-3), timedelta(days=400)])
def test_a_wrong_clock_is_corrected_by_what_it_says_of_the_sending(ahead: timedelta) -> None:
    sent_at = NOW + ahead
    message = track(timestamp=(sent_at - timedelta(minutes=7)).isoformat(), sentAt=sent_at.isoformat())
    assert read(message).occurred_at == NOW - timedelta(minutes=7)


def test_the_sending_time_of_the_batch_counts_where_the_message_has_none() -> None:
    arrival = Arrival(NOW, sent_at=NOW - timedelta(hours=1))
    message = track(timestamp=(NOW - timedelta(hours=2)).isoformat())
    assert read(message, arrival).occurred_at == NOW - timedelta(hours=1)


def test_slightly_ahead_counts_as_now() -> None:
    assert read(track(timestamp=(NOW + timedelta(minutes=59)).isoformat())).occurred_at == NOW


def test_with_a_scaled_clock_nothing_is_corrected() -> None:
    ahead = NOW + timedelta(minutes=30)
    message = track(timestamp=ahead.isoformat(), sentAt="2031-01-01T00:00:00Z")
    assert read(message, Arrival(NOW, exact=True)).occurred_at == ahead


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("text", "expected an object, got text"),
        ({"type": "trackk", "userId": "c"}, "type: expected one of track, identify"),
        ({"type": "track", "event": "seen"}, "userId or anonymousId: one of them"),
        ({"type": "track", "userId": "c"}, "event: expected the event's name, got nothing"),
        ({"type": "track", "userId": "c", "event": "  "}, "event: expected the event's name"),
        ({"type": "alias", "userId": "c"}, "previousId: an alias needs"),
        ({"type": "group", "userId": "c"}, "groupId: a group message needs"),
        (track(event="x" * 201), "event: a name of 201 characters"),
        (track(userId="x" * 257), "userId: 257 characters, at most 256"),
        (track(userId={"a": 1}), "userId: expected text, got an object"),
        (track(userId="a\x00b"), "userId: holds the character NUL"),
        (track(userId="\ud83d"), "userId: holds half of a surrogate pair"),
        (track(properties=[1]), "properties: expected an object, got a list"),
        (track(properties={"x": float("nan")}), "a number that JSON does not have"),
        (track(properties={"x": 10**400}), "a number of more than 308 digits"),
        (track(timestamp="yesterday"), "timestamp: expected an ISO 8601 instant"),
        (track(timestamp="1970-01-01T00:00:00Z"), "is more than 3650 days ago"),
        (track(timestamp="2027-11-11T10:00:00Z"), "is in the future"),
        (track(timestamp="9999-12-31T00:00:00Z", sentAt="0001-01-01T00:00:00Z"), "too far from now"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(message: object, told: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(message)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


def test_deep_nesting_is_refused_without_recursion() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    with pytest.raises(Refusal, match="nested more than 32 deep"):
        read(track(properties=deep))


@pytest.mark.parametrize(("kind", "name"), [("page", "page.viewed"), ("screen", "screen.viewed")])
def test_pages_and_screens_are_events_with_their_name_as_property(kind: str, name: str) -> None:
    found = read({"type": kind, "anonymousId": "a", "name": "Pricing", "properties": {"url": "/p"}})
    assert found.name == name
    assert found.properties == {"url": "/p", "name": "Pricing", kind: "Pricing"}


def test_a_group_keeps_its_id_and_traits_as_properties() -> None:
    found = read({"type": "group", "userId": "c", "groupId": 7, "traits": {"plan": "pro"}})
    assert (found.name, found.properties) == ("group.joined", {"plan": "pro", "group_id": "7"})


def test_traits_of_an_identify_are_the_persons_and_not_the_events() -> None:
    message = {
        "type": "identify",
        "userId": 17,
        "traits": {"tier": "gold"},
        "context": {"traits": {"tier": "silver", "locale": "de"}},
    }
    found = read(message)
    assert found.external_id == "17"
    assert found.traits == {"tier": "gold", "locale": "de"}
    assert found.properties == {}


def test_names_that_clients_send_become_declared_ones() -> None:
    assert normalise(track(), Arrival(NOW), "m", {"seen": "page.viewed"}).name == "page.viewed"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = "type userId anonymousId event messageId timestamp sentAt traits properties context groupId previousId"
keys = st.sampled_from(KEYS.split())


@given(st.dictionaries(keys, json_values | st.sampled_from(["track", "identify", "page", "2026-11-11"])))
def test_any_json_is_stored_or_refused(message: dict[str, Any]) -> None:
    try:
        found = read(message)
    except Refusal:
        return
    assert found.occurred_at.tzinfo is not None
    assert found.name
