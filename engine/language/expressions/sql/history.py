"""Facts beside the profile: stored events, the ledger of consents, scores over all customers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from engine.language.expressions import fading
from engine.language.expressions.closures import OF_EVERY_EVENT
from engine.language.expressions.sql.values import (
    EXACT,
    HUGE,
    TINY,
    Constant,
    Scalar,
    Value,
    json_of,
    numeric,
)
from engine.language.expressions.sql.writer import Gathered, Writer
from engine.language.knowledge import RFM_SEGMENT


def _during(w: Writer, event: str, within: timedelta | None = None, row: str = "r") -> str:
    """That a row of `events` is one of a name that has occurred, in the last while or ever."""
    named = f"{row}.name = {w.bind(event, 'text')}"
    until = f"{row}.occurred_at <= {w.bind(w.now, 'timestamptz')}"
    try:
        since = None if within is None else w.now - within
    except OverflowError:
        since = None
    if since is None:
        return f"{named} AND {until}"
    return f"{named} AND {row}.occurred_at >= {w.bind(since, 'timestamptz')} AND {until}"


def _events(w: Writer, event: str, within: timedelta | None = None) -> Gathered:
    """Events of a name that have occurred, in the last while or ever, by profile."""
    where = _during(w, event, within)
    return w.table(("events", where), lambda alias: Gathered(alias, "events r", where))


def count(w: Writer, event: str, within: timedelta | None) -> Scalar:
    """How many events."""
    counted = _events(w, event, within).column("count(*)")
    return Scalar("number", f"CAST(coalesce({counted}, 0) AS float8)", True, True, counted)


def total(w: Writer, event: str, name: str, types: Mapping[str, str], within: timedelta | None) -> Value:
    """The sum of a property over events; 0 where it holds no number."""
    if types.get(name, "number") not in ("number", "any") or name in ("name", "id", "occurred_at"):
        return Constant(0)
    amount = json_of(f"(r.properties -> {w.bind(name, 'text')})")
    found = numeric(amount)
    # As decimals, so that the order does not matter; what doubles leave gaps at is rounded before.
    rounded = f"CAST(CAST(CAST({found} AS float8) AS text) AS numeric)"
    size = f"abs({found})"
    read = (
        f"CASE WHEN jsonb_typeof({amount.sql}) = 'number' THEN CASE WHEN {size} <= {EXACT} THEN {found} "
        f"WHEN {size} < {w.bind(HUGE, 'numeric')} THEN {rounded} END END"
    )
    exact = f"coalesce(sum({read}), 0)"
    found = f"CASE WHEN abs({exact}) > {w.bind(TINY, 'numeric')} THEN CAST({exact} AS float8) ELSE 0 END"
    bounded = f"CASE WHEN {found} BETWEEN -1e15 AND 1e15 THEN {found} END"
    gathered = _events(w, event, within)
    summed = gathered.column(f"CASE WHEN abs({exact}) < 1e16 THEN {bounded} END")
    sql = f"CASE WHEN {gathered.column('count(*)')} IS NULL THEN 0 ELSE {summed} END"
    return Scalar("number", sql, True, True, summed)


def favourite(w: Writer, event: str, name: str, types: Mapping[str, str], within: timedelta | None) -> Value:
    """The text that a property held most often; of several the one that came last."""
    if types.get(name, "text") not in ("text", "any") or name in OF_EVERY_EVENT:
        return None
    key, where = w.bind(name, "text"), _during(w, event, within, "e")
    newest = "max(ARRAY[CAST(extract(epoch FROM e.occurred_at) * 1000000 AS bigint), e.sequence])"
    source = (
        f"(SELECT e.profile_id, e.properties ->> {key} AS said, count(*) AS times, {newest} AS newest "
        f"FROM events e WHERE {where} AND jsonb_typeof(e.properties -> {key}) = 'string' "
        "GROUP BY e.profile_id, said) r"
    )
    gathered = w.table(
        ("favourite", name, where),
        lambda alias: Gathered(alias, source, "true", "r.times DESC, r.newest DESC"),
    )
    return Scalar("text", gathered.column("r.said"), True)


def decayed(w: Writer, event: str, half_life: timedelta | None) -> Value:
    """How much of a behaviour is left (`engine.language.expressions.fading`)."""
    if half_life is None:
        return None
    gathered = _events(w, event, fading.reach(half_life))
    age = f"CAST(extract(epoch FROM {w.bind(w.now, 'timestamptz')} - r.occurred_at) AS float8)"
    halvings = f"{age} / {w.bind(half_life.total_seconds(), 'float8')}"
    past = "(h.n - floor(h.n) - 0.5)"
    power = repr(fading.TERMS[-1])
    for term in reversed(fading.TERMS[:-1]):
        power = f"({power} * {past} + {term!r})"
    whole = "(CAST(1 AS bigint) << CAST(floor(h.n) AS integer))"
    left = f"CAST(floor({power} / {whole} * 1e9 + 0.5) AS bigint)"
    parts = f"sum((SELECT {left} FROM (SELECT {halvings} AS n OFFSET 0) h))"
    return Scalar("number", f"coalesce({gathered.column(f'CAST({parts} AS float8) / 1e9')}, 0)", True, True)


def occurred(
    w: Writer, which: Literal["first", "last"], event: str, names: tuple[str, ...], types: Mapping[str, str]
) -> Value:
    """The instant of the first or last event, or a property of it. Of one instant: in order of arrival."""
    if not names or names == ("occurred_at",):
        column = _events(w, event).column(f"{'max' if which == 'last' else 'min'}(r.occurred_at)")
        return Scalar("datetime", column, True)
    if names[0] in ("name", "id", "occurred_at"):
        if len(names) > 1:
            return None
        ids = _row(w, which, event).column("CAST(r.event_id AS text)")
        if names[0] == "id":
            return Scalar("text", ids, True)
        return Scalar("text", f"CASE WHEN {ids} IS NOT NULL THEN {w.bind(event, 'text')} END", True)
    properties = json_of(_row(w, which, event).column("r.properties"))
    found = properties.inside(w.bind(names[0], "text"))
    type_ = types.get(names[0], "any")
    if len(names) == 1:
        return type(found)(found.sql, found.text, type_, True)
    if type_ not in ("any", "object"):
        return None
    for name in names[1:]:
        found = found.inside(w.bind(name, "text"))
    return found


def _row(w: Writer, which: Literal["first", "last"], event: str) -> Gathered:
    where = f"r.name = {w.bind(event, 'text')} AND r.occurred_at <= {w.bind(w.now, 'timestamptz')}"
    turn = " DESC" if which == "last" else ""
    order = f"r.occurred_at{turn}, r.sequence{turn}"
    return w.table((which, event), lambda alias: Gathered(alias, "events r", where, order))


def rfm(w: Writer, name: str) -> Scalar:
    """A score or the segment that the engine keeps."""
    gathered = w.table(("rfm",), lambda alias: Gathered(alias, "rfm r", ""))
    if name == RFM_SEGMENT:
        return Scalar("text", gathered.column("r.segment"), True)
    column = name.removeprefix("rfm_")
    return Scalar("number", f"CAST({gathered.column(f'r.{column}')} AS float8)", True, True)


def consent(w: Writer, channel: str, silence: bool) -> str:
    """Whether the last word on a channel, or on every channel, is yes. `silence`: what no word means."""
    alias = "(SELECT l.granted FROM consents l WHERE l.profile_id = p.id AND {0} {1})"
    of_channel = f"channel IN ({w.bind(channel, 'text')}, '*') AND {{0}}category = 'marketing'"
    of_channel += " AND {0}purpose = '*'"
    listed = "r." + of_channel.format("r.")
    said = w.table(("consents", channel), lambda name: Gathered(name, "consents r", listed))
    every, some = said.column("bool_and(r.granted)"), said.column("bool_or(r.granted)")
    # Who said yes and no is asked for the last word; all others are known from the aggregates.
    last = alias.format("l." + of_channel.format("l."), "ORDER BY l.at DESC, l.id DESC LIMIT 1")
    known = f"({some} AND ({every} OR {last}))"
    return f"({some} IS NULL OR {known})" if silence else known


def any_consent(w: Writer, channel: str, silence: bool) -> str:
    """As `consent`, for a channel that is only known in the database."""
    last = (
        "(SELECT l.granted FROM consents l WHERE l.profile_id = p.id AND l.category = 'marketing' "
        f"AND l.purpose = '*' AND l.channel IN ({channel}, '*') ORDER BY l.at DESC, l.id DESC LIMIT 1)"
    )
    return f"({channel} IS NOT NULL AND coalesce({last}, {'true' if silence else 'false'}))"
