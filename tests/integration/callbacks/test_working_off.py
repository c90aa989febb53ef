"""What becomes of receipts and of what people do: once, in any order, whatever is broken beside them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from channels.inbound import Call, Heard, Inbound
from channels.receipt import DeliveryState, Receipt
from engine.delivery import callbacks
from engine.delivery.told import rows_of
from engine.ingest.erasure import erase_person
from engine.store import heard
from engine.store.database import open_database

from .conftest import Station

NOW = datetime.now(UTC)
SENT_AT = NOW - timedelta(minutes=5)
SENT = sa.text("""
    WITH n AS (SELECT number, gen_random_uuid() AS profile, gen_random_uuid() AS enrolment
               FROM generate_series(1, :count) number),
        p AS (INSERT INTO profiles (id, key, external_id)
              SELECT profile, md5('p' || number), 'c' || number FROM n),
        i AS (INSERT INTO identities (kind, value, profile_id)
              SELECT 'phone', '+8613' || lpad(number::text, 9, '0'), profile FROM n)
    INSERT INTO deliveries (enrolment_id, step, entry_month, id, key, journey, profile_id, channel, template,
                            state, attempts, at, provider_id)
    SELECT enrolment, 'hi', date_trunc('month', CAST(:at AS timestamptz)), gen_random_uuid(),
           'key-' || number, 'cart', profile, 'sms', 'hello', CAST(:state AS text), 1, :at,
           CASE WHEN :state = 'accepted' THEN 'biz-' || number END
    FROM n
""")


async def sent(station: Station, count: int, state: str = "accepted") -> None:
    """So many messages by SMS, to as many customers: `biz-1`, `biz-2`, …"""
    async with station.database.begin() as connection:
        await connection.execute(SENT, {"count": count, "at": SENT_AT, "state": state})


def receipt(number: int, state: DeliveryState, seconds: int = 60, **more: Any) -> Receipt:
    given = {"provider_id": f"biz-{number}", **more}
    return Receipt(state, SENT_AT + timedelta(seconds=seconds), **given)


async def told(
    station: Station, receipts: Sequence[Receipt] = (), inbound: Sequence[Inbound] = (), channel: str = "sms"
) -> None:
    """As if the API had taken this in."""
    rows = rows_of(Heard(receipts=tuple(receipts), inbound=tuple(inbound)))
    await heard.Keeper(station.database).keep(channel, "aliyun_sms", rows)


def reply(words: str, number: int = 1, at: datetime = NOW, **more: Any) -> Inbound:
    phone = f"+8613{number:09}"
    given = {"identities": (("phone", phone),), "properties": {"text": words}, **more}
    return Inbound("sms.replied", at, f"reply/{len(words)}/{number}", **given)


async def states(station: Station) -> dict[str, int]:
    async with station.database.connect() as connection:
        rows = await connection.execute(sa.text("SELECT state, count(*) AS n FROM deliveries GROUP BY 1"))
        return {row.state: row.n for row in rows}


# --- receipts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_each_receipt_three_times_and_out_of_order(station: Station, limit: int) -> None:
    await sent(station, 6)
    ends = [DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.COMPLAINED]
    last = {number: ends[number % 3] for number in range(1, 7)}
    all_ = [receipt(n, state, 120) for n, state in last.items()]
    all_ += [receipt(n, state) for n in last for state in (DeliveryState.DELIVERED, DeliveryState.OPENED)]
    shuffled = random.Random(7).sample(all_ * 3, len(all_) * 3)
    for each in shuffled:
        await told(station, [each])

    await station.work_off(limit)

    assert await station.kept() == []
    assert await states(station) == {"delivered": 2, "bounced": 2, "complained": 2}
    names = ("delivered", "opened", "failed", "complained")
    counts = {n: await station.count("events", f"name = 'message.{n}'") for n in names}
    assert counts == {"delivered": 6, "opened": 6, "failed": 2, "complained": 2}
    assert await station.count("consents") == 2


async def test_a_receipt_that_comes_before_its_message_is_settled_waits_for_it(station: Station) -> None:
    await told(station, [receipt(1, DeliveryState.DELIVERED)])
    assert (await station.work_off()).waiting == 1
    assert await station.kept() == [("sms", "receipt", "waiting", "no message of ours")]

    await sent(station, 1)
    async with station.database.begin() as connection:
        await connection.execute(sa.text("UPDATE heard SET due_at = now()"))
    await station.work_off()

    assert await station.kept() == []
    assert await states(station) == {"delivered": 1}


async def test_a_receipt_of_nobodys_message_is_parked_after_a_while_and_can_be_tried_again(
    station: Station,
) -> None:
    await told(station, [receipt(1, DeliveryState.DELIVERED, raw="+8613800000000 said so")])
    await station.work_off()
    async with station.database.begin() as connection:
        await connection.execute(
            sa.text("UPDATE heard SET due_at = now(), received_at = now() - interval '16 minutes'")
        )
    assert (await station.work_off()).parked == 1
    assert await station.kept() == [("sms", "receipt", "parked", "no message of ours")]
    assert await station.count("heard", "payload::text LIKE '%138%'") == 0

    await sent(station, 1)
    async with station.database.begin() as connection:
        assert await heard.again(connection) == 1
    await station.work_off()
    assert await states(station) == {"delivered": 1}


async def test_a_receipt_by_our_key_settles_what_nobody_knew(station: Station) -> None:
    await sent(station, 1, "unknown")
    await told(station, [receipt(1, DeliveryState.DELIVERED, key="key-1")])
    await station.work_off()
    assert await states(station) == {"delivered": 1}
    await told(station, [receipt(1, DeliveryState.OPENED)])
    await station.work_off()
    assert await station.kept() == []


async def test_a_receipt_is_never_about_a_message_of_another_channel(station: Station) -> None:
    await sent(station, 1)
    await told(station, [receipt(1, DeliveryState.COMPLAINED)], channel="wechat")
    await station.work_off()
    assert await states(station) == {"accepted": 1}


async def flood(station: Station, messages: int, calls: int) -> None:
    """Two receipts for each message and a stop for the first, told by so many calls."""
    await sent(station, messages)
    receipts = [receipt(n, DeliveryState.DELIVERED) for n in range(1, messages + 1)]
    receipts += [receipt(n, DeliveryState.OPENED) for n in range(1, messages + 1)]
    random.Random(1).shuffle(receipts)
    size = -(-len(receipts) // calls)
    for start in range(0, len(receipts), size):
        await told(station, receipts[start : start + size])
    await told(station, inbound=[reply("TD", opt_out=True)])

    # What people do is not behind the receipts.
    await callbacks.work_off(station.database, station.heeded)
    assert await station.count("consents", "NOT granted") == 1
    assert await station.count("heard") > 0
    await station.work_off()

    assert await station.kept() == []
    assert await states(station) == {"delivered": messages}
    assert await station.count("events", "name = 'message.opened'") == messages


async def test_a_flood_of_receipts_is_worked_off_and_a_stop_does_not_wait_behind_it(station: Station) -> None:
    await flood(station, 1_000, 20)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_70_000_receipts(station: Station) -> None:
    await flood(station, 35_000, 700)


# --- what people do -------------------------------------------------------------------------------------


async def test_a_reply_is_told_to_the_enrolment_that_sent_the_last_message(station: Station) -> None:
    await sent(station, 1)
    await told(station, inbound=[reply("yes please"), reply("long ago", at=SENT_AT - timedelta(days=1))])
    await station.work_off()
    listed = await station.events("phone", "+8613000000001")
    assert [event.name for event in listed] == ["sms.replied", "sms.replied", "message.replied"]
    async with station.database.connect() as connection:
        enrolment = (await connection.execute(sa.text("SELECT enrolment_id FROM deliveries"))).scalar_one()
    assert listed[-1].properties == {
        "enrolment_id": str(enrolment),
        "step": "hi",
        "template": "hello",
        "channel": "sms",
    }


async def test_identities_that_come_together_lead_to_one_profile(station: Station) -> None:
    both = (("phone", "138 0000 0000"), ("wecom", "wm-1"))
    alone = (("wecom", "wm-1"),)
    await told(station, inbound=[reply("one", identities=both), reply("three", identities=alone)])
    await station.work_off()
    assert len(await station.events("phone", "+8613800000000")) == 2
    assert await station.count("profiles") == 1


async def test_an_instant_that_cannot_be_is_that_at_which_we_were_told(station: Station) -> None:
    ages = {"ahead": NOW + timedelta(days=400), "never-set": datetime(1970, 1, 1, tzinfo=UTC)}
    await told(station, inbound=[reply(words, at=at) for words, at in ages.items()])
    await station.work_off()
    for event in await station.events("phone", "+8613000000001"):
        assert abs(event.occurred_at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_what_names_nobody_is_parked_and_shown_without_what_was_written(station: Station) -> None:
    await told(station, inbound=[reply("secret words", identities=(("phone", "12"),))])
    assert (await station.work_off()).parked == 1
    assert await station.kept() == [("sms", "inbound", "parked", "it names nobody")]
    async with station.database.connect() as connection:
        [(row, reason)] = await heard.parked(connection)
    assert "secret words" not in repr(row)
    assert reason == "it names nobody"


async def test_one_that_is_broken_stops_nobody_else(station: Station) -> None:
    await sent(station, 2)
    await told(station, [receipt(1, DeliveryState.DELIVERED)], [reply("one", 1)])
    async with station.database.begin() as connection:
        for number, payload in enumerate(
            [
                {"state": "delivered"},
                {
                    "name": {},
                    "at": NOW.isoformat(),
                    "identities": [["phone", "+8613000000002"]],
                    "properties": {},
                },
            ]
        ):
            await connection.execute(
                sa.text("""INSERT INTO heard (channel, adapter, kind, message_id, payload)
                           VALUES ('sms', 'aliyun_sms', :kind, :id, CAST(:payload AS jsonb))"""),
                {
                    "kind": ("receipt", "inbound")[number],
                    "id": f"broken-{number}",
                    "payload": json.dumps(payload),
                },
            )
    await told(station, [receipt(2, DeliveryState.DELIVERED)], [reply("two", 2)])

    await station.work_off()

    assert await station.kept() == [
        ("sms", "receipt", "parked", "it cannot be read"),
        ("sms", "inbound", "parked", "TypeError"),
    ]
    assert await states(station) == {"delivered": 2}
    assert await station.count("events", "name = 'sms.replied'") == 2


async def test_a_worker_that_dies_between_the_work_and_its_end_has_done_nothing(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def die(*_: object) -> None:
        raise Killed

    await sent(station, 1)
    await told(station, [receipt(1, DeliveryState.COMPLAINED)], [reply("TD", opt_out=True)])
    with monkeypatch.context() as patch:
        patch.setattr(heard, "done", die)
        with pytest.raises(Killed):
            await callbacks.work_off(station.database, station.heeded)
    assert await station.count("events") == await station.count("consents") == 0
    assert len(await station.kept()) == 2

    await station.work_off()
    assert await station.count("consents") == 2
    assert await station.count("events", "name IN ('sms.replied', 'message.complained')") == 2


async def test_two_workers_share_the_work(station: Station) -> None:
    await told(station, inbound=[reply(f"words {n}", n) for n in range(40)])
    other = open_database(station.database.url.render_as_string(hide_password=False))
    try:
        async with station.database.begin() as held:
            mine = await heard.take(held, 10)
            theirs = await callbacks.work_off(other, station.heeded)
            assert (len(mine), theirs.taken) == (10, 30)
    finally:
        await other.dispose()
    await station.work_off()
    assert await station.count("events", "name = 'sms.replied'") == 40


async def test_who_is_erased_is_gone_from_what_waits_and_what_is_parked(station: Station) -> None:
    await told(station, inbound=[reply("first")])
    await station.work_off()
    await told(station, inbound=[reply("second"), reply("somebody else", 2)])
    async with station.database.connect() as connection:
        profile_id = (await connection.execute(sa.text("SELECT id FROM profiles"))).scalar_one()
    await erase_person(station.database, str(profile_id), "ada")
    assert await station.count("heard") == 1
    assert await station.count("heard", "payload::text LIKE '%second%'") == 0


async def test_a_call_in_the_middle_of_an_outage_is_answered_so_that_it_comes_again(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(heard.Keeper, "keep", away)
    body = json.dumps([{"out_id": "k", "biz_id": "b", "success": True, "report_time": "2026-11-11 10:00:00"}])
    call = Call("POST", {}, {"content-type": "application/json"}, body.encode(), NOW)
    assert (await station.call("aliyun_sms", "sms", call)).status_code == 503


async def test_what_waits_of_somebody_is_erased_however_the_provider_spells_them(station: Station) -> None:
    async def keep(message_id: str) -> None:
        said = Inbound("email.replied", datetime.now(UTC), message_id, (("email", "Mei@Example.COM"),))
        await heard.Keeper(station.database).keep("email", "resend", rows_of(Heard(inbound=(said,))))

    await keep("m-1")
    await station.work_off()
    [event] = await station.events("email", "mei@example.com")
    await keep("m-2")

    await erase_person(station.database, event.profile_id)

    assert await station.kept() == []
