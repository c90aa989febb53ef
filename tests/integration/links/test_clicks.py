"""From a link in a message to the click that moves its journey on."""

from __future__ import annotations

import sqlalchemy as sa

from engine.ingest.erasure import erase_person, export_person
from engine.store import events, identities, profiles
from engine.store.events import Event
from tests.integration.harness import Kairos
from tests.integration.links.conftest import paths, written_to


async def profile_of(running: Kairos, user: str) -> str:
    async with running.database.connect() as connection:
        found = await identities.find_batch(connection, [("external_id", user)])
    return found["external_id", user]


async def events_of(running: Kairos, user: str, name: str) -> list[Event]:
    profile_id = await profile_of(running, user)
    async with running.database.connect() as connection:
        return [e for e in await events.of_profile(connection, profile_id) if e.name == name]


async def tags_of(running: Kairos, user: str) -> tuple[str, ...]:
    profile_id = await profile_of(running, user)
    async with running.database.connect() as connection:
        return tuple((await profiles.get_batch(connection, [profile_id]))[profile_id].tags)


async def test_a_click_leads_on_and_moves_the_journey(database_url: str, temporal_address: str) -> None:
    async with written_to(database_url, temporal_address, "c1", phone="+8613800000001", consents=["sms"]) as (
        running,
        person,
        parts,
    ):
        [link] = paths(parts["text"])
        answer = await person.get(link)
        [ended] = await running.ended(1)
        [click] = await events_of(running, "c1", "message.clicked")
        tags = await tags_of(running, "c1")
    assert (answer.status_code, answer.headers["cache-control"]) == (302, "no-store")
    assert answer.headers["location"] == (
        "https://shop.example/cart?id=k1&utm_source=kairos&utm_campaign=cart&utm_content=offer"
    )
    assert parts["text"] == f"看看 https://go.example.com{link}。"
    assert ended.exit == "completed"
    assert tags == ("keen",)
    assert click.properties["link"] == "offer"
    assert (click.properties["step"], click.properties["channel"]) == ("hi", "sms")


async def test_what_machines_follow_is_no_click(database_url: str, temporal_address: str) -> None:
    async with written_to(database_url, temporal_address, "c2", phone="+8613800000001", consents=["sms"]) as (
        running,
        person,
        parts,
    ):
        [link] = paths(parts["text"])
        for headers in (
            {"user-agent": "facebookexternalhit/1.1"},
            {"sec-purpose": "prefetch;prerender"},
            {"user-agent": ""},
        ):
            answer = await person.get(link, headers=headers)
            assert answer.status_code == 302
        looked = await person.head(link)
        clicks = await events_of(running, "c2", "message.clicked")
        scans = await events_of(running, "c2", "message.scanned")
        [enrolment] = await running.enrolments()
    assert (looked.status_code, looked.content) == (302, b"")
    assert clicks == []
    assert {scan.properties["machine"] for scan in scans} <= {"agent", "prefetch"}
    assert scans
    assert enrolment.status == "live"


async def test_many_links_of_one_mail_at_once_are_a_gateway(database_url: str, temporal_address: str) -> None:
    async with written_to(
        database_url, temporal_address, "c3", email="a@example.com", consents=["email"]
    ) as (running, person, parts):
        links = [path for path in paths(parts["html"]) if path.startswith("/r/")]
        soon = await person.get(links[0])
        async with running.database.begin() as connection:  # later, when mail may have been read
            await connection.execute(sa.text("UPDATE deliveries SET sending_at = now() - interval '1 hour'"))
        for link in links:
            await person.get(link)
        clicks = await events_of(running, "c3", "message.clicked")
        scans = await events_of(running, "c3", "message.scanned")
    assert soon.status_code == 302
    assert len(links) == 3
    assert {click.properties["link"] for click in clicks} == {"offer", "https://shop.example/terms"}
    assert {scan.properties["machine"] for scan in scans} == {"too_soon", "burst"}


async def test_links_of_an_erased_customer_lead_nowhere(database_url: str, temporal_address: str) -> None:
    async with written_to(database_url, temporal_address, "c5", phone="+8613800000001", consents=["sms"]) as (
        running,
        person,
        parts,
    ):
        profile_id = await profile_of(running, "c5")
        async with running.database.connect() as connection:
            exported = await export_person(connection, profile_id)
        await erase_person(running.database, profile_id, "ops")
        answer = await person.get(paths(parts["text"])[0])
        async with running.database.connect() as connection:
            left = (await connection.execute(sa.text("SELECT count(*) FROM message_links"))).scalar_one()
    assert [row["name"] for row in exported["message_links"]] == ["offer"]
    assert answer.status_code == 404
    assert left == 0


async def test_an_opened_mail_is_told_and_the_machines_of_mail_services_are_marked(
    database_url: str, temporal_address: str
) -> None:
    async with written_to(
        database_url, temporal_address, "c4", email="a@example.com", consents=["email"]
    ) as (running, person, parts):
        [pixel] = [path for path in paths(parts["html"]) if path.startswith("/o/")]
        picture = await person.get(pixel, headers={"user-agent": "GoogleImageProxy"})
        [opened] = await events_of(running, "c4", "message.opened")
        await person.get(pixel.replace("/o/", "/r/").removesuffix(".gif"))
        clicks = await events_of(running, "c4", "message.clicked")
    assert picture.headers["content-type"] == "image/gif"
    assert opened.properties["proxy"] is True
    assert clicks == []
