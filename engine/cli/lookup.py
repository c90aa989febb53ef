"""From what an operator types to a customer or an enrolment."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from engine.cli.session import CommandError
from engine.core.codec import plan_from_json
from engine.core.plan import Plan
from engine.customers.applied import identity_rules
from engine.customers.lookup import find, of_any_kind
from engine.store import enrolments, plans, profiles
from engine.store.enrolments import Enrolment
from engine.store.profiles import Profile

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


async def find_profiles(connection: AsyncConnection, customer: str) -> list[Profile]:
    """The customers whom an identifier leads to, merged ones replaced by whom they were merged into.

    `customer` is an identifier of any kind, in any spelling; `KIND:VALUE` for one kind only; or a profile's
    id.
    """
    rules = await identity_rules(connection)
    ids = set(await find(connection, of_any_kind(customer, rules)))
    if (profile_id := as_uuid(customer)) is not None:
        ids.add(profile_id)
    found = await profiles.surviving(connection, ids)
    return sorted({profile.id: profile for profile in found.values()}.values(), key=lambda p: p.created_at)


async def one_profile(connection: AsyncConnection, customer: str) -> Profile:
    """The customer.

    Raises:
        CommandError: nobody, or more than one.
    """
    found = await find_profiles(connection, customer)
    if not found:
        raise CommandError(
            f"nobody is known as {customer}; expected an external id, e-mail address, phone number or other "
            "identifier, or KIND:VALUE such as wechat:o-1"
        )
    if len(found) > 1:
        raise CommandError(
            f"{customer} leads to {len(found)} customers: say which with KIND:VALUE, or by profile id: "
            + ", ".join(profile.id for profile in found)
        )
    return found[0]


async def one_enrolment(connection: AsyncConnection, given: str) -> Enrolment:
    """The enrolment with this id, or of this workflow (`JOURNEY/ENROLMENT`).

    Raises:
        CommandError: there is none.
    """
    enrolment_id = as_uuid(given.rpartition("/")[2])
    found = await enrolments.get_batch(connection, [enrolment_id]) if enrolment_id is not None else {}
    if enrolment_id is None or enrolment_id not in found:
        raise CommandError(f"there is no enrolment {given}; `kairos enrolments` and `kairos find` list them")
    [row] = await enrolments.with_places(connection, [found[enrolment_id]])
    return row


async def plan_of(connection: AsyncConnection, digest: str) -> Plan:
    """The plan with this digest.

    Raises:
        CommandError: it is not stored.
    """
    found = await plans.by_digest(connection, [digest])
    if digest not in found:
        raise CommandError(f"the plan {digest[:12]} is not in this database")
    return plan_from_json(found[digest])


def as_uuid(text: str) -> str | None:
    """An id in its usual form; None for what is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
