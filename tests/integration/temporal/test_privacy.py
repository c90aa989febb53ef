"""What Temporal and the logs keep of a customer: nothing that tells who it is; what operators see there."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.client import WorkflowHandle

from channels.testing.sink import FakeHttpSink
from engine.core.identity import customer_token, profile_key
from tests.integration.harness import Kairos, kairos

START = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
TELLING = {
    "user": "Zaphod-4711",
    "name": "Wilhelmine Sonderbar",
    "phone": "+4930556677",
    "email": "wilhelmine@sonderbar.example",
    "push": "telling-push-token",
    "note": "allergic to walnuts",
    "secret": "granted-to-wilhelmine",
}
CATALOGUE = """
events:
  cart.updated: {properties: {total: number, note: {type: text, personal: true}}}
  order.paid: {properties: {note: text}}
profile:
  first_name: {type: text, personal: true}
  memo: {type: text, personal: true}
tags: [seen]
"""
JOURNEY = """
journey: telling
trigger: {event: cart.updated, where: exists(event.note)}
goal: {event: order.paid, where: event.note != trigger.note, within: 3d}
exit_when: [{where: profile.memo == "nobody"}]
steps:
  - {id: call, webhook: {url: "URL", body: {note: trigger.note, name: profile.first_name}, save_as: reply}}
  - {id: remember, update: {set: {memo: "trigger.note"}, add_tags: [seen]}}
  - id: who
    branch:
      - {where: profile.first_name == "Wilhelmine Sonderbar", steps: []}
  - {id: test, split: {variants: [{name: one, weight: 50, steps: []}, {name: two, weight: 50, steps: []}]}}
  - {id: greet, message: {template: hello, channels: [push, sms, email]}}
  - {id: morning, wait: {until: "10:00"}}
  - {id: pass-on, enter: {journey: other, with: {note: trigger.note}}}
  - id: look
    wait: {for_event: cart.updated, where: event.note == trigger.note, up_to: 1d}
  - {id: last, message: {template: hello, channels: [sms]}}
"""
OTHER = """
journey: other
trigger: {manual: {note: text}}
steps:
  - {id: hello, message: {template: hello, channels: [email]}}
"""
TEXT = "{{ profile.first_name }} {{ trigger.note }}"


def files(url: str) -> dict[str, str]:
    return {
        "kairos.yaml": "version: 1\n",
        "journeys/catalog.yaml": CATALOGUE,
        "journeys/telling.yaml": JOURNEY.replace("URL", url),
        "journeys/other.yaml": OTHER,
        **{
            f"templates/hello/{part}.j2": TEXT
            for part in ("push.title", "push.body", "sms.text", "email.subject", "email.text")
        },
    }


MESSAGES: list[dict[str, Any]] = [
    {
        "type": "identify",
        "userId": TELLING["user"],
        "messageId": "i1",
        "timestamp": START.isoformat(),
        "traits": {
            "first_name": TELLING["name"],
            "phone": TELLING["phone"],
            "email": TELLING["email"],
            "push": TELLING["push"],
            "consents": ["sms", "email"],
        },
    },
    *(
        {
            "type": "track",
            "userId": TELLING["user"],
            "event": "cart.updated",
            "properties": {"total": 12, "note": TELLING["note"]},
            "messageId": message_id,
            "timestamp": (START + after).isoformat(),
        }
        for message_id, after in (("e1", timedelta(minutes=1)), ("e2", timedelta(minutes=2)))
    ),
]


async def everything(handle: WorkflowHandle[Any, Any]) -> str:
    """All that Temporal keeps of one workflow, payloads decoded, as one text."""
    history = await handle.fetch_history()
    description = await handle.describe()
    texts = [history.to_json(), MessageToJson(description.raw_description)]
    for event in history.events:
        texts.append(event.SerializeToString().decode("utf-8", errors="replace"))
    return "\n".join(texts)


async def run(running: Kairos, url: str) -> list[WorkflowHandle[Any, Any]]:
    await running.apply(files(url))
    await running.send(*MESSAGES)
    found = await running.ended(2)
    assert {one.exit for one in found} == {"completed"}
    kept = await running.outbox()
    assert any(TELLING["name"] in message.parts["text"] for message in kept if message.channel == "sms")
    return [running.client.get_workflow_handle(one.workflow_id or "") for one in found]


async def test_nothing_personal_is_in_histories_ids_attributes_or_logs(
    database_url: str, temporal_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        FakeHttpSink() as sink,
        kairos(database_url, temporal_address, start=START, speed=20_000, grace=2) as running,
    ):
        sink.behave("ok", answer={"secret": TELLING["secret"]})
        handles = await run(running, f"{sink.url}/fail?times=1")
        kept = "\n".join([await everything(handle) for handle in handles])
    assert "telling" in kept, "the export holds no histories"
    words = [text for value in TELLING.values() for text in (value, *value.split())]
    assert not [word for word in words if len(word) > 4 and word in kept]
    assert not [word for word in words if len(word) > 4 and word in caplog.text]


async def test_payloads_are_unreadable_with_a_key(
    database_url: str, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAIROS_PAYLOAD_KEY", base64.b64encode(b"x" * 32).decode())
    monkeypatch.setenv("KAIROS_PAYLOAD_KEY_ID", "2026-11")
    async with (
        FakeHttpSink() as sink,
        kairos(database_url, temporal_address, start=START, speed=20_000, grace=2) as running,
    ):
        handles = await run(running, sink.url)
        encodings = set()
        for handle in handles:
            for payload in payloads(json.loads((await handle.fetch_history()).to_json())):
                encodings.add(base64.b64decode(payload["metadata"]["encoding"]))
                assert base64.b64decode(payload["metadata"]["encryption-key-id"]) == b"2026-11"
                data = base64.b64decode(payload["data"])
                assert not [word for word in (b"cart", b"greet", b"telling", b"entered_at") if word in data]
    assert encodings == {b"binary/encrypted"}


def payloads(value: Any, path: str = "") -> list[dict[str, Any]]:
    """Every payload of an exported history that is ours.

    Search attributes must be readable to Temporal; the SDK's own notes on a local activity hold its name,
    its number and times.
    """
    if path == "searchAttributes":
        return []
    if path == "markerRecordedEventAttributes":
        value = value["details"].get("result", {})
    if isinstance(value, dict):
        if "metadata" in value and "data" in value:
            return [value]
        return [found for key, item in value.items() for found in payloads(item, key)]
    if isinstance(value, list):
        return [found for item in value for found in payloads(item, path)]
    return []


async def test_operators_find_a_customer_and_read_what_each_step_does(
    database_url: str, temporal_address: str
) -> None:
    async with (
        FakeHttpSink() as sink,
        kairos(database_url, temporal_address, start=START, speed=20_000, grace=2) as running,
    ):
        handles = await run(running, sink.url)
        token = customer_token(profile_key("external_id", TELLING["user"]))
        query = f"KairosJourney = 'telling' AND KairosCustomer = '{token}'"
        found = [one async for one in running.client.list_workflows(query)]
        [mine] = [handle.id for handle in handles if "telling" in handle.id]
        assert mine in [one.id for one in found]
        [digest] = [one.digest for one in await running.enrolments("telling")]
        description = await running.client.get_workflow_handle(mine).describe()
        attributes = {pair.key.name: pair.value for pair in description.typed_search_attributes}
        kairos_ones = {name: value for name, value in attributes.items() if name.startswith("Kairos")}
        assert kairos_ones == {
            "KairosJourney": "telling",
            "KairosVersion": digest[:12],
            "KairosCustomer": token,
        }
        history = await running.client.get_workflow_handle(mine).fetch_history()
        assert not any(
            e.HasField("upsert_workflow_search_attributes_event_attributes") for e in history.events
        ), "search attributes are set at start only"
        said = [
            json.loads(e.user_metadata.summary.data)
            for e in history.events
            if e.user_metadata.summary.data and e.HasField("activity_task_scheduled_event_attributes")
        ]
    assert "send hello by push" in said
    assert "send hello by sms" in said
    assert "enter other" in said
    assert "call the webhook of `call`" in said
