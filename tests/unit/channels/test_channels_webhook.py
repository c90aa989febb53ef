"""Standard Webhooks: signatures, answers, and the fake that takes them."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from channels import Accepted, Message, Rejected, Throttled, Unavailable, Unknown, WebhookCaller, create
from channels.receipt import Reason
from channels.testing.sink import FakeHttpSink

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_plJ3nmyCDGBKInavdOK15jsl1plJ3nmyCDGB"
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "webhook_signatures.json").read_text())[
    "vectors"
]


def message(address: str, body: str, key: str = "k") -> Message:
    return Message(
        key=key,
        channel="webhook",
        address=address,
        parts={"json": body},
        template="t",
        at=datetime(2026, 11, 11, tzinfo=UTC),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["id"])
def test_signature_vectors(vector: dict[str, Any]) -> None:
    caller = WebhookCaller([vector["secret"]], clock=lambda: vector["timestamp"] + 0.9)
    assert caller.sign(vector["id"], vector["body"].encode()) == {
        "webhook-id": vector["id"],
        "webhook-timestamp": str(vector["timestamp"]),
        "webhook-signature": vector["signature"],
    }


async def test_receivers_verify_what_arrives_and_notice_a_change() -> None:
    caller = WebhookCaller([SECRET, OTHER])
    async with FakeHttpSink() as sink:
        await caller.call(sink.url, "POST", {"type": "欢迎", "n": 1}, "k-1")
        await caller.close()
    [call] = sink.calls
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(call.body, call.headers) == {"type": "欢迎", "n": 1}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(call.body + b" ", call.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(call.body, {**call.headers, "webhook-id": "k-2"})
    assert call.headers["content-type"] == "application/json"


async def test_every_attempt_has_the_same_id_and_its_own_time() -> None:
    now = [1_794_391_200.0]
    caller = WebhookCaller([SECRET], clock=lambda: now[0])
    async with FakeHttpSink() as sink:
        for _ in range(2):
            await caller.call(sink.url, "POST", b"{}", "k-1")
            now[0] += 30
        await caller.close()
    assert [c.headers["webhook-timestamp"] for c in sink.calls] == ["1794391200", "1794391230"]
    assert sink.ledger.as_json() == {
        "requests": 2,
        "taken": 2,
        "unique": 1,
        "repeats": 1,
        "refused": 0,
        "changed": 0,
        "ids": {"k-1": 2},
    }


async def test_without_a_secret_a_call_is_not_signed() -> None:
    caller = WebhookCaller()
    async with FakeHttpSink() as sink:
        await caller.call(sink.url, "DELETE", None, "k-1")
        await caller.close()
    [call] = sink.calls
    assert call.method == "DELETE"
    assert call.headers["webhook-id"] == "k-1"
    assert "webhook-signature" not in call.headers
    assert "content-type" not in call.headers


async def test_the_answer_is_kept_up_to_8_kb() -> None:
    caller = WebhookCaller([SECRET])
    async with FakeHttpSink() as sink:
        for size, kept in ((8 * 1024 - 8, True), (8 * 1024, False)):
            sink.behave("ok", times=1, answer={"a": "x" * (size - 1)})
            answer = await caller.call(sink.url, "POST", {}, "k")
            assert answer.status == 200
            assert (answer.json is not None) is kept
        await caller.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/throttle?retry_after=3", Throttled),
        ("/fail?status=500", Unavailable),
        ("/fail?status=408", Unavailable),
        ("/fail?status=425", Unavailable),
        ("/fail?status=404", Rejected),
        ("/fail?status=302", Rejected),
        ("/hang", Unknown),
        ("/drop", Unknown),
    ],
)
async def test_how_a_call_can_fail(path: str, kind: type[Exception]) -> None:
    caller = WebhookCaller([SECRET])
    async with FakeHttpSink() as sink:
        with pytest.raises(kind):
            await caller.call(sink.url + path, "POST", {}, "k", timeout=0.3)
        await caller.close()


async def test_settings_may_fix_the_url_and_add_headers() -> None:
    async with FakeHttpSink() as sink:
        settings = {
            "url": sink.url + "/all",
            "secret": "${S}",
            "method": "PUT",
            "headers": {"authorization": "Bearer t", "webhook-id": "forged"},
        }
        async with create("webhook", "push", settings, environ={"S": SECRET}) as adapter:
            sink.behave("ok", times=1, answer={"id": "p-7"})
            [outcome] = await adapter.send([message("", '{"a": 1}')])
    assert outcome == Accepted("p-7", 'HTTP 200 {"id": "p-7"}')
    [call] = sink.calls
    assert (call.method, call.path, call.id) == ("PUT", "/all", "k")
    assert call.headers["authorization"] == "Bearer t"


async def test_a_part_that_is_no_json_is_rejected_and_not_sent() -> None:
    async with (
        FakeHttpSink() as sink,
        create("webhook", "webhook", {"secret": SECRET, "allow_private": True}) as adapter,
    ):
        outcomes = await adapter.send([message(sink.url, "{"), message(sink.url, "{}", "k2")])
    assert isinstance(outcomes[0], Rejected)
    assert outcomes[0].reason is Reason.CONTENT
    assert list(sink.ledger.ids) == ["k2"]


# --- the sink ----------------------------------------------------------------------------------------------


async def test_the_sink_counts_what_it_took_by_id() -> None:
    async with FakeHttpSink() as sink, httpx.AsyncClient() as client:

        async def post(path: str, id: str, content: bytes = b"{}") -> int:
            answer = await client.post(sink.url + path, headers={"webhook-id": id}, content=content)
            return answer.status_code

        assert await post("/fail?times=2", "a") == 500
        assert await post("/fail?times=2", "a") == 500
        assert await post("/fail?times=2", "b") == 500
        assert await post("/fail?times=2", "a") == 200
        assert await post("/x", "a") == 200
        assert await post("/x", "a", b"{...}") == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await post("/drop", "c")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await post("/drop_unread", "d")
        assert sink.ledger.as_json() == {
            "requests": 8,
            "taken": 4,
            "unique": 2,
            "repeats": 2,
            "refused": 4,
            "changed": 1,
            "ids": {"a": 3, "c": 1},
        }


async def test_the_sink_can_be_steered_from_outside() -> None:
    async with FakeHttpSink() as sink, httpx.AsyncClient(base_url=sink.url) as client:
        await client.post("/behave", json={"kind": "throttle", "times": 1, "retry_after": "4"})
        answer = await client.post("/x", content=b"{}")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "4")
        assert (await client.post("/x", content=b"{}")).status_code == 200
        assert (await client.post("/behave", json={"kind": "explode"})).status_code == 400
        assert (await client.get("/ledger?ids=0")).json()["requests"] == 2
        await client.post("/reset")
        assert (await client.get("/ledger")).json()["requests"] == 0


async def test_the_sink_comes_back_on_its_port() -> None:
    async with FakeHttpSink() as sink:
        url = sink.url
        await sink.stop()
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url + "/ledger")
            await sink.start()
            assert (await client.get(url + "/ledger")).status_code == 200


async def test_the_sink_runs_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "channels.testing.sink", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        url = json.loads(await process.stdout.readline())["url"]
        async with httpx.AsyncClient() as client:
            await client.post(url + "/hook", headers={"webhook-id": "1"}, content=b"{}")
            assert (await client.get(url + "/ledger")).json()["ids"] == {"1": 1}
        process.terminate()
        assert await process.wait() == 0


def several(*keys: str, address: str = "http://127.0.0.1:1/") -> list[Message]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Message(
            key=key,
            channel="webhook",
            address=address,
            parts={"json": json.dumps({"n": key})},
            template="t",
            at=at,
        )
        for key in keys
    ]


async def test_messages_for_one_url_go_together_signed_once_and_answered_one_by_one() -> None:
    async with FakeHttpSink() as sink:
        settings = {"url": sink.url, "secret": SECRET, "batch": 10}
        answer = [{"key": "c", "status": 422}, {"key": "a", "id": "m-1"}, {"key": "d", "status": 503}, "?"]
        sink.behave("ok", times=1, answer=answer)
        async with create("webhook", "webhook", settings) as adapter:
            outcomes = await adapter.send(several("a", "b", "c", "d"))
        [call] = sink.calls
        assert Webhook(SECRET).verify(call.body, call.headers) == [
            {"key": key, "data": {"n": key}} for key in "abcd"
        ]
        assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, Rejected, Unavailable]
        assert isinstance(outcomes[0], Accepted)
        assert outcomes[0].provider_id == "m-1"


async def test_an_answer_that_is_no_list_speaks_of_the_whole_batch() -> None:
    async with FakeHttpSink() as sink:
        async with create("webhook", "webhook", {"url": sink.url, "secret": SECRET, "batch": 2}) as adapter:
            outcomes = await adapter.send(several("a", "b", "c"))
            sink.behave("throttle", times=1, retry_after="3")
            later = await adapter.send(several("d", "e"))
        assert [type(outcome) for outcome in (*outcomes, *later)] == [Accepted] * 3 + [Throttled] * 2
        assert len({call.id for call in sink.calls}) == 3


async def test_a_message_that_is_no_json_keeps_nobody_else_of_its_batch() -> None:
    async with FakeHttpSink() as sink:
        good, bad = several("a", "b")
        bad = replace(bad, parts={"json": "{"})
        async with create("webhook", "webhook", {"url": sink.url, "secret": SECRET, "batch": 9}) as adapter:
            outcomes = await adapter.send([bad, good])
        assert [type(outcome) for outcome in outcomes] == [Rejected, Accepted]


async def test_an_address_of_a_profile_is_of_the_internet_unless_private_ones_are_allowed() -> None:
    async with FakeHttpSink() as sink:
        for allowed, kind in ((False, Rejected), (True, Accepted)):
            settings = {"secret": SECRET, "allow_private": allowed}
            async with create("webhook", "webhook", settings) as adapter:
                [outcome] = await adapter.send(several("a", address=sink.url))
            assert type(outcome) is kind
        assert sink.ledger.requests == 1
