"""Policies in production: which one is a message's, whose rows are held, and what counts for caps.

Costs nothing where no policy of a batch has caps: then nobody is held and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from engine.core.limits import NO_POLICY, Hours, Policy
from engine.core.plan import Plan
from engine.delivery.ports import DeliveryPorts, LiveProject, Order
from engine.delivery.sight import Enrolment, enrolments
from engine.policy import Profile, Settings, Why
from engine.store import sends

if TYPE_CHECKING:
    from datetime import datetime

    from engine.store.connection import AsyncConnection

CALENDAR: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
SUMMER_TIME: Final = timedelta(hours=2)
TRIES: Final = 5


def policy_of(project: LiveProject, plan: Plan | None) -> Policy:
    """The policy of a journey, as `kairos.yaml` has it now."""
    return NO_POLICY if plan is None else project.installation.policy(plan.policy)


def settings(ports: DeliveryPorts, project: LiveProject, looks: Sequence[int] = ()) -> Settings:
    """The installation's part of what the rules go by."""
    installation = project.installation
    hours = {
        name: Hours(adapter.hours.opens, adapter.hours.closes, zone=adapter.hours.zone)
        for name, adapter in ports.adapters.items()
        if adapter.hours is not None
    }
    for name, channel in installation.channels.items():
        if channel.hours is not None:
            hours[name] = channel.hours
    return Settings(installation.consent, installation.time_zone, hours, not ports.clock.scaled, looks)


def longest(policies: Iterable[Policy]) -> timedelta | None:
    """How far back the caps of these policies look; None if there are none."""
    looks = [
        cap.within or CALENDAR[cap.calendar or "week"] + SUMMER_TIME
        for policy in policies
        for cap in policy.caps
    ]
    return max(looks, default=None)


async def hold(
    connection: AsyncConnection,
    project: LiveProject,
    plans: Mapping[str, Plan],
    orders: Iterable[Order],
    found: dict[str, Enrolment],
) -> dict[str, Enrolment]:
    """Holds the customers of those orders that caps are about until the transaction ends.

    Returns the enrolments, read again if one of the customers was merged meanwhile.
    """
    capped = {digest for digest, plan in plans.items() if policy_of(project, plan).caps}
    ids = {order.enrolment_id for order in orders if order.digest in capped and order.enrolment_id in found}
    if not ids:
        return found
    for _ in range(TRIES):
        wanted = {found[id].profile_id for id in ids}
        held = await sends.hold(connection, wanted)
        if held == wanted:
            return found
        fresh = await enrolments(connection, ids)
        if {fresh[id].profile_id for id in ids if id in fresh} <= held:
            break
        found = {**found, **fresh}
    return {**found, **fresh}


async def with_uses(
    connection: AsyncConnection,
    project: LiveProject,
    plans: Mapping[str, Plan],
    orders: Iterable[Order],
    found: Mapping[str, Enrolment],
    profiles: dict[str, Profile],
) -> None:
    """Puts into the profiles where their customers are, and what counts for the caps of these orders."""
    zone = project.installation.time_zone
    for enrolment in found.values():
        if enrolment.profile_id in profiles:
            profiles[enrolment.profile_id].time_zone = enrolment.profile.time_zone or zone
    capped = [order for order in orders if policy_of(project, plans[order.digest]).caps]
    back = longest(policy_of(project, plans[order.digest]) for order in capped)
    if back is None:
        return
    since: datetime = min(order.at for order in capped) - back
    ids = {found[order.enrolment_id].profile_id for order in capped}
    counted = await sends.uses(connection, ids, since, project.installation.priorities)
    for profile_id, uses in counted.items():
        profiles[profile_id].uses = uses


def told(at: datetime, verdict: str, why: Iterable[Why]) -> list[dict[str, Any]] | None:
    """What rules said of this message at this instant, as its row keeps it.

    None where the reasons say it all: the row has those anyway.
    """
    why = [each for each in why if each.saw or each.until]
    said = [
        {
            "channel": each.channel,
            "reason": each.reason,
            **({"until": each.until.isoformat()} if each.until else {}),
            **({"saw": dict(each.saw)} if each.saw else {}),
        }
        for each in why
    ]
    return [{"at": at.isoformat(), "verdict": verdict, "rules": said}] if said else None
