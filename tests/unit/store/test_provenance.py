from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.store.provenance import BEFORE, Record, joined, parted, say, stamp

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
CUSTOMER, VISITOR = "external_id:c-1", "anonymous_id:a-1"


def at(minutes: int) -> str:
    return stamp(NOON + timedelta(minutes=minutes))


def test_the_newest_word_counts_whenever_it_comes() -> None:
    record = Record()
    say(record, "tier", "gold", at=at(2), via=CUSTOMER, source="shop", confidence=0.9)
    say(record, "tier", "silver", at=at(1), via=VISITOR, source="web")
    assert record.values == {"tier": "gold"}
    assert record.provenance == {
        "tier": {CUSTOMER: [at(2), "shop", 0.9], VISITOR: [at(1), "web", None, "silver"]}
    }


def test_at_one_instant_the_source_named_first_counts() -> None:
    for order in (["crm", "web"], ["web", "crm"]):
        record = Record()
        for source in ("web", "crm", "other"):
            say(record, "tier", source, at=at(1), via=source, source=source, sources=order)
        assert record.values["tier"] == order[0]


def test_a_value_that_was_cleared_stays_cleared_against_an_older_word() -> None:
    record = Record()
    say(record, "tier", None, at=at(2), via=CUSTOMER)
    say(record, "tier", "gold", at=at(1), via=CUSTOMER)
    assert record.values == {"tier": None}


def test_a_word_without_an_instant_counts_now() -> None:
    record = Record({"tier": "bronze"})
    say(record, "tier", "gold", at=BEFORE, via="")
    assert record.values["tier"] == "gold"
    say(record, "tier", "silver", at=at(1), via=CUSTOMER)
    say(record, "tier", "gold", at=BEFORE, via=VISITOR)
    assert record.values["tier"] == "gold"


def test_what_was_said_of_an_identity_goes_with_it() -> None:
    record = Record({"old": 1})
    say(record, "tier", "gold", at=at(2), via=CUSTOMER)
    say(record, "tier", "silver", at=at(1), via=VISITOR)
    say(record, "seen", True, at=at(1), via=VISITOR)
    stays, goes = parted(record, {VISITOR})
    assert (stays.values, goes.values) == ({"old": 1, "tier": "gold"}, {"tier": "silver", "seen": True})
    stays, goes = parted(record, {CUSTOMER})
    assert stays.values == {"old": 1, "tier": "silver", "seen": True}
    assert joined(stays, goes).values == record.values


WORDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, 1, 2, "x"]),
        st.integers(0, 3),
        st.sampled_from([CUSTOMER, VISITOR, "phone:+1"]),
        st.sampled_from([None, "shop", "web"]),
    ),
    max_size=6,
)


def told(words: list[Any]) -> Record:
    record = Record()
    for name, value, minutes, via, source in words:
        say(record, name, value, at=at(minutes), via=via, source=source, sources=["web"])
    return record


@given(WORDS, st.randoms(use_true_random=False), st.integers(0, 6))
def test_the_same_words_in_any_order_and_over_any_merge_are_the_same_record(
    words: list[Any], random: Any, cut: int
) -> None:
    expected = told(words)
    shuffled = list(words)
    random.shuffle(shuffled)
    merged = joined(told(shuffled[:cut]), told(shuffled[cut:]), ["web"])
    for found in (told(shuffled), merged):
        assert found.values == expected.values
        assert {n: found.entries(n) for n in found.values} == {
            n: expected.entries(n) for n in expected.values
        }
