"""The pool and the simulator, held against each other on one case or one scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from channels.testing.sink import FakeHttpSink
from engine.core.identity import profile_key
from engine.core.plan import Plan
from engine.language.scenarios import Person, Scenario
from engine.sdk import Action
from engine.simulator import run_scenario
from engine.simulator.scenario import SOURCE as SCENARIO
from tests.integration.parity.authoring import ACTIONS
from tests.integration.parity.cases import Case, checked, simulated, with_sink
from tests.integration.parity.crowds import START, Burst, Operation
from tests.integration.parity.keeping import export, put, shown
from tests.integration.parity.records import Difference, Records, differences, of_database, of_simulation
from tests.integration.parity.shrinking import shrink
from tests.integration.pool.virtual import HandEntry, Happening, virtual

GRACE = timedelta(minutes=2)
"""More than any message of a burst is behind its time."""


async def compare(
    database_url: str, case: Case, *, batch: int = 1_000, grace: timedelta = GRACE
) -> tuple[int, list[Difference]]:
    """Runs a case on both sides; how many enrolments it has, and which differ."""
    wanted = of_simulation(simulated(case).enrolments)
    async with virtual(database_url, case.files, START, grace=grace, batch=batch) as running:
        await running.play([*case.bursts, *case.operations])
        ran = await of_database(running.database, case.people)
    return len(wanted), differences(ran, wanted)


async def explained(
    case: Case,
    found: list[Difference],
    folder: Path,
    new_database: Callable[[], str],
    *,
    batch: int,
    grace: timedelta,
) -> str:
    """The differences in words, with the smallest project that shows the first of them, also on disk."""
    first = found[0]

    async def differs(smaller: Case) -> bool:
        return bool((await compare(new_database(), smaller, batch=batch, grace=grace))[1])

    small = await shrink(case, first.customer, differs)
    _, left = await compare(new_database(), small, batch=batch, grace=grace)
    first = left[0] if left else first
    files = export(small, first.customer, first.journey)
    alone = await differ_from_scenarios(new_database, files)
    if not alone:  # it takes more than a scenario can say
        files = export(small, first.customer, first.journey, arrivals=True)
    place = put(files, folder / f"{first.journey}-{first.customer}")
    return "\n".join(
        [
            f"{len(found)} enrolments differ, batches of {batch}; the first, made smaller:",
            str(first),
            shown(files),
            f"--- all of it is in {place}: try `kairos test --project {place}`, and keep it with",
            f"    cp -r {place} tests/regressions/NAME-THAT-SAYS-WHAT-WENT-WRONG",
        ]
    )


async def differ_from_scenarios(
    new_database: Callable[[], str],
    files: Mapping[str, str],
    actions: Mapping[str, Action] = ACTIONS,
    batch: int = 1_000,
) -> list[str]:
    """Plays every scenario of a project in the pool, and tells where that is not what the simulator says."""
    told = []
    async with FakeHttpSink() as sink:
        files = with_sink(files, sink.url)
        project = checked(files)
        for path, file in sorted(project.scenarios.items()):
            plan = project.plans[file.journey]
            for scenario in file.scenarios:
                run = run_scenario(
                    scenario, plan, catalogue=project.catalogue, installation=project.installation
                )
                wanted = of_simulation(run.enrolments)
                ran = await _played(new_database(), files, scenario, plan, actions, batch)
                told += [f"{path}, {scenario.name}: {each}" for each in _differences(ran, wanted)]
    return told


async def _played(
    database_url: str,
    files: Mapping[str, str],
    scenario: Scenario,
    plan: Plan,
    actions: Mapping[str, Action],
    batch: int,
) -> Records:
    user = scenario.profile.identifiers["external_id"]
    start = scenario.start.astimezone(UTC)
    key = profile_key("external_id", user)
    async with virtual(
        database_url,
        {path: text for path, text in files.items() if not path.startswith("journeys/tests/")},
        start,
        grace=GRACE,
        batch=batch,
        source=SCENARIO,
        actions=actions,
    ) as running:
        await running.play(_happenings(scenario, plan.journey, user, start))
        records = await of_database(running.database, {key: user})
    return {id: record for id, record in records.items() if record.journey == plan.journey}


def _differences(ran: Records, wanted: Records) -> list[Difference]:
    """One by one; by order of entry where an entry by hand has another event id in a scenario."""
    if ran.keys() == wanted.keys():
        return differences(ran, wanted)
    ours, theirs = (
        {str(place): one for place, one in enumerate(sorted(side.values(), key=lambda one: one.entered_at))}
        for side in (ran, wanted)
    )
    return differences(ours, theirs)


def _happenings(scenario: Scenario, journey: str, user: str, start: datetime) -> list[Happening]:
    """The script as messages, orders of operators and entries by hand. Events have the ids that the
    simulator gives them."""

    def message(kind: str, at: datetime, id: str, **rest: Any) -> Burst:
        told = {"type": kind, "userId": user, "messageId": id, "timestamp": at.isoformat(), **rest}
        return Burst(at, [told])

    found: list[Happening] = [message("identify", start, "who", traits=_traits(scenario.profile))]
    for place, entry in enumerate(scenario.script):
        at = start + entry.offset
        match entry.kind:
            case "event":
                id = entry.event_id or str(place)
                found.append(message("track", at, id, event=entry.name, properties=entry.properties))
            case "identify":
                found.append(message("identify", at, f"who-{place}", traits=_traits(entry.person)))
            case "consent":
                found.append(message("identify", at, f"says-{place}", traits={"consents": entry.consent}))
            case "enter":
                key = profile_key("external_id", user)
                found.append(HandEntry(at, journey, key, entry.properties, str(place)))
            case "pause" | "resume":
                found.append(Operation(at, journey, "pause" if entry.kind == "pause" else "resume"))
    return found


def _traits(person: Person) -> dict[str, Any]:
    traits: dict[str, Any] = {
        **person.attributes,
        **{kind: value for kind, value in person.identifiers.items() if kind != "external_id"},
    }
    for name in ("tags", "consents", "segments"):
        if values := getattr(person, name):
            traits[name] = list(values)
    for name in ("time_zone", "locale"):
        if value := getattr(person, name):
            traits[name] = value
    return traits
