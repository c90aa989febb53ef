"""The way out of messages: by a mail program's button, by the page, by the preference page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.applying import apply_project
from engine.customers.link_tokens import About, LinkKey
from engine.ingest.erasure import erase_person
from engine.ingest.intake import accept
from engine.language.project import check_project
from engine.store import clock, consents, events, identities, merging
from engine.store.consents import Consent
from engine.store.database import open_database
from tests.integration.links.conftest import FILES, PHONE, identify, paths, written_to
from workers.api import run_api

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass
class Visit:
    """A customer with a token, before the public pages."""

    database: AsyncEngine
    http: httpx.AsyncClient
    key: LinkKey
    profile_id: str

    def token(self, channel: str = "email", purpose: str = "*") -> str:
        return self.key.token(About(self.profile_id, channel, purpose))

    async def ledger(self, profile_id: str | None = None) -> list[Consent]:
        async with self.database.connect() as connection:
            return await consents.history(connection, profile_id or self.profile_id)

    async def gets(self, channel: str, purpose: str = "*") -> bool | None:
        async with self.database.connect() as connection:
            current = await consents.current(connection, [self.profile_id])
        return current[self.profile_id].granted(channel, "marketing", purpose)


async def customer(database: AsyncEngine, user: str, **traits: object) -> str:
    async with database.connect() as connection:
        now = (await clock.load(connection)).now()
    await accept(database, "test", [identify(user, **traits)], now)
    async with database.connect() as connection:
        return (await identities.find_batch(connection, [("external_id", user)]))["external_id", user]


@pytest.fixture
async def visit(database_url: str) -> AsyncIterator[Visit]:
    database = open_database(database_url)
    project = check_project(FILES)
    await apply_project(database, project, FILES)
    profile_id = await customer(
        database, "v1", email="a@example.com", phone="+8613800000001", consents=["email", "sms"]
    )
    key = LinkKey()
    await key.load(database)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_api(database, port=0, stop=stop, ready=ready.set_result))
    address = await asyncio.wait_for(ready, 20)
    async with httpx.AsyncClient(base_url=address, headers={"user-agent": PHONE}, timeout=20) as http:
        yield Visit(database, http, key, profile_id)
    stop.set()
    await asyncio.wait_for(serving, 20)
    await database.dispose()


async def test_the_button_of_a_mail_program_ends_the_journey(
    database_url: str, temporal_address: str
) -> None:
    async with written_to(
        database_url, temporal_address, "u1", email="a@example.com", consents=["email"]
    ) as (running, person, parts):
        [way_out] = [path for path in paths(parts["text"]) if path.startswith("/u/")]
        answer = await person.post(way_out, data=ONE_CLICK)
        [ended] = await running.ended(1)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "set-cookie" not in answer.headers
    assert ended.exit == "unsubscribed"


async def test_opening_the_page_changes_nothing_and_its_form_does(visit: Visit) -> None:
    before = await visit.ledger()
    page = await visit.http.get(f"/u/{visit.token()}")
    assert page.status_code == 200
    assert "E-mail" in page.text
    assert await visit.ledger() == before
    done = await visit.http.post(f"/u/{visit.token()}", data={"page": "1"})
    assert "You are unsubscribed" in done.text
    last = (await visit.ledger())[-1]
    assert (last.channel, last.granted, last.source, last.text_version) == (
        "email",
        False,
        "unsubscribe page",
        "2026-11 en",
    )
    assert await visit.gets("sms") is True


async def test_one_click_works_as_any_kind_of_form_and_twice_is_once(visit: Visit) -> None:
    address = f"/u/{visit.token()}"
    first = await visit.http.post(address, files={"List-Unsubscribe": (None, "One-Click")})
    length = len(await visit.ledger())
    again = await visit.http.post(address, data=ONE_CLICK)
    assert [first.status_code, again.status_code] == [200, 200]
    assert len(await visit.ledger()) == length
    async with visit.database.connect() as connection:
        told = await events.of_profile(connection, visit.profile_id)
    assert sum(e.name == "consent.changed" and e.properties["granted"] is False for e in told) == 1


async def test_a_message_of_one_purpose_is_unsubscribed_from_that_alone(visit: Visit) -> None:
    await visit.http.post(f"/u/{visit.token(purpose='newsletter')}", data=ONE_CLICK)
    assert await visit.gets("email", "newsletter") is False
    assert await visit.gets("email", "offers") is True


async def test_unsubscribing_by_channel_withdraws_what_was_granted_for_a_purpose_since(visit: Visit) -> None:
    await visit.http.post(f"/p/{visit.token()}", data={"get": ["email:newsletter"]})
    assert [await visit.gets("email"), await visit.gets("email", "newsletter")] == [False, True]
    await visit.http.post(f"/u/{visit.token()}", data=ONE_CLICK)
    assert await visit.gets("email", "newsletter") is False


async def test_the_preference_page_shows_and_keeps_each_choice(visit: Visit) -> None:
    page = (await visit.http.get(f"/p/{visit.token()}")).text
    assert "Nanxun Tea" in page
    assert page.count('type="checkbox"') == page.count(" checked") == 6  # e-mail and SMS, three each
    saved = await visit.http.post(
        f"/p/{visit.token()}", data={"get": ["email:*", "email:newsletter", "sms:offers"]}
    )
    assert saved.text.count(" checked") == 3
    assert 'role="status"' in saved.text
    held = {
        (channel, purpose): await visit.gets(channel, purpose)
        for channel in ("email", "sms")
        for purpose in ("*", "newsletter", "offers")
    }
    assert {place for place, word in held.items() if word} == {
        ("email", "*"),
        ("email", "newsletter"),
        ("sms", "offers"),
    }
    length = len(await visit.ledger())
    await visit.http.post(f"/p/{visit.token()}", data={"get": ["email:*", "email:newsletter", "sms:offers"]})
    assert len(await visit.ledger()) == length


async def test_all_marketing_is_withdrawn_by_one_button(visit: Visit) -> None:
    answer = await visit.http.post(f"/p/{visit.token()}", data={"none": "1", "get": ["email:*"]})
    assert "no more marketing messages" in answer.text
    async with visit.database.connect() as connection:
        current = (await consents.current(connection, [visit.profile_id]))[visit.profile_id]
    assert not any(current.answers().values())


async def test_the_pages_speak_the_language_of_the_customer_or_of_the_browser(visit: Visit) -> None:
    chinese = {"accept-language": "zh-CN,zh;q=0.9"}
    page = await visit.http.get(f"/p/{visit.token()}", headers=chinese)
    assert '<html lang="zh-CN">' in page.text
    assert "消息设置" in page.text
    other = await customer(visit.database, "v2", email="b@example.com", locale="zh_CN")
    token = visit.key.token(About(other, "email"))
    assert "退订" in (await visit.http.get(f"/u/{token}", headers={"accept-language": "fr"})).text


async def test_a_merged_customer_withdraws_for_the_one_there_is_now(visit: Visit) -> None:
    other = await customer(visit.database, "v3", consents=["email"])
    async with visit.database.begin() as connection:
        assert await merging.merge(connection, other, visit.profile_id)
    await visit.http.post(f"/u/{visit.token()}", data=ONE_CLICK)
    last = (await visit.ledger(other))[-1]
    assert (last.profile_id, last.channel, last.granted) == (other, "email", False)


async def test_for_an_erased_customer_there_is_nothing_to_withdraw(visit: Visit) -> None:
    await erase_person(visit.database, visit.profile_id, "ops")
    shown = [await visit.http.get(f"/{page}/{visit.token()}") for page in ("u", "p")]
    posted = await visit.http.post(f"/u/{visit.token()}", data=ONE_CLICK)
    saved = await visit.http.post(f"/p/{visit.token()}", data={"none": "1"})
    assert all("no data about you" in page.text for page in (*shown, saved))
    assert posted.status_code == 200
    assert await visit.ledger() == []


async def test_pages_keep_to_themselves(visit: Visit) -> None:
    for address in (f"/u/{visit.token()}", f"/p/{visit.token()}", "/r/000000000000"):
        headers = (await visit.http.get(address)).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "noindex" in headers["x-robots-tag"]
        assert "script" not in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]


async def test_a_form_that_is_too_large_is_refused_and_changes_nothing(visit: Visit) -> None:
    before = await visit.ledger()
    for data in ({"x": "y" * 20_000}, {f"x{n}": "y" for n in range(1000)}):
        assert (await visit.http.post(f"/u/{visit.token()}", data=data)).status_code == 413
    assert await visit.ledger() == before
