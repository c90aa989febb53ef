"""Who calls for webhook steps, and where they may reach."""

from __future__ import annotations

import pytest

from channels.errors import Rejected
from channels.testing.sink import FakeHttpSink
from engine.language.installation import ChannelSettings, Installation
from workers.webhooks import ALLOW_PRIVATE, VARIABLE, caller

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def installation(**settings: object) -> Installation:
    return Installation(
        channels={"webhook": ChannelSettings("webhook", settings={"secret": SECRET, **settings})}
    )


@pytest.mark.parametrize(
    ("found", "environ", "reaches"),
    [
        (Installation(), {VARIABLE: SECRET}, False),
        (Installation(), {VARIABLE: SECRET, ALLOW_PRIVATE: "1"}, True),
        (installation(), {}, False),
        (installation(allow_private=True), {}, True),
        (installation(), {ALLOW_PRIVATE: "1"}, True),
    ],
)
async def test_steps_reach_this_machine_only_if_it_is_allowed(
    found: Installation, environ: dict[str, str], reaches: bool
) -> None:
    async with FakeHttpSink() as sink:
        calls = caller(found, environ)
        if reaches:
            await calls.call(sink.url, "POST", {}, "k")
        else:
            with pytest.raises(Rejected, match="private network or this machine"):
                await calls.call(sink.url, "POST", {}, "k")
        await calls.close()
        assert sink.ledger.requests == int(reaches)
