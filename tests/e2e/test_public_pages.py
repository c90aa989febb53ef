"""The pages that messages lead to, in a real browser: they stand without scripts, and look right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from engine.cli.applying import apply_project
from engine.customers.link_tokens import About, LinkKey
from engine.ingest.intake import accept
from engine.language.project import check_project
from engine.store import identities
from engine.store.database import open_database
from tests.e2e.conftest import Browse
from workers.api import run_api

FILES = {
    "kairos.yaml": "brand: {name: Nanxun Tea <b>}\nconsent: {purposes: [new-teas, offers]}\n",
    "journeys/catalog.yaml": "{}",
}


@dataclass
class Pages:
    address: str
    token: str


@pytest.fixture
async def pages(database_url: str) -> AsyncIterator[Pages]:
    database = open_database(database_url)
    await apply_project(database, check_project(FILES), FILES)
    traits = {"email": "ida@example.com", "phone": "+8613800000001", "consents": ["email"]}
    person = {"type": "identify", "userId": "p1", "messageId": "m1", "traits": traits}
    await accept(database, "test", [person], datetime.now(UTC))
    async with database.connect() as connection:
        found = await identities.find_batch(connection, [("external_id", "p1")])
    key = LinkKey()
    await key.load(database)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_api(database, port=0, stop=stop, ready=ready.set_result))
    yield Pages(await asyncio.wait_for(ready, 20), key.token(About(found["external_id", "p1"], "email")))
    stop.set()
    await asyncio.wait_for(serving, 20)
    await database.dispose()


async def test_the_pages_stand_and_tell_nothing_of_the_person(pages: Pages, browse: Browse) -> None:
    for path, shown in (("u", "Do you want to stop"), ("p", "New teas")):
        text = await asyncio.to_thread(browse, f"{pages.address}/{path}/{pages.token}")
        assert shown in text
        assert "Nanxun Tea &lt;b&gt;" in text
        assert "ida@example.com" not in text
        assert "13800000001" not in text
    assert text.count('type="checkbox"') == 6
    assert text.count('checked=""') == 3


async def test_a_wrong_token_gets_a_page_that_says_nothing(pages: Pages, browse: Browse) -> None:
    text = await asyncio.to_thread(browse, f"{pages.address}/p/{pages.token[:-2]}")
    assert "This link leads nowhere" in text
    assert "Nanxun" not in text
