"""`wecom`: welcomes, group sends, messages to staff, the codes, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels import Accepted, Forged, Message, Rate, Reason, Rejected, Throttled, Unavailable, Unknown
from channels.inbound import Heard, Reply
from channels.receipt import DeliveryState
from channels.registry import check_settings
from channels.testing.wecom import FakeWeCom
from channels.tokens import MemoryTokens
from channels.wecom import CODES, CUSTOMERS_A_TASK, WeComAdapter, WeComSettings

CORP, SECRET, AGENT = "ww5823bf96d3bd56c7", "a-corp-secret", 1000002
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
TEXT = {"text": {"content": "你好"}}
NOTE = {"msgtype": "text", "text": {"content": "call back"}, "touser": "zhang"}


class Wall:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now


def message(part: Any, key: str = "k", address: str = "wm-1") -> Message:
    text = part if isinstance(part, str) else json.dumps(part)
    return Message(key=key, channel="wecom", address=address, parts={"json": text}, template="t", at=AT)


def adapter(fake: FakeWeCom, wall: Wall, **settings: Any) -> WeComAdapter:
    given = {
        **{"corp_id": CORP, "secret": SECRET, "agent_id": AGENT, "url": fake.url, "timeout": 0.4},
        **{"callback_token": "callback-token", "callback_key": KEY, **settings},
    }
    return WeComAdapter("wecom", check_settings(WeComSettings, given, "settings", {}), clock=wall)


@asynccontextmanager
async def corporation(**settings: Any) -> AsyncIterator[tuple[FakeWeCom, WeComAdapter, Wall]]:
    wall = Wall()
    async with FakeWeCom(CORP, SECRET, clock=lambda: wall().timestamp()) as fake:
        fake.befriend("wm-1", "zhang")
        async with adapter(fake, wall, **settings) as ours:
            yield fake, ours, wall


# --- welcome -----------------------------------------------------------------------------------------------


async def test_a_new_friend_is_welcomed_with_what_the_call_told() -> None:
    async with corporation() as (fake, ours, wall):
        [added] = (await ours.hear(fake.befriend("wm-2", "li", "shop-8"))).inbound
        assert added.name == "wecom.friend_added"
        assert added.identities == (("wecom", "wm-2"),)
        code, until = added.properties["welcome_code"], added.properties["welcome_until"]
        assert added.properties == {
            "staff": "li",
            "state": "shop-8",
            "welcome_code": code,
            "welcome_until": (AT + timedelta(seconds=20)).isoformat(),
        }
        part = {**TEXT, "welcome_code": code, "welcome_until": until}
        assert isinstance((await ours.send([message(part, address="wm-2")]))[0], Accepted)
        assert [(sent.to, sent.document) for sent in fake.sent] == [("wm-2", {**TEXT, "welcome_code": code})]
        wall.now += timedelta(seconds=19)
        [again] = await ours.send([message(part, address="wm-2")])
        assert isinstance(again, Accepted)  # the code was good once: they have been welcomed
        assert len(fake.sent) == 1


async def test_after_its_20_seconds_a_welcome_is_not_tried() -> None:
    async with corporation() as (fake, ours, wall):
        [added] = (await ours.hear(fake.befriend("wm-2", "li"))).inbound
        part = {**TEXT, **{k: v for k, v in added.properties.items() if k.startswith("welcome")}}
        wall.now += timedelta(seconds=20)
        [late] = await ours.send([message(part)])
        assert late == Rejected(Reason.WINDOW, "the 20 seconds of a welcome are over")
        assert list(fake.calls) == []
        del part["welcome_until"]
        [asked] = await ours.send([message(part)])
        assert isinstance(asked, Rejected)
        assert (asked.reason, asked.detail) == (Reason.WINDOW, "errcode 41050")


async def test_a_welcome_waits_no_longer_than_it_has() -> None:
    async with corporation(timeout=15) as (fake, ours, wall):
        [added] = (await ours.hear(fake.befriend("wm-2", "li"))).inbound
        part = {**TEXT, **{k: v for k, v in added.properties.items() if k.startswith("welcome")}}
        await ours.send([message({**NOTE})])  # so that there is a token
        wall.now += timedelta(seconds=19.8)
        fake.behave("hang", times=1)
        [outcome] = await ours.send([message(part)])
        assert isinstance(outcome, Unknown)


# --- group send --------------------------------------------------------------------------------------------


async def test_one_content_is_one_task_and_everybody_has_an_outcome() -> None:
    async with corporation() as (fake, ours, _):
        for n in range(5):
            fake.befriend(f"wm-{n}", "zhang")
        messages = [message(TEXT, f"k{n}", f"wm-{n}") for n in range(5)]
        messages[1:1] = [
            message(TEXT, "stranger", "wm-stranger"),
            message({"text": {"content": "other"}}, "other", "wm-0"),
            message(NOTE, "note"),
            message("{", "broken"),
        ]
        outcomes = await ours.send(messages)
    kinds = [type(o) for o in outcomes]
    assert kinds == [Accepted, Rejected, Accepted, Accepted, Rejected, *[Accepted] * 4]
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].reason is Reason.ADDRESS_UNKNOWN
    assert sorted(len(task.results) for task in fake.tasks.values()) == [1, 5]
    ids = [o.provider_id for o in outcomes if isinstance(o, Accepted)]
    assert len(set(ids)) == len(ids)
    assert "wm-" not in " ".join(str(o) for o in outcomes)


async def test_a_task_has_no_more_customers_than_the_provider_takes() -> None:
    async with corporation(timeout=5) as (fake, ours, _):
        count = CUSTOMERS_A_TASK + 1
        for n in range(count):
            fake.friends[f"wm-{n}"] = "zhang"
        outcomes = await ours.send([message(TEXT, f"k{n}", f"wm-{n}") for n in range(count)])
    assert {type(o) for o in outcomes} == {Accepted}
    assert sorted(len(task.results) for task in fake.tasks.values()) == [1, CUSTOMERS_A_TASK]


async def test_what_staff_did_with_a_task_is_told_for_each_customer() -> None:
    async with corporation() as (fake, ours, wall):
        for n, staff in enumerate(["zhang", "li", "li"]):
            fake.befriend(f"wm-{n}", staff)
        outcomes = await ours.send([message(TEXT, f"k{n}", f"wm-{n}") for n in range(3)])
        ids = [o.provider_id for o in outcomes if isinstance(o, Accepted)]
        [task] = fake.tasks
        known = [id for id in ids if id is not None]
        assert await ours.results(known) == []
        del fake.friends["wm-1"]
        fake._a_month = 0
        fake.confirm(task)
        fake.tasks[task].results["wm-2"] = 1
        wall.now += timedelta(hours=1)
        told = {r.provider_id: (r.state, r.reason, r.at) for r in await ours.results([*known, "app-1"])}
    later = AT + timedelta(hours=1)
    assert told == {
        ids[0]: (DeliveryState.FAILED, Reason.QUOTA, later),
        ids[1]: (DeliveryState.FAILED, Reason.ADDRESS_UNKNOWN, later),
        ids[2]: (DeliveryState.DELIVERED, None, AT),
    }


async def test_results_of_many_customers_come_page_by_page() -> None:
    async with corporation() as (fake, ours, _):
        for n in range(250):
            fake.befriend(f"wm-{n}", "zhang")
        outcomes = await ours.send([message(TEXT, f"k{n}", f"wm-{n}") for n in range(250)])
        [task] = fake.tasks
        fake.confirm(task)
        ids = [o.provider_id for o in outcomes if isinstance(o, Accepted) and o.provider_id]
        assert {r.provider_id for r in await ours.results(ids)} == set(ids)
        assert len(ids) == 250
        assert len(await ours.results(ids[:3])) == 3


async def test_a_group_send_of_unknown_outcome_is_looked_for_by_content_and_customer() -> None:
    async with corporation() as (fake, ours, wall):
        fake.befriend("wm-2", "zhang")
        sent, other = message(TEXT), message(TEXT, "k2", "wm-2")
        fake.behave("drop", times=1)
        [outcome] = await ours.send([sent])
        assert isinstance(outcome, Unknown)
        different = message({"text": {"content": "different"}})
        somebody = message({**TEXT, "sender": "li"})
        found = await ours.query([sent, other, different, somebody, message(NOTE)])
        assert isinstance(found[0], Accepted)
        assert found[1:] == [None] * 4
        assert found[0].provider_id is not None
        fake.confirm(*fake.tasks)
        [receipt] = await ours.results([found[0].provider_id])
        assert receipt.provider_id == found[0].provider_id
        wall.now += timedelta(hours=2)
        assert await ours.query([sent]) == [None]


async def test_while_the_provider_cannot_be_asked_nothing_is_known() -> None:
    async with corporation() as (fake, ours, _):
        await fake.stop()
        assert await ours.query([message(TEXT)]) == [None]


async def test_a_task_keeps_to_the_rate_of_its_messages() -> None:
    taken = []

    async with corporation() as (fake, _, wall):
        given = {"corp_id": CORP, "secret": SECRET, "url": fake.url}
        settings = check_settings(WeComSettings, given, "settings", {})
        ours = WeComAdapter("wecom", settings, clock=wall, rate=Rate.parse("1000/s"))
        assert ours.pacer is not None
        take = ours.pacer.take

        async def counted() -> None:
            taken.append(1)
            await take()

        ours.pacer.take = counted  # type: ignore[method-assign]
        async with ours:
            await ours.send([message(TEXT, f"k{n}") for n in range(3)])
    assert len(taken) == 3


# --- staff -------------------------------------------------------------------------------------------------


async def test_staff_are_written_to_as_the_part_names_them() -> None:
    async with corporation() as (fake, ours, _):
        sent, nobody = await ours.send([message(NOTE), message({**NOTE, "touser": "wang"}, "k2")])
    assert isinstance(sent, Accepted)
    assert sent.provider_id == fake.sent[0].id
    assert fake.sent[0].document == {**NOTE, "agentid": AGENT}
    assert isinstance(nobody, Rejected)
    assert nobody.reason is Reason.ADDRESS_INVALID


async def test_without_an_agent_id_staff_cannot_be_written_to() -> None:
    async with corporation(agent_id=None) as (_, ours, _wall):
        [outcome] = await ours.send([message(NOTE)])
    assert outcome == Rejected(Reason.CREDENTIALS, "the setting agent_id is missing")


# --- parts, token, codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        "",
        "[]",
        {},
        {"text": {}},
        {**TEXT, "kind": "welcome"},
        {**TEXT, "kind": "broadcast"},
        {**TEXT, "external_userid": ["wm-2"]},
        {**TEXT, "welcome_code": "c", "welcome_until": "soon"},
        {**TEXT, "welcome_code": "c", "welcome_until": "2026-11-11T10:00:00"},
        {"welcome_code": "c"},
        {"msgtype": "text", "text": {"content": "x"}},
        {"msgtype": "text", "touser": "zhang"},
        {**NOTE, "agentid": 1},
    ],
)
async def test_a_part_that_is_no_message_is_refused_here(part: Any) -> None:
    async with corporation() as (fake, ours, _):
        [outcome] = await ours.send([message(part)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CONTENT
    assert list(fake.calls) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"text": {"content": "茶" * 1334}}, Reason.TOO_LARGE),
        ({**TEXT, "attachments": [{"msgtype": "link", "link": {"url": "u"}}] * 10}, Reason.CONTENT),
        ({**TEXT, "attachments": [{"msgtype": "link"}]}, Reason.CONTENT),
        ({**TEXT, "sender": "nobody"}, Reason.CONTENT),
    ],
)
async def test_the_provider_s_limits_are_content(content: dict[str, Any], reason: Reason) -> None:
    async with corporation() as (_, ours, _wall):
        [outcome] = await ours.send([message(content)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason


async def test_a_token_revoked_in_the_middle_is_replaced_and_shared() -> None:
    tokens, wall = MemoryTokens(), Wall()
    async with FakeWeCom(CORP, SECRET) as fake:
        fake.befriend("wm-1", "zhang")
        given = {"corp_id": CORP, "secret": SECRET, "url": fake.url}
        settings = check_settings(WeComSettings, given, "settings", {})
        one, other = (WeComAdapter("wecom", settings, clock=wall, tokens=tokens) for _ in range(2))
        async with one, other:
            for ours in (one, other):
                assert isinstance((await ours.send([message(TEXT)]))[0], Accepted)
            fake.revoke()
            for ours in (one, other):
                assert isinstance((await ours.send([message(TEXT)]))[0], Accepted)
        assert fake.token_calls == 2


async def test_a_wrong_secret_is_a_matter_of_credentials_and_does_not_show() -> None:
    async with FakeWeCom(CORP, "another") as fake, adapter(fake, Wall()) as ours:
        [outcome] = await ours.send([message(TEXT)])
    assert outcome == Rejected(Reason.CREDENTIALS, "no access token: errcode 40001")


@pytest.mark.parametrize("code", [*CODES, 99999])
@pytest.mark.parametrize("part", [TEXT, NOTE])
async def test_every_code_has_its_outcome(code: int, part: dict[str, Any]) -> None:
    async with corporation() as (fake, ours, _):
        fake.say(code)
        [outcome] = await ours.send([message(part)])
    expected = CODES.get(code, Rejected(Reason.OTHER))
    assert type(outcome) is type(expected)
    assert not isinstance(outcome, Accepted)
    assert outcome.detail == f"errcode {code}"
    if isinstance(outcome, Rejected) and isinstance(expected, Rejected):
        assert outcome.reason is expected.reason
    if isinstance(outcome, Throttled):
        assert outcome.retry_after
    assert isinstance(outcome, Rejected | Throttled | Unavailable)


def test_every_code_is_in_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "wecom.md").read_text("utf-8")
    rows = page.partition("## How answers are read")[2].partition("\n## ")[0]
    known = {int(code) for code in re.findall(r"(?<!\d)-?\d+(?!\d)", re.sub(r"\(.*?\)", "", rows))}
    assert set(CODES) - known == set()


# --- what comes back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("add_half_external_contact", "wecom.friend_half_added"),
        ("edit_external_contact", "wecom.friend_edited"),
        ("del_external_contact", "wecom.friend_removed"),
        ("del_follow_user", "wecom.friend_deleted"),
        ("transfer_fail", "wecom.transfer_failed"),
        ("msg_audit_approved", "wecom.audit_approved"),
    ],
)
async def test_what_becomes_of_a_friend_is_an_event(change: str, name: str) -> None:
    async with corporation() as (fake, ours, _):
        heard = await ours.hear(fake.changed(change, "wm-1", "zhang"))
    [inbound] = heard.inbound
    assert (inbound.name, inbound.at, inbound.opt_out) == (name, AT, False)
    assert inbound.identities == (("wecom", "wm-1"),)
    assert inbound.properties == {"staff": "zhang"}
    assert heard.reply == Reply()


async def test_friends_of_one_second_are_told_apart_and_a_repeat_is_the_same() -> None:
    async with corporation() as (fake, ours, _):
        calls = [
            fake.changed("del_follow_user", "wm-1", "zhang"),
            fake.changed("del_follow_user", "wm-1", "li"),
            fake.changed("del_follow_user", "wm-2", "zhang"),
            fake.changed("del_external_contact", "wm-2", "zhang"),
        ]
        ids = [(await ours.hear(call)).inbound[0].message_id for call in calls]
        again = [(await ours.hear(call)).inbound[0].message_id for call in calls]
    assert ids == again
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"Event": "change_external_chat", "ChangeType": "update", "ChatId": "wr1"},
        {"Event": "change_external_contact", "ChangeType": "add_external_contact"},
        {"Event": "change_external_contact", "ChangeType": "new_kind", "ExternalUserID": "wm-1"},
        {"MsgType": "text", "Content": "a word of staff", "FromUserName": "zhang"},
    ],
)
async def test_what_is_about_nobody_outside_is_answered_and_passed_over(fields: dict[str, str]) -> None:
    async with corporation() as (fake, ours, _):
        assert await ours.hear(fake.caller.call(AT, fields)) == Heard()


async def test_the_url_check_is_answered_decrypted() -> None:
    async with corporation() as (fake, ours, _):
        assert await ours.hear(fake.caller.check(AT, "5927", encrypted=True)) == Heard(Reply(body=b"5927"))
        with pytest.raises(Forged):
            await ours.hear(fake.caller.check(AT, "5927"))


async def test_without_a_key_no_call_is_believed() -> None:
    async with corporation(callback_token=None, callback_key=None) as (fake, ours, _):
        with pytest.raises(Forged):
            await ours.hear(fake.changed("del_follow_user", "wm-1", "zhang"))
