"""Journeys over a stream of past events: a dry run."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from engine.core.plan import Plan
from engine.language.catalogue import Catalogue
from engine.language.installation import Installation
from engine.simulator.person import Change, Happening
from engine.simulator.report import Report, report_on
from engine.simulator.settings import Renderer, StandIns, Surroundings
from engine.simulator.simulation import Simulation
from engine.simulator.stream import Crowd, read_stream


class SimulatedProject(Protocol):
    """What a run needs of a project (`engine.language.project.Project` has it)."""

    @property
    def plans(self) -> dict[str, Plan]: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def installation(self) -> Installation: ...


def simulate(
    project: SimulatedProject,
    journeys: list[str] | None,
    messages: Iterable[Mapping[str, Any] | object],
    until: datetime | None = None,
    source: str = "simulate",
    *,
    render: Renderer | None = None,
    stand_ins: StandIns | None = None,
    controls: Sequence[Change] = (),
    since: datetime | None = None,
) -> Report:
    """Runs journeys over messages shaped as `/v1/track` and `/v1/identify` bodies.

    Args:
        journeys: the names of those that run; None runs all together, and then an `enter` step is followed.
        until: ends the run there; None goes on after the last message until every enrolment has ended.
        source: goes into event ids, as the write key's source does.
        stand_ins: take the place of webhooks and actions; without them every call is done and answers null.
        since: when the journeys went live: what happened before is history, and nobody enters by it.
        controls: pauses and resumes of journeys, by an operator; at one instant before all events.

    Raises:
        KeyError: no such journey.
    """
    with _without_collector():
        return _simulate(
            project, journeys, messages, until, source, render, stand_ins or StandIns(), controls, since
        )


def _with(controls: Sequence[Change], script: Iterable[Happening]) -> deque[Happening]:
    """A script with these controls, each before what else happens at its instant."""
    happenings: list[Happening] = [*controls, *script]
    return deque(
        sorted(happenings, key=lambda each: each.at)
    )  # stable: at one instant the controls come first


@contextmanager
def _without_collector() -> Iterator[None]:
    """Nothing that a run makes is given up before its end, so that looking for garbage is a third of its time
    for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _simulate(
    project: SimulatedProject,
    journeys: list[str] | None,
    messages: Iterable[Mapping[str, Any] | object],
    until: datetime | None,
    source: str,
    render: Renderer | None,
    stand_ins: StandIns,
    controls: Sequence[Change],
    since: datetime | None,
) -> Report:
    names = list(project.plans) if journeys is None else journeys
    surroundings = Surroundings(
        project.plans,
        project.catalogue,
        project.installation,
        render,
        follow=journeys is None,
        stand_ins=stand_ins,
        policies={name: project.installation.policy(project.plans[name].policy) for name in names},
    )
    run = Simulation(surroundings, names, since=since)
    stream, unreadable = read_stream(messages)
    crowd = Crowd(run, source)
    for message in stream:
        crowd.take(message)
    told_until = until or (stream[-1].at if stream else None)
    for person in crowd.people:
        if controls:
            person.script = _with(controls, person.script)
        run.add(person, until=told_until)
    run.run(until)
    run.enrolments.sort(key=lambda enrolment: (enrolment.entered_at, enrolment.id))
    reports = {
        name: report_on(
            project.plans[name],
            (enrolment for enrolment in run.enrolments if enrolment.journey.name == name),
            run.refused[name],
            run.zone,
        )
        for name in names
    }
    return Report(
        reports,
        run.enrolments,
        len(stream),
        len(crowd.people),
        unreadable,
        crowd.message_ids,
        until or run.now,
    )
