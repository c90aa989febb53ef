from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.ingest.identifying import identified
from engine.ingest.normalise import Arrival, normalise
from engine.language.installation import Identities

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
CHINA = Identities(phone_region="CN")


def found(**message: Any) -> tuple[list[tuple[str, str]], list[str]]:
    incoming = normalise({"type": "identify", **message}, Arrival(NOON), "m")
    who = identified(incoming, CHINA)
    return list(who.identities), [str(problem) for problem in who.problems]


def test_identifiers_come_from_ids_traits_and_context() -> None:
    context = {
        "externalIds": [
            {"id": "IDA@example.com", "type": "email", "collection": "users", "encoding": "none"},
            {"id": "AB-12", "type": "ios.idfa"},
            {"id": "u-1", "type": "wechat_unionid"},
            {"id": "x", "type": "ga_client_id"},
            {"id": "", "type": "phone"},
            "junk",
        ],
        "device": {"id": "D-1", "token": "t0ken"},
        "traits": {"phone": "138 0013 8000"},
    }
    assert found(userId=17, anonymousId="a-1", context=context, traits={"member_number": "vip 1"}) == (
        [
            ("external_id", "17"),
            ("anonymous_id", "a-1"),
            ("phone", "+8613800138000"),
            ("member_number", "VIP1"),
            ("email", "ida@example.com"),
            ("device_id", "ab-12"),
            ("wechat_unionid", "u-1"),
            ("device_id", "d-1"),
            ("push", "t0ken"),
        ],
        [],
    )


def test_what_identifies_nobody_is_told_without_its_value() -> None:
    identities, problems = found(userId="c-1", traits={"phone": "12345", "email": "x" * 10_000})
    assert identities == [("external_id", "c-1")]
    assert problems == [
        "traits.phone: no phone number of CN; it is kept and identifies nobody",
        "traits.email: 10000 characters, at most 256 are allowed; it is kept and identifies nobody",
    ]


def test_traits_of_an_event_are_not_those_of_a_customer() -> None:
    identities, problems = found(
        type="track", event="x", userId="c-1", context={"traits": {"phone": "13800138000"}}
    )
    assert (identities, problems) == ([("external_id", "c-1")], [])
