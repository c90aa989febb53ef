"""By which rules messages go out: those of the providers that the installation names."""

from __future__ import annotations

from engine.language.installation import ChannelSettings, Installation, RouteSettings
from engine.simulator.content_rules import rules_of

ABROAD = RouteSettings("twilio", "twilio")
MAINLAND = RouteSettings("cn", "aliyun_sms", {"sign_name": "Tea", "templates": {"SMS_1": "Hi {name}"}})


def test_a_channel_with_routes_goes_by_the_rules_of_its_mainland_provider() -> None:
    rules = rules_of(Installation(channels={"sms": ChannelSettings(routes=(ABROAD, MAINLAND))}), "sms")
    assert (rules.adapter, rules.mainland, rules.signature) == ("aliyun_sms", True, "【Tea】")
    assert rules.approved == ("Hi {name}",)


def test_without_one_it_goes_by_those_of_its_first() -> None:
    rules = rules_of(Installation(channels={"sms": ChannelSettings(routes=(ABROAD,))}), "sms")
    assert (rules.adapter, rules.mainland, rules.real) == ("twilio", False, True)
