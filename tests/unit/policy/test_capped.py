"""Caps: what counts, when a place is free again, whose it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.core.limits import Cap, Policy, Use
from engine.policy import Closed, Defer, Held, Profile, Request, Send, Settings, Skip, decide, within_caps

AT = datetime(2026, 11, 11, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def use(ago: timedelta, channel: str = "sms", **values: Any) -> Use:
    return Use(
        AT - ago, channel, values.get("category", "marketing"), values.get("journey", "j"), **_rest(values)
    )


def _rest(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in ("key", "waits_as")}


def ask(*caps: Cap, uses: tuple[Use, ...] = (), on_capped: str = "skip", **values: Any) -> Any:
    policy = Policy(caps, on_capped, timedelta(days=7))  # type: ignore[arg-type]
    asked = Request(
        "p", ("sms",), values.pop("category", "marketing"), AT, policy=policy, journey="j", **values
    )
    return within_caps(asked, "sms", Profile(uses=uses), Settings())


def test_a_place_is_free_again_the_length_after_the_message_that_took_it() -> None:
    cap = Cap(2, DAY)
    full = (use(DAY - HOUR), use(HOUR))
    assert ask(cap, uses=full) == Held("capped")
    assert ask(cap, uses=full, on_capped="defer") == Held("capped", AT + HOUR)
    assert ask(cap, uses=(use(DAY), use(HOUR))) is None
    assert ask(cap, uses=full, on_capped="next_channel") == Closed("capped")


def test_of_several_caps_the_one_that_binds_longest_counts() -> None:
    caps = (Cap(1, HOUR), Cap(2, DAY))
    uses = (use(3 * HOUR), use(timedelta(minutes=30)))
    assert ask(*caps, uses=uses, on_capped="defer") == Held("capped", AT + DAY - 3 * HOUR)


@pytest.mark.parametrize(
    ("cap", "counts"),
    [
        (Cap(1, DAY), True),
        (Cap(1, DAY, per="journey"), False),
        (Cap(1, DAY, per="channel"), False),
        (Cap(1, DAY, channel="sms"), False),
        (Cap(1, DAY, channel="email"), False),
    ],
)
def test_what_counts_apart(cap: Cap, counts: bool) -> None:
    found = ask(cap, uses=(use(HOUR, "email", journey="other"),))
    assert (found is not None) is counts


def test_transactional_messages_are_exempt_unless_a_cap_names_them() -> None:
    code = use(HOUR, category="transactional")
    assert ask(Cap(1, DAY), uses=(code,)) is None
    assert ask(Cap(1, DAY), uses=(use(HOUR),), category="transactional") is None
    named = Cap(1, DAY, category="transactional")
    assert ask(named, uses=(code,), category="transactional") == Held("capped")
    assert ask(named, uses=(code,)) is None


def test_a_calendar_day_is_the_customers() -> None:
    cap = Cap(1, calendar="day")
    policy = Policy((cap,), "defer")
    asked = Request("p", ("sms",), "marketing", AT, policy=policy, journey="j")
    yesterday = Profile(uses=(use(11 * HOUR),), time_zone="UTC")
    assert within_caps(asked, "sms", yesterday, Settings()) is None
    there = Profile(uses=(use(11 * HOUR),), time_zone="Asia/Shanghai")
    assert within_caps(asked, "sms", there, Settings()) == Held(
        "capped", datetime(2026, 11, 11, 16, tzinfo=UTC)
    )


def test_a_cap_of_none_never_lets_anything_go() -> None:
    assert ask(Cap(0, DAY)) == Held("capped")
    assert ask(Cap(0, DAY), on_capped="defer") == Held("capped")


def test_nothing_waits_past_max_defer_counted_from_when_it_was_first_asked_about() -> None:
    uses = (use(HOUR),)
    assert ask(Cap(1, timedelta(days=6)), uses=uses, on_capped="defer") == Held(
        "capped", AT - HOUR + timedelta(days=6)
    )
    late = ask(Cap(1, timedelta(days=6)), uses=uses, on_capped="defer", since=AT - 2 * DAY)
    assert late == Held("capped")


def test_its_own_place_and_a_repeat_do_not_count() -> None:
    assert ask(Cap(1, DAY), uses=(use(HOUR, key="k"),), key="k") is None
    assert ask(Cap(1, DAY), uses=(use(HOUR),), repeat=True) is None


def test_the_last_place_is_left_to_the_more_important_that_waits_for_it() -> None:
    waits = use(-HOUR, waits_as=0)
    assert ask(Cap(1, DAY), uses=(waits,), rank=1, on_capped="defer") == Held("capped", AT + HOUR + DAY)
    assert ask(Cap(1, DAY), uses=(waits,), rank=0) is None
    assert ask(Cap(2, DAY), uses=(waits,), rank=1) is None


def test_a_cap_on_one_channel_lets_the_next_go_or_holds_the_message() -> None:
    profile = Profile({"sms": "1", "email": "a"}, uses=(use(HOUR),))
    settings = Settings({"marketing": "not_needed"})

    def judged(on_capped: str) -> object:
        policy = Policy((Cap(1, DAY, channel="sms"),), on_capped)  # type: ignore[arg-type]
        asked = Request("p", ("sms", "email"), "marketing", AT, policy=policy)
        return decide([asked], {"p": profile}, settings)[0]

    assert judged("next_channel") == Send(("email",), (("sms", "capped"),), (("sms", "capped"),))
    assert judged("skip") == Skip("capped", (("sms", "capped"),))
    assert judged("defer") == Defer(AT - HOUR + DAY, "capped")


def test_the_reason_is_that_of_the_first_listed_channel() -> None:
    profile = Profile({"email": "a"}, uses=(use(HOUR),))
    asked = Request("p", ("sms", "email"), "marketing", AT, policy=Policy((Cap(1, DAY),)))
    found = decide([asked], {"p": profile}, Settings({"marketing": "not_needed"}))[0]
    assert found == Skip("no_address", (("sms", "no_address"), ("email", "capped")))
