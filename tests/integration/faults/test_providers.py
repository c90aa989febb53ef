"""Providers in trouble: throttling, errors, silence, and connections that break once the message is taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from channels.testing.sink import FakeHttpSink
from channels.testing.smtp_server import FakeSmtpServer
from engine.store import deliveries
from engine.store.deliveries import Delivery
from tests.integration.faults.trial import assert_one_row_a_step
from tests.integration.harness import Kairos, kairos

TROUBLE = {
    "wechat": "/throttle?times=2&retry_after=1",
    "wecom": "/fail?times=1",
    "alipay": "/hang?times=1",
    "webhook": "/drop?times=1",
}
"""Channel to what the sink does to the first calls of each message."""

JOURNEYS = {
    f"journeys/by-{channel}.yaml": f"""journey: by-{channel}
category: transactional
trigger: {{event: order.placed}}
steps:
  - {{id: note, message: {{template: note, channels: [{channel}]}}}}
  - {{id: after, update: {{add_tags: [told]}}}}
"""
    for channel in TROUBLE
}
CATALOGUE = "events:\n  order.placed: {properties: {order_id: text}}\ntags: [told]\n"


def by_http(sink_url: str) -> dict[str, str]:
    channels = "".join(
        f"  {channel}: {{adapter: webhook, settings: "
        f'{{url: "{sink_url}{path}", secret: "${{SINK_SECRET}}", timeout: 1}}}}\n'
        for channel, path in TROUBLE.items()
    )
    templates = {f"templates/note/{channel}.json.j2": '{"order": 1}\n' for channel in TROUBLE}
    return {
        "kairos.yaml": f"version: 1\nchannels:\n{channels}",
        "journeys/catalog.yaml": CATALOGUE,
        **JOURNEYS,
        **templates,
    }


def placed(user: str, **traits: Any) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    return [
        {"type": "identify", "userId": user, "messageId": f"id-{user}", "timestamp": now, "traits": traits},
        {
            "type": "track",
            "userId": user,
            "event": "order.placed",
            "messageId": f"placed-{user}",
            "timestamp": now,
            "properties": {"order_id": user},
        },
    ]


async def rows(running: Kairos) -> dict[str, Delivery]:
    """Journey to its only delivery."""
    enrolments = {e.id: e.journey for e in await running.enrolments()}
    async with running.database.connect() as connection:
        found = await deliveries.of_enrolments(connection, enrolments)
    return {enrolments[id]: delivery for id, [delivery] in found.items()}


async def test_throttling_errors_silence_and_lost_answers_end_in_one_message(
    database_url: str, temporal_address: str
) -> None:
    async with FakeHttpSink() as sink:
        files = by_http(sink.url)
        async with kairos(database_url, temporal_address, files=files) as running:
            await running.send(*placed("c1", wechat="w1", wecom="w2", alipay="a1"))
            ended = await running.ended(len(TROUBLE))
            assert {e.exit for e in ended} == {"completed"}
            found = await rows(running)
            assert {name: row.state for name, row in found.items()} == {
                f"by-{channel}": "accepted" for channel in TROUBLE
            }
            assert {name: row.attempts for name, row in found.items()} == {
                "by-wechat": 3,
                "by-wecom": 2,
                "by-alipay": 2,
                "by-webhook": 2,
            }
            await assert_one_row_a_step(running.database)
        # Two calls may have gone through before: they were made again with the same id, and nothing else.
        assert len(sink.ledger.ids) == len(TROUBLE)
        assert (sink.ledger.repeats, sink.ledger.changed) == (2, 0)
        told = [call.headers["webhook-timestamp"] for call in sink.calls if call.path.startswith("/throttle")]
        assert int(told[1]) - int(told[0]) >= 1, "Retry-After was not kept"


def by_mail(port: int, on_unknown: str) -> dict[str, str]:
    return {
        "kairos.yaml": f"""version: 1
brand: {{name: Tea, address: "1 Lake Road"}}
channels:
  email:
    adapter: smtp
    on_unknown: {on_unknown}
    settings: {{host: 127.0.0.1, port: {port}, tls: none, from: hello@example.com, timeout: 2}}
""",
        "journeys/catalog.yaml": CATALOGUE,
        "journeys/mail.yaml": """journey: mail
category: transactional
trigger: {event: order.placed}
steps:
  - {id: note, message: {template: note, channels: [email, sms]}}
  - {id: after, update: {add_tags: [told]}}
""",
        "templates/note/email.subject.j2": "Your order\n",
        "templates/note/email.text.j2": "Thank you\n",
        "templates/note/sms.text.j2": "Thank you\n",
    }


@pytest.mark.parametrize(
    ("trouble", "on_unknown", "state", "mails"),
    [("drop", "assume_sent", "unknown", 1), ("hang", "retry", "accepted", 2)],
)
async def test_an_unknown_outcome_is_settled_as_the_channel_says(
    trouble: str, on_unknown: str, state: str, mails: int, database_url: str, temporal_address: str
) -> None:
    """The server had read the whole mail when it went silent: whether it was sent, nobody knows."""
    async with FakeSmtpServer() as server:
        server.behave("message", trouble)
        files = by_mail(server.port, on_unknown)
        async with kairos(database_url, temporal_address, files=files) as running:
            await running.send(*placed("c1", email="c1@example.com", phone="+8613800000001"))
            [enrolment] = await running.ended(1)
            [row] = (await rows(running)).values()
            trace = await running.trace(enrolment.id)
            outbox = await running.outbox()
            await assert_one_row_a_step(running.database)
    assert enrolment.exit == "completed"
    assert (row.state, row.channel) == (state, "email")
    assert len(server.mails) == mails
    assert outbox == [], "after an unknown outcome no other channel may be tried"
    assert ("unknown" if on_unknown == "assume_sent" else "sent", "note") in [line[:2] for line in trace]
