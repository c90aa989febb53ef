"""What a slice works out in SQL is what Python says."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.assignment import share
from engine.core.identity import crowd_enrolment_id, profile_key
from engine.store import crowd_slices, crowds, enrolments, journeys, profiles
from engine.store.crowd_slices import Rules
from engine.store.enrolments import Filter
from engine.store.profiles import NewProfile

AT = datetime(2026, 11, 11, 10, tzinfo=UTC)
VECTORS = json.loads(Path("tests/vectors/assignment.json").read_text(encoding="utf-8"))["cases"]


async def enter(connection: AsyncConnection, journey: str, holdout: int) -> dict[str, bool]:
    """Everybody enters; who is held out, by the profile's key."""
    crowd_id = str(uuid.uuid4())
    await journeys.apply_batch(connection, {journey: ("d", "")})
    await crowds.add(connection, crowd_id, journey, "d", "all")
    await crowds.begin(connection, crowd_id)
    crowd = await crowds.get(connection, crowd_id)
    assert crowd is not None
    await crowds.set_out(connection, crowd, AT)
    crowd = await crowds.get(connection, crowd_id, hold=True)
    assert crowd is not None
    sliced = await crowd_slices.enter_slice(connection, crowd, Rules("pool", "after_exit", holdout))
    found = await enrolments.find(connection, Filter(journey=journey), limit=10_000)
    assert sliced.entered == sliced.seen == len(found)
    for one in found:
        wanted = crowd_enrolment_id(journey, one.profile_key, "null", crowd_id, one.profile_id)
        assert one.id == wanted
    return {one.profile_key: one.holdout for one in found}


async def test_ids_and_holdout_agree_with_python(connection: AsyncConnection) -> None:
    keys = [profile_key("external_id", f"c{number}") for number in range(500)]
    # Keys are hashes; whatever they were, bytes are bytes.
    keys += ["", "c1", "\u5ba2\u6237", "key with spaces"]
    await profiles.make_batch(connection, [NewProfile(str(uuid.uuid4()), key) for key in keys])
    for journey, holdout in (("sale", 1), ("sale-2", 2_500), ("unpaid-cart", 5_000), ("vip", 9_999)):
        held = await enter(connection, journey, holdout)
        assert held == {key: share(f"{journey}/holdout", key) < holdout for key in keys}


@pytest.mark.parametrize(
    "case", [case for case in VECTORS if case["salt"].endswith("/holdout")], ids=lambda case: str(case["key"])
)
async def test_the_holdout_is_that_of_the_vectors(
    connection: AsyncConnection, case: dict[str, str | int]
) -> None:
    """Exactly at the share of the key it changes."""
    key, position = str(case["key"]), int(case["share"])
    await profiles.make_batch(connection, [NewProfile(str(uuid.uuid4()), key)])
    journey = str(case["salt"]).removesuffix("/holdout")
    if position > 0:
        assert await enter(connection, journey, position) == {key: False}
    await connection.execute(sa.text("DELETE FROM enrolments"))
    await connection.execute(sa.text("DELETE FROM pool_rows"))
    assert await enter(connection, journey, position + 1) == {key: True}
