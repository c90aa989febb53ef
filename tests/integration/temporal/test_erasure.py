"""A person who was erased is nowhere: no table, no log, no history; and is not written to again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.testing.sink import FakeHttpSink
from engine.ingest.erasure import NobodyToErase, erase_leftovers, erase_person, export_person
from engine.store import deliveries, identities, reviews, suppressions
from tests.integration.harness import PARTS, POOL, Kairos, kairos
from tests.integration.temporal.test_privacy import everything

NAME, NOTE, SECRET = "Wilhelmine Sonderbar", "allergic to walnuts", "granted-to-wilhelmine"
PHONE, EMAIL, USER = "+4930556677", "wilhelmine@sonderbar.example", "Zaphod-4711"
WORDS = [
    NAME,
    "Wilhelmine",
    "Sonderbar",
    NOTE,
    "walnuts",
    SECRET,
    PHONE,
    "4930556677",
    EMAIL,
    USER,
    "visitor-9",
]
CATALOGUE = """
events:
  cart.updated: {properties: {note: {type: text, personal: true}}}
profile:
  first_name: {type: text, personal: true}
tags: [seen]
"""
JOURNEY = """
journey: telling
run_as: DRIVER
trigger: {event: cart.updated, one_per: event.note}
steps:
  - {id: call, webhook: {url: "URL", body: {note: trigger.note, name: profile.first_name}, save_as: reply}}
  - {id: greet, message: {template: hello, channels: [sms]}}
  - {id: look, wait: {for: 30d}}
  - {id: last, message: {template: hello, channels: [email]}}
"""
TEXT = "{{ profile.first_name }} {{ trigger.note }}"


def files(url: str, driver: str) -> dict[str, str]:
    return {
        "kairos.yaml": "version: 1\nconsent: {marketing: opt_out}\n",
        "journeys/catalog.yaml": CATALOGUE,
        "journeys/telling.yaml": JOURNEY.replace("URL", url).replace("DRIVER", driver),
        **{f"templates/hello/{p}.j2": TEXT for p in ("sms.text", "email.subject", "email.text")},
    }


def identify(number: int, **more: Any) -> dict[str, Any]:
    traits = {"first_name": NAME, "phone": PHONE, "email": EMAIL, "consents": ["sms", "email"]}
    return {"type": "identify", "messageId": f"{EMAIL}-{number}", "traits": traits, **more}


def cart(number: int, **who: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "cart.updated",
        "messageId": f"{USER}-{number}",
        "properties": {"note": f"{NOTE} {number}"},
        **who,
    }


async def holding(database: AsyncEngine, words: list[str]) -> list[str]:
    """Every column of every table that holds one of these words, in any row."""
    found = []
    async with database.connect() as connection:
        columns = await connection.execute(
            sa.text("""
                SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
                JOIN pg_class k ON k.relname = c.table_name AND k.relkind IN ('r', 'p')
                WHERE c.table_schema = 'public' AND NOT k.relispartition
            """)
        )
        for table, column, kind in columns.all():
            shown = f"encode({column}, 'escape')" if kind == "bytea" else f"CAST({column} AS text)"
            for word in words:
                hits = await connection.execute(
                    sa.text(f"SELECT count(*) FROM {table} WHERE strpos(lower({shown}), lower(:word)) > 0"),
                    {"word": word},
                )
                if hits.scalar_one():
                    found.append(f"{table}.{column}: {word}")
    return found


async def until(what: str, holds: Callable[[], Any], seconds: float = 60) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await holds():
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what}") from None


async def live(running: Kairos, count: int) -> bool:
    found = await running.enrolments()
    if len(found) != count:
        return False
    async with running.database.connect() as connection:
        sent = await deliveries.find(connection, limit=100)
    return sum(each.state in ("accepted", "delivered") for each in sent) == count


@pytest.mark.parametrize("driver", ["workflow", "pool"])
async def test_an_erased_person_is_nowhere_and_is_not_written_to_again(
    driver: str, database_url: str, temporal_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    parts = POOL if driver == "pool" else PARTS
    async with (
        FakeHttpSink() as sink,
        kairos(database_url, temporal_address, parts=parts) as running,
    ):
        # Nobody is greeted before the visitor, who has no address, has become the customer.
        sink.behave("fail", status=503)
        database = running.database
        await running.apply(files(sink.url, driver))
        await running.send(cart(0, anonymousId="visitor-9"), identify(0, anonymousId="visitor-8"))
        # A merge, a conflict on the list, an address that identifies nobody.
        await running.send(
            identify(1, userId=USER),
            identify(2, userId=USER, anonymousId="visitor-9"),
            identify(3, userId="somebody-else"),
            cart(1, userId=USER),
        )
        sink.behave("ok", answer={"secret": SECRET})
        await until("two messages", lambda: live(running, 2))
        async with database.connect() as connection:
            profile_id = (await identities.find_batch(connection, [("external_id", USER)]))[
                "external_id", USER
            ]
            exported = await export_person(connection, profile_id)
            assert await reviews.listed(connection)
        whole = str(exported)
        assert all(word in whole for word in (NAME, NOTE, PHONE, EMAIL, USER, "visitor-9"))
        assert {"enrolments", "events", "messages", "effects", "merges"} <= {
            k for k, v in exported.items() if v
        }
        assert await holding(database, WORDS)

        done = await erase_person(database, profile_id, "ops")
        assert (done.ended, done.sending) == (2, 0)
        async with database.connect() as connection:
            other = await identities.find_batch(connection, [("external_id", "somebody-else")])
        # The other customer said the same name and address: theirs stay theirs until they ask too.
        await erase_person(database, other["external_id", "somebody-else"])
        rows = await running.enrolments()
        assert {(each.status, each.exit) for each in rows} == {("ended", "unsubscribed")}

        if driver == "workflow":
            handles = [running.client.get_workflow_handle(each.workflow_id or "") for each in rows]
            async with asyncio.timeout(30):
                assert [await handle.result() for handle in handles] == ["unsubscribed"] * 2
            histories = "\n".join([await everything(handle) for handle in handles])
            assert "telling" in histories
            assert [word for word in WORDS if word in histories] == []
        await erase_leftovers(database)
        assert await holding(database, WORDS) == []
        logged = "\n".join([record.getMessage() for record in caplog.records])
        assert [word for word in WORDS if word in logged] == []

        # Numbers stay.
        async with database.connect() as connection:
            events = await connection.execute(
                sa.text("SELECT count(*) FROM events WHERE name = 'cart.updated'")
            )
            assert events.scalar_one() == 2
            assert len(await deliveries.find(connection)) == 2
        with pytest.raises(NobodyToErase):
            await erase_person(database, profile_id)

        # Who comes back is a new customer, and the address is not used.
        await running.send(identify(7, userId=USER), cart(7, userId=USER))

        async def skipped() -> bool:
            async with database.connect() as connection:
                return any(each.reason == "blocked" for each in await deliveries.find(connection))

        await until("a blocked message", skipped)
        assert await running.outbox() == []
        async with database.begin() as connection:
            assert await suppressions.lift(connection, [("phone", PHONE)]) == 1
        await running.send(cart(8, userId=USER))

        async def kept() -> bool:
            return bool(await running.outbox())

        await until("a message again", kept)
