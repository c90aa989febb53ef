"""The ledger of consents: what is said by traits and on purpose, and what it means."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engine.customers.consent import all_withdrawn
from engine.ingest.consenting import NobodyConsents, Said, WrongConsent, record_consent
from engine.ingest.erasure import export_person
from engine.ingest.intake import accept
from engine.store import consents, events, timeline
from engine.store.consents import Consent, CurrentConsents
from tests.integration.ingest.world import START, World

WELCOME = """
journey: welcome
trigger: {event: cart.updated}
steps:
  - {id: pause, wait: {for: 30d}}
"""


async def identify(world: World, said: Any, minutes: float = 0) -> None:
    message = {"type": "identify", "userId": "c1", "messageId": f"m{minutes}", "traits": {"consents": said}}
    [done] = await accept(world.database, "shop", [message], START + timedelta(minutes=minutes))
    assert done is not None


async def ledger(world: World) -> list[Consent]:
    profile_id = await world.profile()
    async with world.database.connect() as connection:
        return await consents.history(connection, profile_id)


async def now(world: World) -> CurrentConsents:
    profile_id = await world.profile()
    async with world.database.connect() as connection:
        return (await consents.current(connection, [profile_id]))[profile_id]


async def declare(world: World, *purposes: str) -> None:
    async with world.database.begin() as connection:
        text = f"consent: {{purposes: [{', '.join(purposes)}]}}"
        await connection.execute(
            sa.text("UPDATE project SET installation = :text, digest = digest || '1'"), {"text": text}
        )


async def test_traits_say_channel_purpose_source_text_and_time(world: World) -> None:
    yesterday = (START - timedelta(days=1)).isoformat()
    tomorrow = (START + timedelta(days=1)).isoformat()
    await identify(
        world,
        {
            "sms": True,
            "email:offers": False,
            "push": {"granted": True, "purpose": "newsletter", "source": "app", "text_version": "v7"},
            "wechat": {"granted": True, "at": yesterday},
            "wecom": {"granted": False, "at": tomorrow},
            "alipay": "yes",
            "": True,
            "web:": True,
        },
    )
    await identify(world, ["marketing", {"channel": "sms", "granted": False, "purpose": "offers"}, 7], 1)
    said = [(e.channel, e.purpose, e.granted, e.source, e.text_version) for e in await ledger(world)]
    assert said == [
        ("wechat", "*", True, "shop", None),
        ("sms", "*", True, "shop", None),
        ("email", "offers", False, "shop", None),
        ("push", "newsletter", True, "app", "v7"),
        ("wecom", "*", False, "shop", None),
        ("*", "*", True, "shop", None),
        ("sms", "offers", False, "shop", None),
    ]
    assert (await ledger(world))[0].at == START - timedelta(days=1)
    assert (await ledger(world))[4].at == START


async def test_the_same_message_again_adds_nothing(world: World) -> None:
    for _ in range(2):
        await identify(world, {"email": {"granted": True, "purpose": "offers"}})
    assert len(await ledger(world)) == 1


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ([("email", "*", True)], {"*": True, "news": True, "offers": True}),
        ([("email", "news", True)], {"*": None, "news": True, "offers": None}),
        ([("email", "*", True), ("email", "news", False)], {"*": True, "news": False, "offers": True}),
        ([("email", "news", False), ("email", "*", True)], {"*": True, "news": True, "offers": True}),
        ([("email", "news", True), ("*", "*", False)], {"*": False, "news": False, "offers": False}),
        ([("*", "*", False), ("*", "news", True)], {"*": False, "news": True, "offers": False}),
        ([("*", "news", True), ("email", "news", False)], {"*": None, "news": False, "offers": None}),
    ],
)
async def test_the_latest_word_that_speaks_for_a_purpose_counts(
    world: World, said: list[tuple[str, str, bool]], wanted: dict[str, bool | None]
) -> None:
    profile_id = await world.profile()
    entries = [
        Consent(profile_id, channel, granted, START + timedelta(minutes=place), purpose=purpose)
        for place, (channel, purpose, granted) in enumerate(said)
    ]
    async with world.database.begin() as connection:
        await consents.add_batch(connection, entries[::-1])
    current = await now(world)
    assert {purpose: current.granted("email", "marketing", purpose) for purpose in wanted} == wanted


async def test_an_entry_stands_in_the_ledger_the_timeline_and_the_export_and_is_an_event(
    world: World,
) -> None:
    await world.apply(WELCOME)
    await declare(world, "newsletter")
    profile_id = await world.profile()
    said = Said("email", True, "newsletter", source="checkout form", text_version="2026-11")
    kept = await record_consent(world.database, profile_id, said, START)
    async with world.database.connect() as connection:
        [moment] = await timeline.of_profile(connection, profile_id)
        [row] = (await export_person(connection, profile_id))["consents"]
        [event] = await events.of_profile(connection, profile_id)
    assert (moment.what, moment.name, moment.at) == ("consent", "email", START)
    about = {"purpose": "newsletter", "text_version": "2026-11", "source": "checkout form", "granted": True}
    assert about.items() <= moment.details.items()
    assert about.items() <= row.items()
    assert (event.name, event.properties) == (
        "consent.changed",
        {"channel": "email", "granted": True, "purpose": "newsletter"},
    )
    assert await ledger(world) == [kept]


async def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(world: World) -> None:
    await world.apply(WELCOME)
    await declare(world, "newsletter")
    profile_id = await world.profile()
    with pytest.raises(WrongConsent, match="unknown purpose `offers`: there are `newsletter`"):
        await record_consent(world.database, profile_id, Said("email", True, "offers"))
    with pytest.raises(WrongConsent, match="not come yet"):
        await record_consent(world.database, profile_id, Said("email", True), START + timedelta(days=9_000))
    with pytest.raises(NobodyConsents):
        await record_consent(world.database, "7f0c2b5e-0000-4000-8000-000000000000", Said("email", True))
    assert await ledger(world) == []


async def test_consent_of_a_merged_profile_is_that_of_the_one_it_became(world: World) -> None:
    profile_id = await world.profile()
    visitor = {"type": "identify", "anonymousId": "a-1", "traits": {"consents": ["email:newsletter"]}}
    await accept(world.database, "shop", [visitor], START)
    async with world.database.connect() as connection:
        ids = (await connection.execute(sa.text("SELECT CAST(id AS text) FROM profiles"))).scalars().all()
    [other] = set(ids) - {profile_id}
    await accept(world.database, "shop", [visitor | {"userId": "c1", "traits": {}}], START)
    await record_consent(world.database, other, Said("sms", True), START)
    assert {(e.channel, e.purpose) for e in await ledger(world)} == {("email", "newsletter"), ("sms", "*")}


async def test_enrolments_end_with_the_last_purpose_and_not_before(world: World) -> None:
    await world.apply(WELCOME)
    await declare(world, "news", "offers")
    profile_id = await world.profile()
    for purpose in ("news", "offers"):
        await record_consent(world.database, profile_id, Said("email", True, purpose), START)
    await world.event("cart.updated", timedelta(minutes=1))
    await world.route(timedelta(minutes=2))
    await record_consent(
        world.database, profile_id, Said("email", False, "news"), START + timedelta(minutes=3)
    )
    await world.route(timedelta(minutes=4))
    assert not all_withdrawn(await now(world))
    assert [kind for kind, _, _ in await world.outbox()] == ["start"]
    await record_consent(
        world.database, profile_id, Said("email", False, "offers"), START + timedelta(minutes=5)
    )
    await world.route(timedelta(minutes=6))
    assert all_withdrawn(await now(world))
    assert [kind for kind, _, _ in await world.outbox()] == ["start", "control"]
