"""Whatever an adapter tells in these tests is among the events that the language knows."""

from __future__ import annotations

import pytest

from channels.events import EVENTS
from channels.inbound import Inbound


@pytest.fixture(autouse=True)
def told_by_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Inbound.__post_init__

    def known(inbound: Inbound) -> None:
        check(inbound)
        assert inbound.name in EVENTS, inbound.name
        assert set(inbound.properties) <= set(EVENTS[inbound.name]), inbound.name

    monkeypatch.setattr(Inbound, "__post_init__", known)
