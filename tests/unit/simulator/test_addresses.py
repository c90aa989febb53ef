"""A channel writes to the same identifier in scenarios and in production."""

from __future__ import annotations

import pytest

from engine.delivery.sight import address_for
from engine.language.installation import Installation
from engine.language.schema import CHANNELS
from engine.simulator.person import Person

KNOWN = {"email": "a@example.com", "phone": "+8613800000000", "wechat": "o-1", "wecom": "w", "alipay": "p"}


@pytest.mark.parametrize("channel", [each for each in CHANNELS if each != "webhook"])
def test_simulator_and_delivery_agree_on_a_channels_address(channel: str) -> None:
    person = Person("k")
    person.set(KNOWN)
    assert person.addresses.get(channel) == address_for(channel, "p1", KNOWN, Installation())


def test_a_mini_program_writes_to_the_wechat_open_id() -> None:
    assert address_for("miniprogram", "p1", KNOWN, Installation()) == "o-1"
