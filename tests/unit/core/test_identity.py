"""Names that the same input always gives."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from engine.core import identity

NAMESPACE = UUID("6f3c1f0e-5d0b-5c67-9d52-6b6169726f73")
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts)
def test_event_ids_are_the_standard_library_s_uuid5(source: str, message_id: str) -> None:
    assert identity.event_id(source, message_id) == str(
        uuid5(NAMESPACE, f"event\x00{source}\x00{message_id}")
    )


def test_delivery_and_enrolment_ids_are_uuid5() -> None:
    assert identity.delivery_key("e", "s") == str(uuid5(NAMESPACE, "delivery\x00e\x00s"))
    name = "enrolment\x00j\x00k\x00null\x00t"
    assert identity.enrolment_id("j", "k", "null", "t") == str(uuid5(NAMESPACE, name))


def test_null_and_numbers_are_not_text_for_one_per() -> None:
    assert len({identity.one_per_text(value) for value in (None, 1, "1", "null", True)}) == 5
