"""`kairos callbacks`, as somebody types it."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.inbound import Heard, Inbound
from channels.receipt import DeliveryState, Receipt
from engine.delivery.told import rows_of
from engine.store import heard
from tests.integration.cli.test_commands import Kairos, OnDatabase, kairos, on_database

__all__ = ["kairos", "on_database"]
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)


async def parked(database: AsyncEngine) -> None:
    """A receipt that waits, and a reply that was given up."""
    receipt = Receipt(DeliveryState.DELIVERED, AT, provider_id="biz-1")
    reply = Inbound("sms.replied", AT, "r1", (("phone", "12"),), {"text": "what I wrote"})
    await heard.Keeper(database).keep(
        "sms", "aliyun_sms", rows_of(Heard(receipts=(receipt,), inbound=(reply,)))
    )
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE heard SET received_at = '2026-11-11T10:00Z'"))
        rows = await heard.take(connection, 10)
        await heard.park(connection, [(row.id, "it names nobody") for row in rows if row.kind == "inbound"])


def test_what_waits_and_what_is_parked_is_counted_listed_and_tried_again(
    kairos: Kairos, on_database: OnDatabase
) -> None:
    assert kairos("callbacks", "status", text=True) == "nothing waits and nothing is parked\n"
    assert kairos("callbacks", "parked", text=True) == "nothing is parked\n"
    on_database(parked)

    said = kairos("callbacks", "status", text=True).splitlines()
    assert [line.split()[:5] for line in said[1:]] == [
        ["sms", "aliyun_sms", "inbound", "parked", "1"],
        ["sms", "aliyun_sms", "receipt", "waiting", "1"],
    ]
    listed = kairos("callbacks", "parked", "--channel", "sms", text=True)
    assert "sms.replied" in listed
    assert "it names nobody" in listed
    assert "what I wrote" not in listed
    [one] = kairos("callbacks", "parked")
    assert (one["about"], one["kind"], one["reason"]) == ("sms.replied", "inbound", "it names nobody")
    assert kairos("callbacks", "parked", "--channel", "wechat") == []

    assert kairos("callbacks", "retry", str(one["id"])) == {"again": 1}
    assert kairos("callbacks", "parked") == []
    assert {each["state"] for each in kairos("callbacks", "status")} == {"waiting"}
    kairos("callbacks", "retry", str(one["id"]), code=2)
    assert kairos("callbacks", "retry", text=True) == "0 to be tried again\n"
