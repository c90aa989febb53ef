"""Applying a project to a real database, and what is said before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.applying import Applied, Changes, NotApplied, apply_project, find_changes
from engine.cli.check import check_folder
from engine.cli.project_folder import read_project
from engine.core.codec import digest, plan_from_json
from engine.core.identity import enrolment_id, workflow_id
from engine.customers.resolve import resolve_batch
from engine.ingest.operating import CannotOperate, operate
from engine.store import enrolments, holds, journeys, plans, project, starts
from engine.store.enrolments import Enrolment
from engine.store.listening import Listener
from engine.store.tables import PROJECT_CHANNEL

AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)


async def apply(database: AsyncEngine, folder: Path, *, archive_missing: bool = False) -> Applied:
    return await apply_project(
        database, check_folder(folder), read_project(folder), archive_missing=archive_missing
    )


async def changes(database: AsyncEngine, folder: Path) -> Changes:
    async with database.connect() as connection:
        return await find_changes(connection, check_folder(folder), read_project(folder))


def kinds(found: Changes) -> dict[str, str]:
    return {journey.name: journey.kind for journey in found.journeys}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def enrol(database: AsyncEngine, journey: str, customer: str = "c1") -> Enrolment:
    """A live enrolment on the plan that is live."""
    async with database.begin() as connection:
        (who,) = await resolve_batch(connection, [[("external_id", customer)]])
        live = (await journeys.standing(connection))[journey][1]
        assert live is not None
        one = enrolment_id(journey, who.key, "", f"event-{customer}")
        row = Enrolment(
            id=one,
            journey=journey,
            digest=live,
            profile_id=who.profile_id,
            profile_key=who.key,
            one_per="",
            trigger_event_id=None,
            trigger={"name": "page.viewed", "id": "x", "occurred_at": AT.isoformat()},
            holdout=False,
            entered_at=AT,
            workflow_id=workflow_id(journey, one),
        )
        await enrolments.insert_batch(connection, [row])
    return row


async def test_the_first_apply_makes_everything_live(database: AsyncEngine, folder: Path) -> None:
    assert kinds(await changes(database, folder)) == {"called": "new", "welcome": "new"}
    applied = await apply(database, folder)
    async with database.connect() as connection:
        standing = await journeys.standing(connection)
        stored = await plans.live(connection)
        kept = await project.load(connection)
    assert standing == {name: ("live", applied.live[name]) for name in ("called", "welcome")}
    assert digest(plan_from_json(stored["welcome"][1])) == applied.live["welcome"]
    assert kept is not None
    assert kept.digest == applied.digest
    assert kept.installation == "time_zone: UTC\n"
    assert set(kept.templates) == {"templates/hello/email.subject.j2", "templates/hello/email.text.j2"}
    assert set(kept.files) == {"journeys/called.yaml", "journeys/welcome.yaml"}


async def test_applying_again_changes_nothing(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    again = await apply(database, folder)
    assert not again.changes.any
    assert again.live == {}
    async with database.connect() as connection:
        assert len(await project.history(connection)) == 1


async def test_a_mistake_anywhere_keeps_everything_as_it_is(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    edit(folder / "journeys/welcome.yaml", "for: 1h", "for: 2h")
    edit(folder / "journeys/called.yaml", "for: 1h", "for: soon")
    with pytest.raises(NotApplied) as refused:
        await apply(database, folder)
    assert [each.path for each in refused.value.diagnostics] == ["journeys/called.yaml"]
    edit(folder / "journeys/called.yaml", "for: soon", "for: 1h")
    assert kinds(await changes(database, folder))["welcome"] == "changed"


async def test_a_change_is_said_step_by_step_with_who_is_under_way(
    database: AsyncEngine, folder: Path
) -> None:
    await apply(database, folder)
    await enrol(database, "welcome", "c1")
    edit(folder / "journeys/welcome.yaml", "for: 1h", "for: 30m")
    await apply(database, folder)
    await enrol(database, "welcome", "c2")
    edit(folder / "journeys/welcome.yaml", "for: 30m", "for: 45m")
    (changed,) = [j for j in (await changes(database, folder)).journeys if j.name == "welcome"]
    assert [difference.text for difference in changed.differences] == ["`cool-off` waits 45m instead of 30m"]
    assert (changed.version, changed.under_way, changed.on_older_plans) == (2, 1, 1)


async def test_those_under_way_keep_their_plan(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    row = await enrol(database, "welcome")
    edit(folder / "journeys/welcome.yaml", "for: 1h", "for: 30m")
    applied = await apply(database, folder)
    async with database.connect() as connection:
        found = (await enrolments.get_batch(connection, [row.id]))[row.id]
        stored = await plans.by_digest(connection, [found.digest])
    assert found.digest == row.digest != applied.live["welcome"]
    assert found.digest in stored


async def test_templates_and_settings_are_listed_with_the_keys_that_differ(
    database: AsyncEngine, folder: Path
) -> None:
    await apply(database, folder)
    (folder / "kairos.yaml").write_text("time_zone: Asia/Shanghai\nbrand: {name: Tea}\n")
    (folder / "templates/hello/email.text.j2").write_text("Hello again\n")
    (folder / "templates/hello/sms.text.j2").write_text("Hello\n")
    found = await changes(database, folder)
    assert [(f.path, f.change, f.keys) for f in found.files] == [
        ("kairos.yaml", "changed", ("time_zone", "brand")),
        ("templates/hello/email.text.j2", "changed", ()),
        ("templates/hello/sms.text.j2", "new", ()),
    ]
    assert kinds(found) == {"called": "same", "welcome": "same"}


async def test_a_journey_without_a_file_stays_live_until_it_is_asked_for(
    database: AsyncEngine, folder: Path
) -> None:
    await apply(database, folder)
    (folder / "journeys/called.yaml").unlink()
    assert kinds(await changes(database, folder))["called"] == "missing"
    assert (await apply(database, folder)).archived == ()
    assert (await apply(database, folder, archive_missing=True)).archived == ("called",)
    async with database.connect() as connection:
        assert (await journeys.standing(connection))["called"][0] == "archived"
    assert "called" not in kinds(await changes(database, folder))


async def test_applying_wakes_no_archived_and_no_paused_journey(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    await operate(database, "called", "archive")
    await operate(database, "welcome", "pause")
    edit(folder / "journeys/called.yaml", "for: 1h", "for: 2h")
    edit(folder / "journeys/welcome.yaml", "for: 1h", "for: 2h")
    assert kinds(await changes(database, folder)) == {"called": "archived", "welcome": "changed"}
    await apply(database, folder)
    async with database.connect() as connection:
        standing = await journeys.standing(connection)
    assert {name: status for name, (status, _) in standing.items()} == {
        "called": "archived",
        "welcome": "paused",
    }


async def test_two_applies_at_once_come_one_after_the_other(database: AsyncEngine, folder: Path) -> None:
    first, second = await asyncio.gather(apply(database, folder), apply(database, folder))
    assert sorted([len(first.live), len(second.live)]) == [0, 2]


async def test_routers_and_workers_are_told(database: AsyncEngine, folder: Path) -> None:
    async with Listener(database, PROJECT_CHANNEL) as listener:
        await apply(database, folder)
        assert await listener.wait(10), "no notification within ten seconds of the apply"


# --- pausing, resuming, archiving -----------------------------------------------------------------------


async def controls(database: AsyncEngine) -> list[tuple[str, str]]:
    """(enrolment, action) of the controls that wait to be played."""
    async with database.begin() as connection:
        rows = await starts.open_wakes(connection, [], 100)
    return [(row.enrolment_id, row.payload["action"]) for row in rows if row.kind == "control"]


async def test_a_pause_reaches_everybody_under_way(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    rows = [await enrol(database, "welcome", customer) for customer in ("c1", "c2")]
    other = await enrol(database, "called")
    done = await operate(database, "welcome", "pause")
    assert (done.before, done.status, done.under_way, done.told) == ("live", "paused", 2, 2)
    told = await controls(database)
    assert sorted(told) == sorted((row.id, "pause") for row in rows)
    assert other.id not in dict(told)


async def test_a_pause_waits_for_a_batch_of_the_router(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    async with database.connect() as router:
        await holds.hold_routers(router)
        pausing = asyncio.create_task(operate(database, "welcome", "pause"))
        done, _ = await asyncio.wait([pausing], timeout=0.3)
        assert not done
        await router.rollback()
    assert (await asyncio.wait_for(pausing, 10)).status == "paused"


async def test_archiving_lets_those_under_way_go_on(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    await enrol(database, "welcome")
    done = await operate(database, "welcome", "archive")
    assert (done.under_way, done.told) == (1, 0)
    assert await controls(database) == []


async def test_archiving_a_paused_journey_frees_those_under_way(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    row = await enrol(database, "welcome")
    await operate(database, "welcome", "pause")
    await operate(database, "welcome", "archive")
    assert await controls(database) == [(row.id, "pause"), (row.id, "resume")]


async def test_archiving_can_end_those_under_way(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    row = await enrol(database, "welcome")
    await operate(database, "welcome", "archive", end=True)
    assert await controls(database) == [(row.id, "end")]


async def test_what_cannot_be_paused_is_said(database: AsyncEngine, folder: Path) -> None:
    await apply(database, folder)
    with pytest.raises(CannotOperate, match="called, welcome"):
        await operate(database, "nowhere", "pause")
    await operate(database, "welcome", "archive")
    with pytest.raises(CannotOperate, match="kairos resume welcome"):
        await operate(database, "welcome", "pause")
    assert (await operate(database, "welcome", "resume")).status == "live"
