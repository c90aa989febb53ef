"""Building a channel's adapter from its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from channels import ConfigurationError
from channels.routing import Routing, Rule
from engine.core.limits import Quota
from engine.language.installation import ChannelSettings, RouteSettings
from workers.live import build_adapter

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

NOWHERE = cast("AsyncEngine", None)
SMTP = {"host": "127.0.0.1", "from": "hello@example.com"}


def test_a_channel_with_routes_has_an_adapter_for_each() -> None:
    routes = (
        RouteSettings("outbox", "outbox", share=70.0, regions=("CN",)),
        RouteSettings("second", "smtp", SMTP, cost=0.1, locales=("de",)),
    )
    adapter = build_adapter(NOWHERE, "email", ChannelSettings(routes=routes))
    assert isinstance(adapter, Routing)
    assert {name: route.adapter.name for name, route in adapter.routes.items()} == {
        "outbox": "outbox",
        "second": "smtp",
    }
    assert [route.rule for route in adapter.routes.values()] == [
        Rule((), ("CN",), 70.0, None),
        Rule(("de",), (), None, 0.1),
    ]


def test_the_mistakes_of_all_routes_are_told_together_with_their_places() -> None:
    routes = (RouteSettings("a", "smtp", {"hots": "x"}), RouteSettings("b", "twilio"))
    with pytest.raises(ConfigurationError) as caught:
        build_adapter(NOWHERE, "email", ChannelSettings(routes=routes))
    text = str(caught.value)
    assert "kairos.yaml: channels.email.routes.a.settings.hots" in text
    assert "kairos.yaml: channels.email.routes.b.adapter: 'twilio' serves sms, not email" in text


def test_a_quota_of_a_kind_that_the_provider_does_not_know_is_a_mistake() -> None:
    corp = {"corp_id": "ww1", "secret": "s"}
    for own in (
        ChannelSettings("wecom", settings=corp),
        ChannelSettings(routes=(RouteSettings("a", "wecom", corp), RouteSettings("b", "wecom", corp))),
    ):
        build_adapter(NOWHERE, "wecom", replace(own, quotas={"group_send": Quota(monthly=4)}))
        with pytest.raises(ConfigurationError) as caught:
            build_adapter(NOWHERE, "wecom", replace(own, quotas={"group_sends": Quota(monthly=4)}))
        assert str(caught.value) == (
            "kairos.yaml: channels.wecom.quotas.group_sends: no such kind (there are: group_send)"
        )


def test_in_development_quotas_wait_for_their_provider() -> None:
    own = ChannelSettings(quotas={"group_send": Quota(monthly=4)})
    assert build_adapter(NOWHERE, "wecom", own).name == "outbox"
