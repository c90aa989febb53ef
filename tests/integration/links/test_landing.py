"""A landing page tells who came by a link, and never makes one customer of two."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.ingest.intake import Accepted, accept
from engine.store import identities
from engine.store.database import open_database
from tests.integration.links.conftest import identify
from tests.integration.links.test_faults import CODE, DAY, link

NOBODY = "ZZZZZZZZZZZZ"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = open_database(database_url)
    yield made
    await made.dispose()


def page(visitor: str, message_id: str, **properties: Any) -> dict[str, Any]:
    return {"type": "page", "anonymousId": visitor, "messageId": message_id, "properties": properties}


async def said(database: AsyncEngine, *messages: dict[str, Any]) -> None:
    answers = await accept(database, "shop", messages, datetime.now(UTC))
    assert all(isinstance(answer, Accepted) for answer in answers)


async def whose(database: AsyncEngine, kind: str, value: str) -> str | None:
    async with database.connect() as connection:
        return (await identities.find_batch(connection, [(kind, value)])).get((kind, value))


async def customer(database: AsyncEngine, user: str = "l1") -> str:
    await said(database, identify(user))
    found = await whose(database, "external_id", user)
    assert found is not None
    return found


@pytest.mark.parametrize("where", ["url", "search"])
async def test_an_unknown_visitor_with_a_code_is_the_customer(database: AsyncEngine, where: str) -> None:
    owner = await customer(database)
    await link(database, owner=owner)
    text = f"?x=1&krs={CODE}" if where == "search" else f"https://shop.example/?x=1&krs={CODE}#top"
    await said(database, page("v1", "m1", **{where: text}))
    assert await whose(database, "anonymous_id", "v1") == owner


async def test_what_a_visitor_did_before_comes_along(database: AsyncEngine) -> None:
    owner = await customer(database)
    await link(database, owner=owner)
    await said(database, page("v1", "m1"))
    assert await whose(database, "anonymous_id", "v1") != owner
    await said(database, page("v1", "m2", search=f"?krs={CODE}"))
    assert await whose(database, "anonymous_id", "v1") == owner


async def test_who_is_known_stays_who_they_are(database: AsyncEngine) -> None:
    owner, friend = await customer(database), await customer(database, "l2")
    await link(database, owner=owner)
    await said(database, {**page("v2", "m1"), "userId": "l2"})
    await said(database, page("v2", "m2", search=f"?krs={CODE}"))
    await said(database, {**page("v3", "m3", search=f"?krs={CODE}"), "userId": "l2"})
    assert [await whose(database, "anonymous_id", visitor) for visitor in ("v2", "v3")] == [friend, friend]
    assert await whose(database, "external_id", "l1") == owner


async def test_codes_that_are_unknown_or_too_old_tell_nothing(database: AsyncEngine) -> None:
    owner = await customer(database)
    await link(database, owner=owner, lasts=-DAY)
    for number, code in enumerate((CODE, NOBODY, f"{CODE}x", "")):
        await said(database, page(f"v{number}", f"m{number}", search=f"?krs={code}"))
        assert await whose(database, "anonymous_id", f"v{number}") not in (owner, None)
