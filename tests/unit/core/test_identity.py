"""Names that the same input always gives."""

from __future__ import annotations

from uuid import RFC_4122, UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from engine.core import identity

NAMESPACE = UUID("6f3c1f0e-5d0b-5c67-9d52-6b6169726f73")
CROWD = "01936f3a-8c00-7abc-9def-000000000001"
PROFILE = "10f3b2a1-4c5d-4e6f-8a9b-0123456789ab"
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


def test_who_enters_in_a_crowd_gets_an_id_that_ascends_with_crowds_and_profiles() -> None:
    crowds = ["01936f3a-8c00-7abc-9def-000000000001", "01936f3a-9d11-7abc-9def-000000000002"]
    profiles = [f"{first}0f3b2a1-4c5d-4e6f-8a9b-0123456789ab" for first in "0179acf"]
    ids = [identity.crowd_enrolment_id("j", "k", "null", c, p) for c in crowds for p in profiles]
    assert ids == sorted(set(ids))
    assert {UUID(each).version for each in ids} == {8}
    assert {UUID(each).variant for each in ids} == {RFC_4122}
    assert str(UUID(ids[0])) == ids[0]


def test_the_id_in_a_crowd_depends_on_all_that_it_is_made_of() -> None:
    given = {"journey": "j", "key": "k", "one_per": "null", "crowd_id": CROWD, "profile_id": PROFILE}
    first = identity.crowd_enrolment_id(**given)
    assert first == identity.crowd_enrolment_id(**given)
    for name in ("journey", "key", "one_per"):
        assert identity.crowd_enrolment_id(**given | {name: "other"}) != first


def test_null_and_numbers_are_not_text_for_one_per() -> None:
    assert len({identity.one_per_text(value) for value in (None, 1, "1", "null", True)}) == 5
