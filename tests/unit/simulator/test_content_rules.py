"""By which rules messages go out: those of the providers that the installation names."""

from __future__ import annotations

from engine.language.installation import ChannelSettings, Installation, RouteSettings
from engine.simulator.content_rules import rules_of

ABROAD = RouteSettings("twilio", "twilio")
MAINLAND = RouteSettings("cn", "aliyun_sms", {"sign_name": "Tea", "templates": {"SMS_1": "Hi {name}"}})


def test_a_channel_with_routes_goes_by_the_rules_of_each_of_its_providers() -> None:
    settings = ChannelSettings(routes=(ABROAD, MAINLAND))
    abroad, mainland = rules_of(Installation(channels={"sms": settings}), "sms")
    assert (abroad.adapter, abroad.mainland, abroad.real) == ("twilio", False, True)
    assert (mainland.adapter, mainland.mainland, mainland.signature) == ("aliyun_sms", True, "【Tea】")
    assert mainland.approved == ("Hi {name}",)


def test_without_an_entry_it_goes_by_those_of_the_outbox() -> None:
    [rules] = rules_of(Installation(), "sms")
    assert not rules.real
