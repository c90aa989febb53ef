from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.identity import event_id
from engine.customers.consent import all_withdrawn, record
from engine.customers.facts import FactsRequest, definitions_of, facts_of_event, load_facts
from engine.customers.profiles import Traits, apply_traits
from engine.customers.resolve import resolve_batch
from engine.language.catalogue import Catalogue, EventType, Property, Stage
from engine.language.expressions import evaluate, requirements
from engine.store import events, identities, profiles
from engine.store.consents import Consent
from engine.store.events import NewEvent

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
CATALOGUE = Catalogue(
    events={"order.paid": EventType("order.paid", {"total": Property("number"), "at": Property("date")})},
    profile={
        "first_name": Property("text"),
        "points": Property("number"),
        "trial_ends_at": Property("datetime"),
        "orders": Property("number", computed='count("order.paid", "365d")'),
    },
    tags=("staff",),
    segments={"buyers": 'count("order.paid") > 0', "testers": None},
    stages=(Stage("aware"), Stage("repeat", 'count("order.paid", "365d") > 1')),
)


async def someone(connection: AsyncConnection, name: str = "c-1") -> str:
    [found] = await resolve_batch(connection, [[("external_id", name)]])
    return found.profile_id


async def pay(connection: AsyncConnection, profile_id: str, *days_ago: float) -> None:
    new = []
    for days in days_ago:
        message, at = f"{profile_id}-{days}", NOON - timedelta(days=days)
        new.append(
            NewEvent(
                event_id("t", message), profile_id, "order.paid", at, at, "t", message, {"total": 10, "at": 7}
            )
        )
    await events.insert_batch(connection, new)


async def answers(connection: AsyncConnection, profile_id: str, *texts: str) -> list[object]:
    needs = requirements(texts, definitions_of(CATALOGUE))
    [facts] = await load_facts(
        connection, [FactsRequest(profile_id, NOON, needs)], CATALOGUE, "Asia/Shanghai"
    )
    return [evaluate(text, facts) for text in texts]


async def test_attributes_are_read_by_their_declared_types(connection: AsyncConnection) -> None:
    profile_id = await someone(connection)
    traits = {
        "first_name": "Ida",
        "points": "12",
        "trial_ends_at": "2026-12-01",
        "email": " ida@example.com ",
        "timezone": "Mars/Olympus",
        "locale": "zh-CN",
        "tags": ["staff"],
        "undeclared": {"x": 1},
    }
    await apply_traits(connection, [Traits(profile_id, traits, NOON)])
    assert await answers(
        connection,
        profile_id,
        "profile.first_name",
        "profile.points",
        "profile.trial_ends_at",
        "profile.email",
        "profile.time_zone",
        "profile.locale",
        "profile.external_id",
        'has_tag("staff")',
    ) == [
        "Ida",
        None,
        datetime(2026, 12, 1, tzinfo=ZoneInfo("Asia/Shanghai")),
        "ida@example.com",
        None,
        "zh-CN",
        "c-1",
        True,
    ]
    assert await identities.find_batch(connection, [("email", "ida@example.com")]) == {
        ("email", "ida@example.com"): profile_id
    }
    stored = (await profiles.get_batch(connection, [profile_id]))[profile_id]
    assert stored.attributes["undeclared"] == {"x": 1}


async def test_null_clears_and_a_shared_address_stays_with_its_first_owner(
    connection: AsyncConnection,
) -> None:
    first, second = await someone(connection, "c-1"), await someone(connection, "c-2")
    family = {"email": "family@example.com", "first_name": "Ida"}
    await apply_traits(connection, [Traits(first, family, NOON), Traits(second, family, NOON)])
    await apply_traits(connection, [Traits(second, {"first_name": None}, NOON)])
    assert await answers(connection, second, "profile.first_name", "profile.email") == [
        None,
        "family@example.com",
    ]
    owner = await identities.find_batch(connection, [("email", "family@example.com")])
    assert owner[("email", "family@example.com")] == first


async def test_history_ends_at_now_and_reaches_as_far_back_as_asked(connection: AsyncConnection) -> None:
    profile_id = await someone(connection)
    await pay(connection, profile_id, 400, 20, 0, -1)
    assert await answers(
        connection,
        profile_id,
        'count("order.paid", "30d")',
        'count("order.paid")',
        'total("order.paid", "total", "30d")',
        'last("order.paid") == now',
        'in_segment("buyers")',
        "profile.orders",
        'last("order.paid").total',
    ) == [2, 3, 20, True, True, 2, 10]
    assert await answers(connection, profile_id, 'count("order.paid", "30d")') == [2]
    assert await answers(connection, await someone(connection, "c-2"), 'count("order.paid")') == [0]


async def test_a_batch_gives_each_customer_their_own_facts(connection: AsyncConnection) -> None:
    people = [await someone(connection, f"c-{n}") for n in range(4)]
    for number, profile_id in enumerate(people):
        await pay(connection, profile_id, *range(number))
    needs = requirements('count("order.paid")', definitions_of(CATALOGUE))
    loaded = await load_facts(
        connection,
        [FactsRequest(p, NOON - timedelta(days=d), needs) for p in people for d in (0, 1)],
        CATALOGUE,
    )
    counts = [evaluate('count("order.paid")', facts) for facts in loaded]
    assert counts == [0, 0, 1, 0, 2, 1, 3, 2]


async def test_consent_and_membership_are_read_as_they_stand(connection: AsyncConnection) -> None:
    profile_id = await someone(connection)
    consents = await apply_traits(
        connection,
        [Traits(profile_id, {"consents": ["sms", "marketing"], "segments": ["testers"]}, NOON, "import")],
    )
    assert [(c.channel, c.granted) for c in consents] == [("sms", True), ("*", True)]
    texts = 'consent("sms")', 'consent("email")', 'in_segment("testers")'
    assert await answers(connection, profile_id, *texts) == [True, True, True]

    withdrawn = await record(connection, [Consent(profile_id, "sms", False, NOON + timedelta(minutes=1))])
    assert await answers(connection, profile_id, *texts) == [False, True, True]
    assert not all_withdrawn(withdrawn[profile_id])
    gone = await record(connection, [Consent(profile_id, "*", False, NOON + timedelta(minutes=2))])
    assert await answers(connection, profile_id, *texts) == [False, False, True]
    assert all_withdrawn(gone[profile_id])


async def test_where_silence_means_yes_one_withdrawal_leaves_the_other_channels(
    connection: AsyncConnection,
) -> None:
    profile_id = await someone(connection)
    without_push = await record(connection, [Consent(profile_id, "push", False, NOON)])
    assert all_withdrawn(without_push[profile_id])
    assert not all_withdrawn(without_push[profile_id], "opt_out")

    needs = requirements(['consent("sms")'], definitions_of(CATALOGUE))
    [facts] = await load_facts(
        connection, [FactsRequest(profile_id, NOON, needs)], CATALOGUE, consent_rule="opt_out"
    )
    assert [evaluate(f'consent("{channel}")', facts) for channel in ("push", "sms")] == [False, True]

    gone = await record(connection, [Consent(profile_id, "*", False, NOON + timedelta(minutes=1))])
    assert all_withdrawn(gone[profile_id], "opt_out")


async def test_an_event_shows_its_properties_by_their_types(connection: AsyncConnection) -> None:
    profile_id = await someone(connection)
    await pay(connection, profile_id, 1)
    [event] = await events.of_profile(connection, profile_id)
    shown = facts_of_event(CATALOGUE, event)
    assert shown == {
        "total": 10,
        "at": None,
        "name": "order.paid",
        "id": event.event_id,
        "occurred_at": event.occurred_at,
    }


async def test_of_an_unknown_profile_nothing_is_known(connection: AsyncConnection) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    assert await answers(connection, nobody, "profile.first_name", 'count("order.paid")') == [None, 0]
