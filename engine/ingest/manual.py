"""What people and other journeys ask for: an entry by hand, an end, a pause.

None of it is done here. An entry by hand is recorded as an event and judged by the router like a trigger;
controls go to the outbox, behind what is waiting there for the same enrolment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine.core import describe
from engine.core.codec import plan_from_json
from engine.core.identity import enrolment_id, event_id, one_per_text, workflow_id
from engine.core.inputs import Control, Exit
from engine.core.plan import Plan
from engine.core.wire import to_json
from engine.ingest.conditions import MANUAL_ENTRY
from engine.ingest.recording import SOURCE, Internal, record_events
from engine.language.types import to_json as value_to_json
from engine.store import enrolments, journeys, plans, pool, profiles, starts
from engine.store.starts import NewStart

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


class EntryRefused(ValueError):
    """The journey cannot be entered by hand. The text says why and what to do."""


class NoCampaign(EntryRefused):
    """The journey does not say itself who is to enter."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry that was asked for. If the router lets it in, the enrolment has this id."""

    event_id: str
    enrolment_id: str
    duplicate: bool = False


async def enterable(connection: AsyncConnection, journey: str, *, campaign: bool = False) -> tuple[str, Plan]:
    """The live plan of a journey that takes people in by hand, and its digest.

    `campaign`: one with `trigger: {audience: …}` instead, which is launched as a whole.

    Raises:
        EntryRefused: there is no such journey, it takes nobody in by hand, or it is not live.
    """
    known = (await journeys.standing(connection)).get(journey)
    if known is None or known[1] is None:
        raise EntryRefused(f"there is no journey {journey!r}; `kairos apply` makes one known")
    status, digest = known
    if status not in ("live", "paused"):
        raise EntryRefused(f"journey {journey!r} is {status}: nobody enters")
    plan = plan_from_json((await plans.by_digest(connection, [digest or ""]))[digest or ""])
    if campaign and plan.trigger.kind != "audience":
        raise NoCampaign(f"journey {journey!r} is no campaign: say who is to enter")
    if plan.trigger.kind == "audience" and not campaign:
        raise EntryRefused(
            f"journey {journey!r} is a campaign for the segment {plan.trigger.segment!r}; "
            f"`kairos enter {journey}` launches it for all of them"
        )
    if plan.trigger.kind == "event":
        raise EntryRefused(
            f"journey {journey!r} is entered by the event {plan.trigger.event!r}; "
            "only a journey with `trigger: {manual: true}` is entered by hand"
        )
    if plan.trigger.kind not in ("manual", "audience"):
        raise EntryRefused(
            f"journey {journey!r} is entered {describe.trigger(plan.trigger)}; "
            "only a journey with `trigger: {manual: true}` is entered by hand"
        )
    return digest or "", plan


def refuse_undeclared(plan: Plan, given: Collection[str]) -> None:
    """A property that the journey does not declare is a slip of the hand, not something to keep.

    Raises:
        EntryRefused: there is one.
    """
    declared = plan.trigger.properties
    unknown = [name for name in given if name not in declared]
    if unknown:
        there = ", ".join(f"{name} ({kind})" for name, kind in declared.items()) or "none"
        raise EntryRefused(f"`{plan.journey}` takes no {', '.join(unknown)}; it takes: {there}")


async def enter_manually(
    connection: AsyncConnection,
    journey: str,
    profile_id: str,
    properties: Mapping[str, Any],
    message_id: str,
    at: datetime,
) -> Asked:
    """Asks for an entry at the logical instant `at`; the same `message_id` again changes nothing.

    Whether the customer enters (`reenter`, a live enrolment) is judged by the router, moments later.

    Raises:
        EntryRefused: there is no such journey, it takes nobody in by hand, or it is not live.
    """
    await enterable(connection, journey)
    owner = (await profiles.surviving(connection, [profile_id])).get(profile_id)
    if owner is None:
        raise EntryRefused(f"there is no profile {profile_id}")
    message_id = f"enter/{journey}/{message_id}"
    given = {name: value_to_json(value) for name, value in properties.items()}
    asked = Internal(owner.id, MANUAL_ENTRY, at, message_id, {"journey": journey, "with": given})
    new = await record_events(connection, [asked], datetime.now(UTC))
    trigger = event_id(SOURCE, message_id)
    enrolment = enrolment_id(journey, owner.key, one_per_text(None), trigger)
    return Asked(trigger, enrolment, duplicate=trigger not in new)


async def end(connection: AsyncConnection, enrolment: str, at: datetime, exit: Exit = "cancelled") -> bool:
    """Tells a live enrolment to end, once what it is just doing is settled; False if it is not live."""
    found = (await enrolments.get_batch(connection, [enrolment])).get(enrolment)
    if found is None or found.status != "live":
        return False
    control = to_json(Control("end", at, exit))
    if found.driver == "pool":
        await pool.call_batch(connection, [(found.id, [control])])
        return True
    workflow = found.workflow_id or workflow_id(found.journey, found.id)
    await starts.add_batch(connection, [NewStart("control", workflow, found.id, control)])
    return True


async def cancel(connection: AsyncConnection, enrolment: str, at: datetime) -> bool:
    """An operator ends a live enrolment, exit `cancelled`; False if it is not live."""
    return await end(connection, enrolment, at, "cancelled")


async def tell_journey(connection: AsyncConnection, journey: str, control: Control) -> int:
    """Hands a control to every live enrolment of a journey, whichever driver runs it; returns how many."""
    told = await starts.control_journey(connection, journey, to_json(control))
    return told + await pool.call_journey(connection, journey, to_json(control))
