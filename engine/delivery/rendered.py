"""What is asked once messages are rendered: quotas of providers, then budgets of channels.

What a message is says what it draws on, and how long it is what it costs. Both are kept to for a whole batch:
one query for what opened the quotas, one for what went out on them, one statement a channel for its budget. A
message that may not go by its channel is rendered for the next, and asked about again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from channels.limits import Quota as Declared
from channels.routing import provider_of
from engine.content.units import units
from engine.core.calendar import period_of
from engine.core.limits import Opening, Quota
from engine.delivery import limits
from engine.delivery.choose import pass_over
from engine.delivery.job import Job, Turn
from engine.policy import Closed, spent, within_caps, within_quota
from engine.store import budgets, events, sends

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

BACK: Final = timedelta(days=400)
"""How old an opening may be that has no length of its own."""


async def ask_rendered(connection: AsyncConnection, turn: Turn, jobs: Sequence[Job]) -> None:
    """Passes over the channels of those whose message may not go out now, until each has one that may."""
    asked = [job for job in jobs if job.message is not None and job.bound is None]
    while asked:
        closed = await _quotas(connection, turn, asked)
        for job, found in closed:
            pass_over(turn, job, found)
        gone = {id(job) for job, _ in closed}
        open_ = [job for job in asked if id(job) not in gone]
        refused = await _budgets(connection, turn, open_)
        again = {id(job) for job in refused} | gone
        asked = [job for job in asked if id(job) in again and job.message is not None]
    _note(turn, jobs)


async def hold_again(connection: AsyncConnection, turn: Turn, jobs: Sequence[Job]) -> None:
    """Asks the caps about the next channel of those that were refused: others may have taken its place."""
    asked = [
        job for job in jobs if job.message is not None and job.request is not None and job.request.policy.caps
    ]
    if not asked:
        return
    people = {job.enrolment.profile_id for job in asked}
    await sends.hold(connection, people)
    back = limits.longest(job.request.policy for job in asked if job.request is not None)
    since = min(turn.at(job.order) for job in asked) - (back or timedelta(0))
    counted = await sends.uses(connection, people, since, turn.project.installation.priorities)
    settings = limits.settings(turn.ports, turn.project)
    for job in asked:
        profile = replace(job.profile, uses=counted.get(job.enrolment.profile_id, ()))
        while job.message is not None and job.request is not None:
            found = within_caps(job.request, job.message.channel, profile, settings)
            if found is None:
                break
            pass_over(turn, job, found)


def _note(turn: Turn, jobs: Sequence[Job]) -> None:
    """What each message draws on and takes stands in its row."""
    known = {job.row.row_key: job for job in jobs}
    for sending in turn.sending:
        job = known.get(sending.key)
        if job is not None:
            sending.quota = job.quota
            sending.units = None if job.spent is None else job.spent[2]


async def _quotas(connection: AsyncConnection, turn: Turn, jobs: Sequence[Job]) -> list[tuple[Job, Closed]]:
    needing: list[tuple[Job, Quota, str]] = []
    for job in jobs:
        assert job.message is not None
        job.quota = None
        adapter = turn.ports.adapters[job.message.channel]
        need = adapter.needs(job.message)
        if need is None:
            continue
        provider = provider_of(job.message)
        job.quota = f"{provider or adapter.name}:{need.quota}" + (f":{need.of}" if need.of else "")
        declared = adapter.quotas_of(provider)[need.quota]
        said = turn.project.installation.channel(job.message.channel).quotas.get(need.quota)
        needing.append((job, _as_declared(declared, said), need.of))
    if not needing:
        return []
    people = {job.enrolment.profile_id for job, _, _ in needing}
    await sends.hold(connection, people)
    names = {name for _, quota, _ in needing for name in quota.events}
    now = max(turn.at(job.order) for job, _, _ in needing)
    happened = await events.for_profiles(connection, people, names, now - BACK, now)
    used = await sends.of_quotas(connection, people, {job.quota for job, _, _ in needing if job.quota})
    closed = []
    taken: dict[tuple[str, str], list[datetime]] = {}
    for job, quota, of in needing:
        place = (job.enrolment.profile_id, job.quota or "")
        own = [
            (event.name, event.occurred_at)
            for event in happened.get(job.enrolment.profile_id, ())
            if event.name in quota.events and (not of or event.properties.get(quota.told_by or "") == of)
        ]
        gone = [at for at, key in used.get(place, ()) if key != job.row.key] + taken.get(place, [])
        at = turn.at(job.order)
        found = within_quota(quota, at, own, gone)
        if found is None:
            taken.setdefault(place, []).append(at)
        else:
            closed.append((job, found))
    return closed


def _as_declared(declared: Declared, said: Quota | None) -> Quota:
    """The adapter's quota, with what `kairos.yaml` says instead."""
    openings = tuple(Opening(each.event, each.most, each.lasts) for each in declared.openings)
    return Quota(
        said.openings if said is not None and said.openings else openings,
        declared.adds_up,
        declared.closed_by,
        declared.told_by,
        declared.monthly if said is None or said.monthly is None else said.monthly,
        declared.zone,
    )


async def _budgets(connection: AsyncConnection, turn: Turn, jobs: Sequence[Job]) -> list[Job]:
    """Takes what these messages need; those that find nothing left, with what becomes of them carried out."""
    installation = turn.project.installation
    wanted: dict[tuple[str, datetime], list[tuple[Job, int]]] = {}
    for job in jobs:
        assert job.message is not None
        channel = job.message.channel
        own = installation.channel(channel)
        budget = own.budget
        if budget is not None and job.spent is None:
            begins, _ = period_of(turn.at(job.order), budget.within, installation.time_zone)
            signature = own.signature(provider_of(job.message))
            needed = units(budget, job.message.parts, job.message.address, signature)
            wanted.setdefault((channel, begins), []).append((job, needed))
    refused = []
    settings = limits.settings(turn.ports, turn.project)
    for (channel, begins), asking in sorted(wanted.items(), key=lambda each: each[0]):
        budget = installation.channel(channel).budget
        assert budget is not None
        needs = [(needed, job.step.category == "transactional") for job, needed in asking]
        granted = await budgets.take(connection, channel, begins, budget.most, needs)
        for place, (job, needed) in enumerate(asking):
            if place in granted:
                job.spent = (channel, begins, needed)
                continue
            assert job.request is not None
            pass_over(turn, job, spent(job.request, budget, needed, settings))
            refused.append(job)
    return refused
