"""Several providers for one channel: which of them a message goes to, and to whom when that one is down.

    provider = routing.route(message)                       # before the call, and written down
    [outcome] = await routing.send([with_provider(message, provider)])
    other = routing.route(message, tried={provider})        # only if the first surely did not take it

Among the routes whose rules hold for a message, one with a `share` gets that part of all messages, told by a
hash of the message's key; otherwise the cheapest comes first, then the order of the file. A provider that
fails again and again is left alone for a while (its circuit is open), then tried with one message.

`send` never turns to another provider by itself: whoever calls it first writes down which one a message goes
to, so that after a crash, or an unknown outcome, nobody else is ever tried.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import phonenumbers

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.limits import Hours, Need, Quota
from channels.message import Message
from channels.pacing import Outcome
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Reason, Receipt

FAILURES: Final = 5
"""Calls in a row that came to nothing, after which a circuit opens."""
PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 300.0
_PROBE: Final = 30.0
"""Seconds within which a message that tries a provider again must have its outcome."""
_WHOLE: Final = 10_000
OF_THE_PROVIDER: Final = (Reason.CREDENTIALS, Reason.QUOTA)
"""Refusals that are about us and that provider, not about the message."""


@dataclass(frozen=True, slots=True)
class Rule:
    """For which messages a provider stands. Empty is any; `share` in per cent; `cost` of one message."""

    locales: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    share: float | None = None
    cost: float | None = None

    def holds(self, locale: str | None, region: str | None) -> bool:
        return (not self.locales or _speaks(self.locales, locale)) and (
            not self.regions or region in self.regions
        )


@dataclass(slots=True)
class Circuit:
    """Whether a provider is to be tried. Counts in this process."""

    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    open_until: float | None = None
    probe: str | None = None
    """The key of the message that tries the provider again."""
    _pause: float = PAUSE

    def allows(self, key: str) -> bool:
        """Whether it may be tried with this message now: after a pause with one, later with others.

        To ask again about the same message makes no difference.
        """
        if self.open_until is None or (self.probe == key and self.clock() < self.open_until):
            return True
        if self.clock() < self.open_until:
            return False
        self.probe, self.open_until = key, self.clock() + _PROBE
        return True

    @property
    def left(self) -> timedelta:
        """How long it stays open."""
        return timedelta(seconds=max(0.0, (self.open_until or 0.0) - self.clock()))

    def heard(self, outcome: Outcome) -> None:
        if not _is_failure(outcome):
            self.failures, self.open_until, self.probe, self._pause = 0, None, None, PAUSE
            return
        self.failures += 1
        if self.failures < FAILURES:
            return
        if self.probe is not None:
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
        named = getattr(outcome, "retry_after", None)
        pause = max(self._pause, named.total_seconds() if named else 0.0)
        self.probe, self.open_until = None, self.clock() + pause


def _is_failure(outcome: Outcome) -> bool:
    """Whether it speaks of the provider, not of the message."""
    if isinstance(outcome, Rejected):
        return outcome.reason in OF_THE_PROVIDER and not outcome.permanent
    return isinstance(outcome, Unavailable | Throttled | Unknown)


@dataclass(slots=True)
class Route:
    name: str
    adapter: Adapter
    rule: Rule = Rule()
    circuit: Circuit = field(default_factory=Circuit)


class Routing(Adapter):
    """One channel served by several providers, each with its own adapter."""

    name = "routes"

    def __init__(self, channel: str, routes: Sequence[Route]) -> None:
        super().__init__(channel, Settings())
        self.routes = {route.name: route for route in routes}
        each = [route.adapter.capabilities for route in routes]
        # Those that are polled are, whatever the others do; see `results`.
        polled = any(one.polled for one in each)
        self.capabilities = replace(_common(each), polled=polled)  # type: ignore[misc]

    async def open(self) -> None:
        for route in self.routes.values():
            await route.adapter.open()

    async def close(self) -> None:
        for route in self.routes.values():
            await route.adapter.close()

    def capabilities_of(self, provider: str | None) -> Capabilities:
        route = self.routes.get(provider or "")
        return Capabilities() if route is None else route.adapter.capabilities

    def hours_for(self, address: str, locale: str | None, key: str) -> Hours | None:
        return self._order(address, locale, key)[0].adapter.hours

    def quotas_of(self, provider: str | None) -> Mapping[str, Quota]:
        route = self.routes.get(provider or "")
        return {} if route is None else route.adapter.quotas

    def route(self, message: Message, tried: Collection[str] = ()) -> str | None:
        order = [route for route in self.order(message) if route.name not in tried]
        ready = next((route.name for route in order if route.circuit.allows(message.key)), None)
        # With all of them open the first says how long.
        return ready or (order[0].name if order and not tried else None)

    def order(self, message: Message) -> list[Route]:
        """The routes for this message, the first choice first; all of them where no rule holds."""
        return self._order(message.address, message.metadata.get("locale"), message.key)

    def _order(self, address: str, locale: str | None, key: str) -> list[Route]:
        region = _region(address)
        stand = [route for route in self.routes.values() if route.rule.holds(locale, region)]
        found = sorted(
            stand or self.routes.values(),
            key=lambda route: float("inf") if route.rule.cost is None else route.rule.cost,
        )
        chosen = _by_share(found, key)
        return found if chosen is None else [chosen, *(route for route in found if route is not chosen)]

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        places: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            places.setdefault(provider_of(message) or "", []).append(place)
        outcomes: dict[int, Outcome] = {}

        async def hand_over(name: str, own: Sequence[int]) -> None:
            answers = await self._by(name, [messages[place] for place in own])
            outcomes.update(zip(own, answers, strict=True))

        await asyncio.gather(*(hand_over(name, own) for name, own in places.items()))
        return [outcomes[place] for place in range(len(messages))]

    async def _by(self, name: str, messages: Sequence[Message]) -> Sequence[Outcome]:
        route = self.routes.get(name)
        if route is None:
            # It may have gone through by a provider that is not there any more: nobody else may be tried.
            return [Unknown(f"the channel has no provider {name or 'without a name'} now")] * len(messages)
        circuit = route.circuit
        goes = [circuit.allows(message.key) for message in messages]
        going = [message for message, may in zip(messages, goes, strict=True) if may]
        answers = iter(await route.adapter.send(going) if going else ())
        alone = Unavailable(f"{name} is left alone after failures", circuit.left)
        outcomes = [next(answers) if may else alone for may in goes]
        for may, outcome in zip(goes, outcomes, strict=True):
            if may:
                circuit.heard(outcome)
        return outcomes

    def needs(self, message: Message) -> Need | None:
        route = self.routes.get(provider_of(message) or "")
        return None if route is None else route.adapter.needs(message)

    def closes_at(self, message: Message) -> datetime | None:
        route = self.routes.get(provider_of(message) or "")
        return None if route is None else route.adapter.closes_at(message)

    async def results(self, provider_ids: Sequence[str]) -> Sequence[Receipt]:
        asked = [route.adapter for route in self.routes.values() if route.adapter.capabilities.polled]
        return [receipt for adapter in asked for receipt in await adapter.results(provider_ids)]

    async def query(self, messages: Sequence[Message]) -> Sequence[Outcome | None]:
        found: list[Outcome | None] = []
        for message in messages:
            route = self.routes.get(provider_of(message) or "")
            can = route is not None and route.adapter.capabilities.can_query
            found += await route.adapter.query([message]) if route is not None and can else [None]
        return found


def provider_of(message: Message) -> str | None:
    """The provider that `with_provider` gave a message, if any."""
    found: str | None = message.metadata.get("provider")
    return found


def with_provider(message: Message, provider: str | None) -> Message:
    """The message as it goes to that provider."""
    return replace(message, metadata={**message.metadata, "provider": provider})


def _speaks(wanted: Collection[str], locale: str | None) -> bool:
    """Whether a locale is one of these, or a narrower one: `zh-CN` is `zh`."""
    given = (locale or "").lower().replace("_", "-")
    return any(given == each or given.startswith(f"{each}-") for each in map(str.lower, wanted))


def _region(address: str) -> str | None:
    """The country of a phone number; None for other addresses."""
    if not address.startswith("+"):
        return None
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(address))
    except phonenumbers.NumberParseException:
        return None


def _by_share(routes: Sequence[Route], key: str) -> Route | None:
    """Of routes with a share one, always the same for a key."""
    shared = [(route, route.rule.share) for route in routes if route.rule.share is not None]
    total = sum(share for _, share in shared)
    if total <= 0:
        return None
    digest = hashlib.sha256(f"route:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") % _WHOLE / _WHOLE * total
    for route, share in shared:
        place -= share
        if place < 0:
            return route
    return shared[-1][0]


def _common(all_of: Iterable[Capabilities]) -> Capabilities:
    """What can be said of the channel: what each of its providers can."""
    each = list(all_of)
    names = Capabilities.__slots__
    return Capabilities(**{name: all(getattr(one, name) for one in each) for name in names})
