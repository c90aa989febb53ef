"""Clicks and opens: kept as events of the message's customer before whoever clicked is led on.

What people do becomes `message.clicked` and `message.opened`, which journeys can wait for. What machines do,
who follow links to look for danger or to draw a preview, becomes `message.scanned`, which no journey sees.
Three signs tell of a machine: its own word (`Click.machine`), a click on an e-mail sooner than anybody reads
one, and a third link of one message within seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from engine.ingest.heeded import Heeded
from engine.ingest.recording import Internal, record_events
from engine.store import clock, message_links
from engine.store.database import in_transaction
from engine.store.message_links import Target

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

TOO_SOON: Final = timedelta(seconds=2)
"""After an e-mail was handed over: nobody has it yet, only gateways on the way."""
BURST: Final = timedelta(seconds=10)
BURST_LINKS: Final = 3
"""So many links of one e-mail within `BURST` are a gateway looking through it."""
KEPT_EXPIRED: Final = timedelta(days=30)
_MOST_REMEMBERED: Final = 10_000

Machine = Literal["agent", "prefetch", "too_soon", "burst"]
"""What told of it."""


@dataclass(frozen=True, slots=True)
class Click:
    """A code that was asked for at this instant of the wall. `machine`: what the request itself gave away.

    `counted` false only asks where it leads. `proxy`: a picture that a mail service fetched for somebody.
    """

    code: str = field(repr=False)
    at: datetime
    kind: message_links.Kind = "link"
    machine: Machine | None = None
    counted: bool = True
    proxy: bool = False


class Clicking:
    """Keeps clicks, many in one transaction; remembers the last seconds, to know machines by their pace."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._heeded = Heeded()
        self._cared_about: frozenset[str] = frozenset()
        self._recent: OrderedDict[tuple[str, str], dict[str, datetime]] = OrderedDict()

    async def keep(self, source: str, clicks: Sequence[Click]) -> list[Target | None]:
        """Records the clicks; returns where each leads, in order; None for codes that lead nowhere.

        The same link within the same second is one click: who clicks twice by mistake, or whose program asks
        again after a cut connection, is counted once.
        """

        async def work(connection: AsyncConnection) -> list[Target | None]:
            found = await message_links.find_batch(connection, [click.code for click in clicks])
            led = [found.get(click.code) for click in clicks]
            led = [t if t is None or t.kind == c.kind else None for c, t in zip(clicks, led, strict=True)]
            counted = [
                (click, target)
                for click, target in zip(clicks, led, strict=True)
                if target is not None and click.counted and not target.expired
            ]
            if counted:
                await self._record(connection, counted)
            return led

        return await in_transaction(self._database, work)

    async def _record(self, connection: AsyncConnection, counted: Sequence[tuple[Click, Target]]) -> None:
        ticking = await clock.load(connection)
        events = []
        for click, target in counted:
            # On a scaled clock people are as fast as machines.
            machine = click.machine if ticking.scaled else self._machine(click, target)
            events.append(_event(click, target, ticking.logical(click.at), machine))
        # Plans are kept for good, so what one of them once cared about need not be asked again.
        if not {event.name for event in events} <= self._cared_about:
            self._cared_about = await self._heeded.names(connection)
        for event in events:
            event.heeded = event.name in self._cared_about
        await record_events(connection, events, datetime.now(UTC))

    def _machine(self, click: Click, target: Target) -> Machine | None:
        if click.machine is not None or click.kind == "open" or target.channel != "email":
            return click.machine
        if target.sending_at is not None and click.at - target.sending_at < TOO_SOON:
            return "too_soon"
        return "burst" if self._links_lately(click, target) >= BURST_LINKS else None

    def _links_lately(self, click: Click, target: Target) -> int:
        place = (target.enrolment_id, target.step)
        before = self._recent.pop(place, {})
        recent = {code: at for code, at in before.items() if click.at - at < BURST}
        recent[target.code] = click.at
        self._recent[place] = recent
        if len(self._recent) > _MOST_REMEMBERED:
            self._recent.popitem(last=False)
        return len(recent)


def _event(click: Click, target: Target, at: datetime, machine: Machine | None) -> Internal:
    properties = {
        "enrolment_id": target.enrolment_id,
        "step": target.step,
        "template": target.template,
        "channel": target.channel,
    }
    second = int(click.at.timestamp())
    if click.kind == "open":
        about = f"open/{target.code}/{second // 60}"
        return Internal(target.profile_id, "message.opened", at, about, {**properties, "proxy": click.proxy})
    if machine is not None:
        seen = {**properties, "link": target.name, "machine": machine}
        return Internal(target.profile_id, "message.scanned", at, f"scan/{target.code}/{second}", seen)
    about = f"click/{target.code}/{second}"
    return Internal(target.profile_id, "message.clicked", at, about, {**properties, "link": target.name})


async def forget_links(database: AsyncEngine, batch: int = 10_000) -> int:
    """Deletes links that expired a month ago and more; returns how many. Until then their page says so."""
    before, gone = datetime.now(UTC) - KEPT_EXPIRED, 0
    while True:

        async def work(connection: AsyncConnection) -> int:
            return await message_links.forget(connection, before, batch)

        deleted = await in_transaction(database, work)
        gone += deleted
        if deleted < batch:
            return gone
