"""What guesses, what is too old, what comes twice, and what happens while the database is away."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.api import create_app
from engine.customers.link_tokens import About, LinkKey
from engine.ingest.clicking import Click, Clicking, forget_links
from engine.store import delivery_states, events, message_links
from engine.store.database import open_database
from engine.store.delivery_states import NewDelivery, Sending
from engine.store.embedded import EmbeddedPostgres
from engine.store.enrolments import entry_month
from engine.store.events import Event
from engine.store.message_links import NewLink
from engine.web import add_pages
from tests.integration.links.conftest import PHONE
from workers.api import run_api

TARGET = "https://shop.example/secret-offer?who=ida"
CODE = "AAAAAAAAAAA1"
DAY = timedelta(days=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = open_database(database_url)
    yield made
    await made.dispose()


@pytest.fixture
async def person(database: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_api(database, port=0, stop=stop, ready=ready.set_result))
    address = await asyncio.wait_for(ready, 20)
    async with httpx.AsyncClient(base_url=address, headers={"user-agent": PHONE}, timeout=60) as client:
        yield client
    stop.set()
    await asyncio.wait_for(serving, 20)


async def link(
    database: AsyncEngine, code: str = CODE, lasts: timedelta = DAY, owner: str | None = None
) -> str:
    """A link of a message that went out; gives back whose it is."""
    profile_id, enrolment_id, now = owner or str(uuid4()), str(uuid4()), datetime.now(UTC)
    row = NewDelivery(enrolment_id, "hi", entry_month(now), uuid4().hex, "cart", profile_id, now)
    async with database.begin() as connection:
        claims = await delivery_states.claim_batch(connection, [row], "w")
        [(key, claimed)] = claims.mine.items()
        await delivery_states.write_batch(connection, [(claimed, Sending(key, 0, "sms", "t", "d"))], "w")
        new = NewLink(code, "link", enrolment_id, "hi", row.entry_month, "sms", TARGET, "offer", now + lasts)
        await message_links.add_batch(connection, [new])
    return profile_id


async def told(database: AsyncEngine, profile_id: str) -> list[Event]:
    async with database.connect() as connection:
        return await events.of_profile(connection, profile_id)


async def test_a_forged_code_leads_nowhere(database: AsyncEngine, person: httpx.AsyncClient) -> None:
    await link(database)
    for path in (
        f"/r/{CODE[:-1]}2",
        f"/r/{CODE}x",
        f"/r/{CODE[:-1]}",
        "/r/..%2f..%2fadmin",
        f"/r/{CODE}?to=https://evil.example",
        "/r/https:%2f%2fevil.example",
    ):
        answer = await person.get(path)
        if CODE in path and "?" in path:
            assert answer.headers["location"] == TARGET
        else:
            assert answer.status_code == 404
            assert "location" not in answer.headers
        assert "evil" not in answer.text


async def test_an_expired_link_says_so_and_not_where_it_led(
    database: AsyncEngine, person: httpx.AsyncClient
) -> None:
    profile_id = await link(database, lasts=-DAY)
    answer = await person.get(f"/r/{CODE}")
    assert answer.status_code == 410
    assert "expired" in answer.text
    assert "shop.example" not in answer.text
    assert await told(database, profile_id) == []


async def test_links_are_forgotten_a_month_after_they_expired(database: AsyncEngine) -> None:
    for number, days in enumerate((-40, -31, -29, 1)):
        await link(database, f"AAAAAAAAAAA{number}", lasts=timedelta(days=days))
    assert await forget_links(database, batch=1) == 2
    assert await forget_links(database) == 0
    async with database.connect() as connection:
        codes = [f"AAAAAAAAAAA{number}" for number in range(4)]
        left = await message_links.find_batch(connection, codes)
    assert sorted(left) == ["AAAAAAAAAAA2", "AAAAAAAAAAA3"]


async def test_one_click_that_is_asked_for_often_is_written_once(database: AsyncEngine) -> None:
    profile_id = await link(database)
    at = datetime.now(UTC).replace(microsecond=0)
    # Two processes, the one asked after the other was cut off; and twice in one transaction.
    for clicking in (Clicking(database), Clicking(database)):
        led = await clicking.keep("x", [Click(CODE, at), Click(CODE, at + timedelta(milliseconds=900))])
        assert [target and target.url for target in led] == [TARGET, TARGET]
    await Clicking(database).keep("x", [Click(CODE, at + timedelta(seconds=2))])
    assert [event.name for event in await told(database, profile_id)] == ["message.clicked"] * 2


async def test_ten_thousand_wrong_tokens_cost_no_query_and_stop_nobody(database: AsyncEngine) -> None:
    app = create_app(database)
    add_pages(app)
    person = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://go.example.com")
    key = LinkKey()
    await key.load(database)
    right = key.token(About(str(uuid4()), "email"))
    assert (await person.get(f"/u/{right}")).status_code == 200  # this server has its key now
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    sa.event.listen(database.sync_engine, "before_cursor_execute", note)
    tokens = iter([secrets.token_urlsafe(41) if n % 2 else right[:-1] + "x" * (n % 3) for n in range(10_000)])
    answers: list[int] = []

    async def guess() -> None:
        for number, token in enumerate(tokens):
            page = "up"[number % 2]
            answer = await (person.get if number % 5 else person.post)(f"/{page}/{token}")
            answers.append(answer.status_code)

    await asyncio.gather(*(guess() for _ in range(8)))
    sa.event.remove(database.sync_engine, "before_cursor_execute", note)
    assert len(answers) == 10_000
    assert set(answers) == {404, 429}
    assert 0 < answers.count(404) <= 30 * 20  # so many each minute
    assert statements == []
    assert (await person.get(f"/u/{right}")).status_code == 200
    assert (await person.get(f"/u/{right[:-1]}")).headers["retry-after"] == "60"


async def test_while_the_database_is_away_people_are_asked_to_try_again(
    postgres: EmbeddedPostgres, database: AsyncEngine, person: httpx.AsyncClient
) -> None:
    profile_id = await link(database)
    postgres.stop("immediate")
    try:
        answers = [await person.get(path) for path in (f"/r/{CODE}", "/p/x")]
    finally:
        postgres.ensure()
    assert [answer.status_code for answer in answers] == [503, 503]
    assert all("Please try again" in answer.text for answer in answers)
    again = await person.get(f"/r/{CODE}")
    assert (again.status_code, again.headers["location"]) == (302, TARGET)
    assert [event.name for event in await told(database, profile_id)] == ["message.clicked"]
