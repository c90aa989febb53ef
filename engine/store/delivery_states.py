"""The states of a delivery: claimed, sending, settled.

The order of states is `claimed` → `sending` → a settled one. A claim counts `attempts` up, and whoever goes
on to `sending` must name the number it was given: of two workers that hold the same claim (the first was
slow, not dead) one passes. A settled row is never claimed again; it answers instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect

from engine.store import batch
from engine.store.deliveries import COLUMNS, ID, KEY, SAME_ROW, TYPES, Delivery, DeliveryKey, get_batch

_JUDGED = {"handed_at": "timestamptz", "quota": "text", "units": "integer", "why": "jsonb"}
_WHY = "why = CASE WHEN r.why IS NULL THEN d.why ELSE coalesce(d.why, '[]'::jsonb) || r.why END"


@dataclass(slots=True)
class NewDelivery:
    """A message to claim. `key` is `engine.core.identity.delivery_key`, `at` the step's logical instant."""

    enrolment_id: str
    step: str
    entry_month: date
    key: str
    journey: str
    profile_id: str
    at: datetime
    category: str = "marketing"
    template: str | None = None


_CLAIM = sa.text(f"""
    INSERT INTO deliveries AS d (enrolment_id, step, entry_month, id, key, journey, profile_id, category,
                                 template, state, attempts, owner, claimed_at, at)
    SELECT enrolment_id, step, entry_month, gen_random_uuid(), key, journey, profile_id, category,
           template, 'claimed', 1, :owner, now(), at
    FROM {
    batch.records(
        **KEY,
        key="text",
        journey="text",
        profile_id="uuid",
        category="text",
        template="text",
        at="timestamptz",
    )
}
    ORDER BY enrolment_id, step
    ON CONFLICT (enrolment_id, step, entry_month) DO UPDATE SET
        state = 'claimed', attempts = d.attempts + 1, owner = :owner, claimed_at = now()
        WHERE d.state IN ('claimed', 'deferred')
    RETURNING {COLUMNS}
""").columns(**TYPES)


@dataclass(frozen=True, slots=True)
class Claims:
    """`mine`: claimed by this call. `others`: rows that are settled or being sent, as they stand."""

    mine: dict[DeliveryKey, Delivery]
    others: dict[DeliveryKey, Delivery]


async def claim_batch(connection: AsyncConnection, new: Sequence[NewDelivery], owner: str) -> Claims:
    """Claims messages for the worker `owner`.

    A row that was only `claimed`, or `deferred`, is taken over whoever had it: nothing has been sent on it.
    A message that has no row yet is as good as claimed: it has `attempts` 0, and `write_batch` makes its row.
    """
    unique = {DeliveryKey(n.enrolment_id, n.step, n.entry_month): n for n in new}
    if not unique:
        return Claims({}, {})
    known = await get_batch(connection, unique)
    mine = {key: _unwritten(n, owner) for key, n in unique.items() if key not in known}
    if known:
        values = [{name: getattr(unique[key], name) for name in NewDelivery.__slots__} for key in known]
        result = await connection.execute(_CLAIM, batch.rows(values) | {"owner": owner})
        mine |= {d.row_key: d for d in (batch.build(Delivery, row) for row in result.mappings())}
    return Claims(mine, {key: d for key, d in known.items() if key not in mine})


def _unwritten(new: NewDelivery, owner: str) -> Delivery:
    now = datetime.now(UTC)
    return Delivery(
        enrolment_id=new.enrolment_id,
        step=new.step,
        entry_month=new.entry_month,
        key=new.key,
        journey=new.journey,
        profile_id=new.profile_id,
        category=new.category,
        channel=None,
        template=new.template,
        template_digest=None,
        template_variant=None,
        state="claimed",
        reason=None,
        passed_over=[],
        attempts=0,
        owner=owner,
        at=new.at,
        due_at=None,
        provider=None,
        provider_id=None,
        address_digest=None,
        raw=None,
        created_at=now,
        claimed_at=now,
        sending_at=None,
        settled_at=None,
    )


_WRITE = sa.text(f"""
    INSERT INTO deliveries (enrolment_id, step, entry_month, id, key, journey, profile_id, category, template,
                            state, attempts, owner, claimed_at, at, channel, template_digest,
                            template_variant, reason, passed_over, raw, due_at, handed_at, quota, units, why,
                            provider, address_digest, sending_at, settled_at)
    SELECT enrolment_id, step, entry_month, gen_random_uuid(), key, journey, profile_id, category, template,
           state, 1, :owner, now(), at, channel, template_digest, template_variant, reason,
           coalesce(passed_over, '[]'::jsonb), raw, due_at, handed_at, quota, units, why, provider,
           address_digest, CASE WHEN state = 'sending' THEN now() END,
           CASE WHEN state NOT IN ('claimed', 'sending') THEN now() END
    FROM {
    batch.records(
        **KEY,
        key="text",
        journey="text",
        profile_id="uuid",
        category="text",
        template="text",
        at="timestamptz",
        state="text",
        channel="text",
        template_digest="text",
        template_variant="text",
        reason="text",
        passed_over="jsonb",
        raw="jsonb",
        due_at="timestamptz",
        provider="text",
        address_digest="text",
        **_JUDGED,
    )
}
    ORDER BY enrolment_id, step
    ON CONFLICT (enrolment_id, step, entry_month) DO NOTHING
    RETURNING enrolment_id, step, entry_month
""").columns(enrolment_id=ID)


async def write_batch(
    connection: AsyncConnection, decided: Sequence[tuple[Delivery, Sending | Settlement]], owner: str
) -> set[DeliveryKey]:
    """Makes the rows of messages that had none, with what was decided about each: commit before any call.

    Returns the keys written. One that is missing has a row by now: somebody else is at it.
    """
    if not decided:
        return set()
    values = []
    for row, what in decided:
        value = {name: getattr(row, name) for name in NewDelivery.__slots__}
        if isinstance(what, Sending):
            value |= {
                "state": "sending",
                "channel": what.channel,
                "template_digest": what.template_digest,
                "template_variant": what.template_variant,
                "provider": what.provider,
                "address_digest": what.address_digest,
            }
        else:
            passed_over = [list(pair) for pair in what.passed_over]
            value |= {"state": what.state, "channel": what.channel, "reason": what.reason}
            value |= {"passed_over": passed_over, "raw": what.raw, "due_at": what.due_at}
        value |= _judged(what)
        values.append(value)
    result = await connection.execute(_WRITE, batch.rows(values) | {"owner": owner})
    return {DeliveryKey(row.enrolment_id, row.step, row.entry_month) for row in result}


@dataclass(slots=True)
class Sending:
    """A claim about to be handed to an adapter, with the `attempts` it was claimed with."""

    key: DeliveryKey
    attempts: int
    channel: str
    template: str
    template_digest: str
    handed_at: datetime | None = None
    quota: str | None = None
    units: int | None = None
    why: list[dict[str, Any]] | None = None
    template_variant: str | None = None
    provider: str | None = None
    """Which of the channel's several providers it goes to."""
    address_digest: str | None = None
    """Names the address without telling it: a bounce that comes later is about this one."""


def _judged(what: Sending | Settlement) -> dict[str, Any]:
    if isinstance(what, Settlement):
        return {"why": what.why}
    return {"handed_at": what.handed_at, "quota": what.quota, "units": what.units, "why": what.why}


async def mark_sending(connection: AsyncConnection, about: Sequence[Sending]) -> set[DeliveryKey]:
    """Notes that the calls are about to be made; commit before making them.

    Returns the keys that may be sent. One that is missing was taken over by another worker: do not send it.
    """
    fields = batch.records(
        **KEY,
        attempts="integer",
        channel="text",
        template="text",
        template_digest="text",
        template_variant="text",
        provider="text",
        address_digest="text",
        **_JUDGED,
    )
    return await _update(
        connection,
        f"""
            UPDATE deliveries d SET state = 'sending', sending_at = now(), channel = r.channel,
                template = r.template, template_digest = r.template_digest,
                template_variant = r.template_variant, handed_at = r.handed_at, provider = r.provider,
                address_digest = r.address_digest,
                quota = coalesce(r.quota, CASE WHEN d.channel = r.channel THEN d.quota END),
                units = coalesce(r.units, CASE WHEN d.channel = r.channel THEN d.units END), {_WHY}
            FROM {fields}
            WHERE {SAME_ROW} AND d.state = 'claimed' AND d.attempts = r.attempts
        """,
        [
            {
                **s.key._asdict(),
                "attempts": s.attempts,
                "channel": s.channel,
                "template": s.template,
                "template_digest": s.template_digest,
                "template_variant": s.template_variant,
                "provider": s.provider,
                "address_digest": s.address_digest,
                **_judged(s),
            }
            for s in about
        ],
    )


@dataclass(slots=True)
class Settlement:
    """How a delivery came out.

    State `claimed` gives it back for its next channel or another try: it stays with its owner, unsettled.
    `due_at` (logical) goes with `deferred`. None for `channel`, `provider_id`, `raw` keeps what is there.
    """

    key: DeliveryKey
    attempts: int
    state: str
    channel: str | None = None
    reason: str | None = None
    passed_over: Sequence[tuple[str, str]] = ()
    provider_id: str | None = None
    raw: Any = field(default=None, repr=False)
    due_at: datetime | None = None
    why: list[dict[str, Any]] | None = None


async def settle_batch(connection: AsyncConnection, settlements: Sequence[Settlement]) -> set[DeliveryKey]:
    """Writes how deliveries came out. Returns the keys settled; the others were settled or taken before."""
    fields = batch.records(
        **KEY,
        attempts="integer",
        state="text",
        channel="text",
        reason="text",
        passed_over="jsonb",
        provider_id="text",
        raw="jsonb",
        due_at="timestamptz",
        why="jsonb",
    )
    return await _update(
        connection,
        f"""
            UPDATE deliveries d SET state = r.state, reason = r.reason, passed_over = r.passed_over,
                channel = coalesce(r.channel, d.channel),
                provider_id = coalesce(r.provider_id, d.provider_id),
                raw = coalesce(r.raw, d.raw), due_at = r.due_at, {_WHY},
                settled_at = CASE WHEN r.state = 'claimed' THEN NULL ELSE now() END
            FROM {fields}
            WHERE {SAME_ROW} AND d.state IN ('claimed', 'sending') AND d.attempts = r.attempts
        """,
        [
            {
                **s.key._asdict(),
                "attempts": s.attempts,
                "state": s.state,
                "channel": s.channel,
                "reason": s.reason,
                "passed_over": [list(pair) for pair in s.passed_over],
                "provider_id": s.provider_id,
                "raw": s.raw,
                "due_at": s.due_at,
                "why": s.why,
            }
            for s in settlements
        ],
    )


@lru_cache(maxsize=8)  # taking a text apart costs as much as running it
def _returning(statement: str) -> TextualSelect:
    return sa.text(f"{statement} RETURNING d.enrolment_id, d.step, d.entry_month").columns(enrolment_id=ID)


async def _update(
    connection: AsyncConnection, statement: str, values: list[dict[str, Any]]
) -> set[DeliveryKey]:
    if not values:
        return set()
    result = await connection.execute(_returning(statement), batch.rows(values))
    return {DeliveryKey(row.enrolment_id, row.step, row.entry_month) for row in result}
