"""`resend`: what is in a mail, keys, batches, codes, signed callbacks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels import (
    Accepted,
    Adapter,
    Brand,
    DeliveryState,
    Forged,
    Message,
    Outcome,
    Reason,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    create,
)
from channels.message import Attachment
from channels.resend import CODES
from channels.testing.api import said
from channels.testing.resend import FakeResend
from tests.unit.channels.calls import NOW, call, message

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "webhook_signatures.json").read_text())[
    "vectors"
]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EMAIL_ID = "56761188-7520-42d8-8898-ff6fc54ce618"


def mail(n: int = 0, **changes: Any) -> Message:
    values = {
        "channel": "email",
        "address": f"mei{n}@example.net",
        "parts": {"subject": "茶", "text": "It is ready.", "html": "<p>It is ready.</p>"},
        "brand": Brand(name="Nanxun Tea"),
    }
    return message(n, **{**values, **changes})


@asynccontextmanager
async def resend(**settings: Any) -> AsyncIterator[tuple[FakeResend, Adapter]]:
    async with FakeResend("re_key", ["example.com"], SECRET) as fake:
        given = {
            "api_key": "re_key",
            "from": "hello@example.com",
            "webhook_secret": SECRET,
            "endpoint": fake.url,
            "timeout": 0.5,
            **settings,
        }
        given = {name: value for name, value in given.items() if value is not None}
        async with create("resend", "email", given) as adapter:
            yield fake, adapter


async def test_what_is_in_a_mail() -> None:
    async with resend(reply_to="care@example.com") as (fake, adapter):
        url = "https://tea.example/u/1"
        [outcome] = await adapter.send([mail(unsubscribe_url=url, headers={"List-Id": "tea"})])
        [sent] = fake.messages
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id == sent.id
    assert sent.extra == {
        "from": "Nanxun Tea <hello@example.com>",
        "to": ["mei0@example.net"],
        "subject": "茶",
        "text": "It is ready.",
        "html": "<p>It is ready.</p>",
        "reply_to": "care@example.com",
        "headers": {
            "List-Id": "tea",
            "List-Unsubscribe": f"<{url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Tea, Ltd.", '"Tea, Ltd." <hello@example.com>'), ('A "B"', '"A \\"B\\"" <hello@example.com>')],
)
async def test_a_sender_s_name_with_marks_is_quoted(name: str, shown: str) -> None:
    async with resend() as (fake, adapter):
        await adapter.send([mail(brand=Brand(name=name))])
        assert fake.messages[0].extra["from"] == shown


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": {"subject": "x"}},
        {"parts": {"text": "x"}},
        {"parts": {"subject": "a\nBcc: b@example.net", "text": "x"}},
        {"headers": {"X-A": "a\r\nb"}},
        {"brand": Brand(name="a\nb")},
    ],
)
@pytest.mark.parametrize("batch", [1, 10])
async def test_what_is_no_mail_is_not_sent(changes: dict[str, Any], batch: int) -> None:
    async with resend(batch=batch) as (fake, adapter):
        [outcome] = await adapter.send([mail(**changes)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CONTENT
        assert not fake.calls


async def test_a_lost_answer_is_repeated_under_the_same_key_and_one_mail_goes_out() -> None:
    async with resend() as (fake, adapter):
        fake.trouble("drop")
        [first] = await adapter.send([mail()])
        [second] = await adapter.send([mail()])
        assert isinstance(first, Unknown)
        assert isinstance(second, Accepted)
        assert [m.id for m in fake.messages] == [second.provider_id]


async def test_a_repeat_whose_content_has_changed_since_counts_as_the_first_one() -> None:
    async with resend() as (fake, adapter):
        fake.trouble("drop")
        await adapter.send([mail()])
        [outcome] = await adapter.send([mail(parts={"subject": "new", "text": "words"})])
        assert isinstance(outcome, Accepted)
        assert len(fake.messages) == 1


async def test_batches_have_an_outcome_for_each_mail_and_are_no_longer_idempotent() -> None:
    async with resend(batch=3) as (fake, adapter):
        assert not adapter.capabilities.idempotent
        bad = mail(1, address="blocked@example.net")
        worse = mail(4, address="nowhere")
        outcomes = await adapter.send([mail(0), bad, mail(2), mail(3), worse, mail(5)])
        assert [type(o) for o in outcomes] == [Accepted, Rejected, Accepted, Accepted, Rejected, Accepted]
        by_id = {m.id: m.address for m in fake.messages}
        found = [by_id[o.provider_id] for o in outcomes if isinstance(o, Accepted) and o.provider_id]
        assert found == [f"mei{n}@example.net" for n in (0, 2, 3, 5)]
        assert len(fake.calls) == 2
    async with resend() as (_, adapter):
        assert adapter.capabilities.idempotent


async def test_a_lost_batch_is_unknown_for_all_in_it() -> None:
    async with resend(batch=3, connections=1) as (fake, adapter):
        fake.trouble("drop")
        outcomes = await adapter.send([mail(n) for n in range(4)])
        assert [type(o) for o in outcomes] == [Unknown] * 3 + [Accepted]


async def test_the_day_s_quota() -> None:
    async with resend(connections=1) as (fake, adapter):
        fake.quota = 1
        outcomes = await adapter.send([mail(0), mail(1)])
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].reason is Reason.QUOTA


@pytest.mark.parametrize("wrong", [{"api_key": "re_other"}, {"from": "hello@elsewhere.example"}])
async def test_a_wrong_key_or_domain_is_the_operator_s(wrong: dict[str, str]) -> None:
    async with resend(**wrong) as (fake, adapter):
        [outcome] = await adapter.send([mail()])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CREDENTIALS
        assert not fake.messages


ANSWERS: list[tuple[int, Any, Outcome]] = [
    (422, {"name": "validation_error"}, Rejected(Reason.CONTENT)),
    (403, {"name": "validation_error"}, Rejected(Reason.CREDENTIALS)),
    (409, {"name": "concurrent_idempotent_requests"}, Unknown()),
    (409, {"name": "something_new"}, Unknown()),
    (429, {"name": "rate_limit_exceeded"}, Throttled()),
    (500, {"name": "internal_server_error"}, Unavailable()),
    (502, "<html>", Unavailable()),
    (200, "<html>", Unknown()),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
@pytest.mark.parametrize("batch", [1, 10])
async def test_what_an_answer_means(status: int, document: Any, expected: Outcome, batch: int) -> None:
    async with resend(batch=batch) as (fake, adapter):
        fake.serve = lambda request: said(status, document)  # type: ignore[method-assign]
        [outcome] = await adapter.send([mail()])
    assert type(outcome) is type(expected)
    assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "created_at": "2026-11-11T10:00:00.000Z", "data": {"email_id": EMAIL_ID, **data}}


RECEIPTS = [
    (event("email.delivered"), DeliveryState.DELIVERED, None, False),
    (event("email.delivery_delayed"), DeliveryState.DEFERRED, None, False),
    (
        event("email.bounced", bounce={"type": "Permanent", "subType": "General"}),
        DeliveryState.BOUNCED,
        Reason.ADDRESS_UNKNOWN,
        True,
    ),
    (
        event("email.bounced", bounce={"type": "Transient", "subType": "MailboxFull"}),
        DeliveryState.BOUNCED,
        Reason.MAILBOX_FULL,
        False,
    ),
    (
        event("email.bounced", bounce={"type": "Transient", "subType": "General"}),
        DeliveryState.BOUNCED,
        Reason.BLOCKED,
        False,
    ),
    (event("email.complained"), DeliveryState.COMPLAINED, None, False),
    (event("email.opened"), DeliveryState.OPENED, None, False),
    (event("email.failed", failed={"reason": "x"}), DeliveryState.FAILED, Reason.OTHER, False),
    (event("email.suppressed"), DeliveryState.FAILED, Reason.BLOCKED, False),
]


@pytest.mark.parametrize(("told", "state", "reason", "permanent"), RECEIPTS)
async def test_receipts(told: Any, state: DeliveryState, reason: Reason | None, permanent: bool) -> None:
    async with resend() as (fake, adapter):
        headers, body = fake.signed(told, NOW)
        [receipt] = (await adapter.hear(call(body, headers=headers))).receipts
    assert (receipt.provider_id, receipt.at) == (EMAIL_ID, NOW)
    assert (receipt.state, receipt.reason, receipt.permanent) == (state, reason, permanent)


async def test_a_click_names_its_link_and_its_own_instant() -> None:
    click = {"link": "https://tea.example/cart", "timestamp": "2026-11-11T09:59:00.000Z"}
    async with resend() as (fake, adapter):
        headers, body = fake.signed(event("email.clicked", click=click), NOW)
        [receipt] = (await adapter.hear(call(body, headers=headers))).receipts
    assert receipt.link == "https://tea.example/cart"
    assert receipt.at == NOW - timedelta(minutes=1)


async def test_a_reply_is_an_event_of_the_person() -> None:
    told = event("email.received", **{"from": "Mei <mei@example.net>", "subject": "Re: 茶"})
    async with resend() as (fake, adapter):
        headers, body = fake.signed(told, NOW, id="msg_7")
        [reply] = (await adapter.hear(call(body, headers=headers))).inbound
    assert (reply.name, reply.message_id, reply.opt_out) == ("email.replied", "resend:msg_7", False)
    assert reply.identities == (("email", "mei@example.net"),)
    assert reply.properties == {"subject": "Re: 茶"}


@pytest.mark.parametrize(
    "told",
    [
        event("email.sent"),
        event("domain.created"),
        {"type": 1},
        {**event("email.opened"), "data": 1},
        [],
        "x",
    ],
)
async def test_what_is_no_news_is_answered_all_the_same(told: Any) -> None:
    async with resend() as (fake, adapter):
        headers, body = fake.signed(told, NOW)
        heard = await adapter.hear(call(body, headers=headers))
    assert (heard.reply.status, heard.receipts, heard.inbound) == (200, (), ())


async def test_anything_changed_or_old_is_forged() -> None:
    async with resend() as (fake, adapter):
        headers, body = fake.signed(event("email.delivered"), NOW)
        for changed in (
            call(body + b" ", headers=headers),
            call(body, headers={**headers, "svix-id": "msg_2"}),
            call(body, headers={**headers, "svix-timestamp": "soon"}),
            call(body, headers={**headers, "svix-signature": "v1,x"}),
            call(body),
            call(body, headers=headers, at=NOW + timedelta(minutes=6)),
            call(body, headers=headers, at=NOW - timedelta(minutes=6)),
            call(b"\xff", headers=headers),
        ):
            with pytest.raises(Forged):
                await adapter.hear(changed)
    async with resend(webhook_secret=None) as (_, adapter):
        with pytest.raises(Forged, match="webhook_secret"):
            await adapter.hear(call(body, headers=headers))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["id"])
async def test_signatures_are_those_of_the_reference_libraries(vector: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(vector["timestamp"], UTC)
    headers = {
        "svix-id": vector["id"],
        "svix-timestamp": str(vector["timestamp"]),
        "svix-signature": vector["signature"],
    }
    async with resend(webhook_secret=vector["secret"]) as (_, adapter):
        await adapter.hear(call(vector["body"].encode(), headers=headers, at=at))


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "resend.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []


@pytest.mark.parametrize("batch", [1, 10])
async def test_what_a_mail_carries_goes_with_it_and_never_in_a_batch(batch: int) -> None:
    carried = (
        Attachment("菜单.pdf", "application/pdf", b"%PDF"),
        Attachment("logo.png", "image/png", b"PNG", "logo.png"),
    )
    async with resend(batch=batch) as (fake, adapter):
        mails = [mail(0), mail(1, attachments=carried), mail(2)]
        outcomes = await adapter.send(mails)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    sent = {each.address: each.extra for each in fake.messages}
    assert "attachments" not in sent["mei0@example.net"]
    assert sent["mei1@example.net"]["attachments"] == [
        {"filename": "菜单.pdf", "content": "JVBERg==", "content_type": "application/pdf"},
        {
            "filename": "logo.png",
            "content": "UE5H",
            "content_type": "image/png",
            "content_id": "logo.png",
        },
    ]
