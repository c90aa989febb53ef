"""One verdict per message, with a reason for every channel that is closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.core.plan import Category
from engine.policy import Closed, Defer, Finding, Profile, Request, Send, Settings, Skip, decide

AT = datetime(2026, 3, 1, tzinfo=UTC)
BOTH = {"sms": "+86138", "email": "a@example.com"}
YES = {("sms", "marketing"): True, ("email", "marketing"): True}


def request(*channels: str, category: Category = "marketing", holdout: bool = False) -> Request:
    return Request("p", channels or ("sms", "email"), category, AT, holdout)


def verdict(asked: Request, profile: Profile, settings: Settings | None = None) -> object:
    return decide([asked], {"p": profile}, settings or Settings())[0]


def test_open_channels_stay_in_the_authors_order() -> None:
    assert verdict(request("email", "sms"), Profile(BOTH, YES)) == Send(("email", "sms"))


def test_channels_before_the_first_open_one_are_passed_over_and_all_closed_ones_known() -> None:
    profile = Profile(BOTH, YES, frozenset({"sms"}))
    assert verdict(request("push", "email", "sms"), profile) == Send(
        ("email",), (("push", "no_address"),), (("push", "no_address"), ("sms", "blocked"))
    )


def test_a_skip_has_the_reason_of_the_first_listed_channel() -> None:
    profile = Profile({"sms": "+86138"})
    assert verdict(request("email", "sms"), profile) == Skip(
        "no_address", (("email", "no_address"), ("sms", "no_consent"))
    )
    assert verdict(request("sms", "email"), profile) == Skip(
        "no_consent", (("sms", "no_consent"), ("email", "no_address"))
    )


def test_holdout_is_the_reason_whatever_else_is_wrong() -> None:
    asked = request("sms", holdout=True)
    assert verdict(asked, Profile()) == Skip("holdout", (("sms", "holdout"),))


@pytest.mark.parametrize(
    ("rule", "word", "sends"),
    [
        ("opt_in", None, False),
        ("opt_in", True, True),
        ("opt_in", False, False),
        ("opt_out", None, True),
        ("opt_out", False, False),
        ("not_needed", None, True),
        ("not_needed", False, False),
    ],
)
def test_what_no_record_and_a_withdrawal_mean(rule: str, word: bool | None, sends: bool) -> None:
    consents = {} if word is None else {("sms", "marketing"): word}
    settings = Settings({"marketing": rule})  # type: ignore[dict-item]
    found = verdict(request("sms"), Profile({"sms": "1"}, consents), settings)
    assert found == (Send(("sms",)) if sends else Skip("no_consent", (("sms", "no_consent"),)))


def test_marketing_consent_says_nothing_about_transactional_messages() -> None:
    profile = Profile({"sms": "1"}, {("sms", "marketing"): False})
    assert verdict(request("sms", category="transactional"), profile) == Send(("sms",))


def test_an_unknown_profile_is_reached_by_nothing() -> None:
    asked = Request("stranger", ("sms",), "marketing", AT)
    assert decide([asked], {}, Settings()) == [Skip("no_address", (("sms", "no_address"),))]


def test_a_message_is_deferred_only_if_no_channel_is_open_and_to_the_earliest_moment() -> None:
    later = {"sms": timedelta(hours=2), "email": timedelta(hours=1)}

    def quiet(asked: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
        if channel not in later:
            return Closed("no_address") if channel == "push" else None
        return Defer(asked.at + later[channel], "quiet_hours")

    asked = [request("push", "sms", "email"), request("sms", "wechat")]
    assert decide(asked, {}, Settings(), [quiet]) == [
        Defer(AT + timedelta(hours=1), "quiet_hours", (("push", "no_address"),)),
        Send(("wechat",)),
    ]


def test_verdicts_come_in_the_order_of_the_requests() -> None:
    people = {"a": Profile({"sms": "1"}, {("sms", "marketing"): True}), "b": Profile()}
    asked = [Request(name, ("sms",), "marketing", AT) for name in ("b", "a", "b")]
    assert [found.kind for found in decide(asked, people, Settings())] == ["skip", "send", "skip"]


def test_a_profiles_repr_shows_no_address() -> None:
    assert "example.com" not in repr(Profile(BOTH))


@pytest.mark.parametrize(
    ("general", "own", "sends"),
    [(True, None, True), (True, False, False), (None, True, True), (False, True, True), (None, None, False)],
)
def test_a_message_with_a_purpose_goes_by_the_word_that_speaks_for_it(
    general: bool | None, own: bool | None, sends: bool
) -> None:
    said = {} if general is None else {("sms", "marketing"): general}
    narrow = {} if own is None else {("sms", "marketing", "newsletter"): own}
    asked = Request("p", ("sms",), "marketing", AT, purpose="newsletter")
    assert isinstance(verdict(asked, Profile(BOTH, said, purposes=narrow)), Send) is sends
    other = Request("p", ("sms",), "marketing", AT, purpose="offers")
    assert isinstance(verdict(other, Profile(BOTH, said, purposes=narrow)), Send) is (general is True)
