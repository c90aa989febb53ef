"""Whatever an adapter tells in these tests is among the events that the language knows."""

from __future__ import annotations

import pytest

from channels.inbound import Inbound
from engine.language.channel_events import CHANNEL_EVENTS as EVENTS


@pytest.fixture(autouse=True)
def told_by_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Inbound.__post_init__

    def known(inbound: Inbound) -> None:
        check(inbound)
        assert inbound.name in EVENTS, inbound.name
        assert set(inbound.properties) <= set(EVENTS[inbound.name]), inbound.name

    monkeypatch.setattr(Inbound, "__post_init__", known)
