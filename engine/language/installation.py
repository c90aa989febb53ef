"""`kairos.yaml`: the installation, with its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from engine.core.limits import Budget, Hours, Policy, Quota
from engine.language.addresses import MERGE_BY, SEVERAL
from engine.language.loader import Mapping, Node, plain_data, text_of
from engine.language.policies import read_budget, read_hours, read_policy, read_quotas
from engine.language.scalars import is_zone, read_length, read_rate

ConsentRule = Literal["opt_in", "opt_out", "not_needed"]


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """One of a channel's several providers. Empty `locales` and `regions` are any."""

    name: str
    adapter: str
    settings: dict[str, Any] = field(default_factory=dict)
    locales: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    share: float | None = None
    """In per cent."""
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves a channel, or a part of it: `name` is a route's, None where there are no routes."""

    channel: str
    name: str | None
    adapter: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How a channel is reached.

    `${NAME}` in `settings` stays as it is: who builds the adapter resolves it.
    """

    adapter: str = "outbox"
    on_unknown: Literal["assume_sent", "retry"] = "assume_sent"
    rate: float | None = None
    """At most so many a second."""
    settings: dict[str, Any] = field(default_factory=dict)
    callback_secret: str | None = field(default=None, repr=False)
    """`${NAME}`: what the provider's calls carry in their address. None: no calls are taken."""
    hours: Hours | None = None
    """When marketing may leave by it; None: as its adapter says."""
    budget: Budget | None = None
    quotas: dict[str, Quota] = field(default_factory=dict)
    """Limits of the provider by kind of message, where they are not as its adapter says."""
    routes: tuple[RouteSettings, ...] = ()
    """Several providers; then `adapter` and `settings` say nothing."""

    def signature(self, provider: str | None = None) -> str:
        """What this provider (None: any) puts before a text message, with its brackets; empty if nothing."""
        asked = [route.settings for route in self.routes if provider in (None, route.name)]
        names = (settings.get("sign_name") for settings in asked or [self.settings])
        return next((f"【{name}】" for name in names if isinstance(name, str)), "")


@dataclass(frozen=True, slots=True)
class AudienceSettings:
    """An advertising audience. `${NAME}` in `settings` stays as it is: who builds the adapter resolves it."""

    adapter: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identities:
    """How identifiers lead to profiles. Kinds in neither list are attached only."""

    merge_by: tuple[str, ...] = MERGE_BY
    """Strong kinds, the most telling first."""
    attach: tuple[str, ...] = ()
    several: frozenset[str] = SEVERAL
    """Kinds of which one person may have more than one."""
    phone_region: str | None = None
    most: int = 100
    """So many identifiers of one kind may lead to one profile."""
    sources: tuple[str, ...] = ()
    """Whose word counts first where two say different things at the same instant."""

    strong: tuple[str, ...] = field(init=False, compare=False)
    """Kinds that merge profiles, the most telling first; `external_id` always is one."""
    single: frozenset[str] = field(init=False, compare=False)
    """Strong kinds of which a person has exactly one."""
    ranks: dict[str, int] = field(init=False, compare=False, repr=False)
    """How telling each kind is, the most telling first; kinds that are not there come after all others."""

    def __post_init__(self) -> None:
        # Once: every message asks for them.
        listed = tuple(dict.fromkeys(k for k in self.merge_by if k not in self.attach))
        strong = listed if "external_id" in listed else ("external_id", *listed)
        object.__setattr__(self, "strong", strong)
        object.__setattr__(self, "single", frozenset(strong) - self.several | {"external_id"})
        places = {kind: place for place, kind in enumerate((*strong, *self.attach))}
        object.__setattr__(self, "ranks", places)


@dataclass(frozen=True, slots=True)
class Content:
    """What the check asks of messages. `price` is of one segment of a text message."""

    most_segments: int = 3
    price: float | None = None
    currency: str = ""
    html_kilobytes: int = 102


@dataclass(frozen=True, slots=True)
class Told:
    """A system that is told of changes. `${NAME}` in `url` and `secret` stays as it is.

    `include`: attributes whose values are told. `allow_private`: it may be on a private network.
    """

    name: str
    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Links:
    """What becomes of links in messages. Without `base_url` they stay as they are; `${NAME}` in it stays."""

    base_url: str | None = None
    channels: tuple[str, ...] | None = None
    """Those whose links are replaced; None is every channel."""
    utm: dict[str, str] = field(default_factory=dict)
    expire: timedelta = timedelta(days=180)
    track_opens: bool = False
    track_visits: bool = False

    @property
    def address(self) -> str | None:
        """`base_url` where it is known; None while it is not given, or a `${NAME}` that nobody filled in."""
        known = self.base_url is not None and self.base_url.startswith(("https://", "http://"))
        return self.base_url if known else None


@dataclass(frozen=True, slots=True)
class Installation:
    brand: dict[str, Any] = field(default_factory=dict)
    time_zone: str = "UTC"
    locale: str = "en"
    channels: dict[str, ChannelSettings] = field(default_factory=dict)
    consent: dict[str, ConsentRule] = field(
        default_factory=lambda: {"marketing": "opt_in", "transactional": "not_needed"}
    )
    purposes: tuple[str, ...] = ()
    """What consent can be asked for and withdrawn by itself."""
    policies: dict[str, Policy] = field(default_factory=lambda: {"default": Policy()})
    priorities: tuple[str, ...] = ()
    """Journeys, the most important first; all others come after them."""
    identities: Identities = Identities()
    links: Links = Links()
    webhooks: tuple[Told, ...] = ()
    audiences: dict[str, AudienceSettings] = field(default_factory=dict)
    content: Content = Content()

    def policy(self, name: str) -> Policy:
        """The policy of that name; the default one for a name that is gone."""
        return self.policies.get(name) or self.policies["default"]

    def rank(self, journey: str) -> int:
        """How important a journey is: 0 the most."""
        listed = self.priorities
        return listed.index(journey) if journey in listed else len(listed)

    def channel(self, name: str) -> ChannelSettings:
        """The channel's settings; without an entry it uses the `outbox` adapter."""
        return self.channels.get(name) or ChannelSettings()

    def called(self) -> list[tuple[str, ChannelSettings]]:
        """Every channel with each provider that may call us for it."""
        found = []
        for name, own in self.channels.items():
            if own.callback_secret is not None:
                routes = [replace(own, adapter=r.adapter, settings=r.settings, routes=()) for r in own.routes]
                found += [(name, each) for each in routes or [own]]
        return found

    def providers(self) -> list[Provider]:
        """Who serves the channels that have an entry, one by one: a channel with routes has several."""
        found = []
        for channel, entry in self.channels.items():
            if entry.routes:
                found += [Provider(channel, each.name, each.adapter, each.settings) for each in entry.routes]
            else:
                found.append(Provider(channel, None, entry.adapter, entry.settings))
        return found


def read_installation(root: Node | None) -> Installation:
    """The installation of a node; parts of the wrong shape (reported by `conform`) fall to their defaults."""
    data = plain_data(root) if isinstance(root, Mapping) else {}
    zone = data.get("time_zone")
    policies = {"default": Policy()}
    policies |= {name: read_policy(entry) for name, entry in _table(data.get("policies")).items()}
    links = _table(data.get("links"))
    identities = _table(data.get("identities"))
    consent: dict[str, ConsentRule] = {"marketing": "opt_in", "transactional": "not_needed"}
    for category, rule in _table(data.get("consent")).items():
        if rule in ("opt_in", "opt_out", "not_needed"):
            consent[category] = rule
    return Installation(
        brand=_table(data.get("brand")),
        time_zone=zone if isinstance(zone, str) and is_zone(zone) else "UTC",
        locale=_text(data.get("locale"), "en"),
        channels={name: _channel(entry) for name, entry in _table(data.get("channels")).items()},
        consent=consent,
        purposes=tuple(dict.fromkeys(_texts(_table(data.get("consent")).get("purposes")))),
        policies=policies,
        priorities=tuple(dict.fromkeys(_texts(data.get("priorities")))),
        identities=_identities(identities),
        links=_links(links),
        content=_content(_table(data.get("content"))),
        webhooks=tuple(_told(each) for each in map(_table, _list(data.get("webhooks"))) if "name" in each),
        audiences={name: _audience(entry) for name, entry in _table(data.get("audiences")).items()},
    )


def zone_name(root: Node | None) -> str:
    """The installation's zone, for instants written without an offset."""
    name = text_of(root.get("time_zone")) if isinstance(root, Mapping) else None
    return name if name is not None and is_zone(name) else "UTC"


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [each for each in _list(value) if isinstance(each, str)]


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) else default


def _channel(value: Any) -> ChannelSettings:
    entry = _table(value)
    return ChannelSettings(
        adapter="routes" if entry.get("routes") else _text(entry.get("adapter"), "outbox"),
        on_unknown="retry" if entry.get("on_unknown") == "retry" else "assume_sent",
        rate=read_rate(_text(entry.get("rate"), "")),
        settings=_table(entry.get("settings")),
        callback_secret=_text(entry.get("callback_secret"), "") or None,
        hours=read_hours(entry.get("hours")),
        budget=read_budget(entry.get("budget")),
        quotas=read_quotas(entry.get("quotas")),
        routes=tuple(_route(each) for each in map(_table, _list(entry.get("routes"))) if "adapter" in each),
    )


def _route(entry: dict[str, Any]) -> RouteSettings:
    where, adapter = _table(entry.get("where")), _text(entry.get("adapter"), "")
    return RouteSettings(
        name=_text(entry.get("name"), adapter),
        adapter=adapter,
        settings=_table(entry.get("settings")),
        locales=tuple(_texts(where.get("locale"))),
        regions=tuple(region.upper() for region in _texts(where.get("region"))),
        share=_number(entry.get("share")),
        cost=_number(entry.get("cost")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _audience(value: Any) -> AudienceSettings:
    entry = _table(value)
    return AudienceSettings(_text(entry.get("adapter"), ""), _table(entry.get("settings")))


def _identities(entry: dict[str, Any]) -> Identities:
    merge_by, attach = entry.get("merge_by"), _texts(entry.get("attach"))
    several, most, region = entry.get("several"), entry.get("most"), entry.get("phone_region")
    return Identities(
        merge_by=tuple(_texts(merge_by)) if isinstance(merge_by, list) else MERGE_BY,
        attach=tuple(attach),
        several=frozenset(_texts(several)) if isinstance(several, list) else SEVERAL,
        phone_region=region.upper() if isinstance(region, str) else None,
        most=most if isinstance(most, int) and most > 0 else 100,
        sources=tuple(_texts(entry.get("sources"))),
    )


def _links(entry: dict[str, Any]) -> Links:
    base, channels = entry.get("base_url"), entry.get("channels")
    utm = {name: text for name, text in _table(entry.get("utm")).items() if isinstance(text, str)}
    return Links(
        base_url=base.rstrip("/") if isinstance(base, str) and base else None,
        channels=tuple(_texts(channels)) if isinstance(channels, list) else None,
        utm=utm,
        expire=read_length(_text(entry.get("expire"), "")) or timedelta(days=180),
        track_opens=entry.get("track_opens") is True,
        track_visits=entry.get("track_visits") is True,
    )


def _content(entry: dict[str, Any]) -> Content:
    sms, usual = _table(entry.get("sms")), Content()
    most, price, size = sms.get("most_segments"), sms.get("price"), entry.get("html_kilobytes")
    return Content(
        most if isinstance(most, int) and most > 0 else usual.most_segments,
        float(price) if isinstance(price, int | float) else None,
        _text(sms.get("currency"), ""),
        size if isinstance(size, int) and size > 0 else usual.html_kilobytes,
    )


def _told(entry: dict[str, Any]) -> Told:
    return Told(
        name=_text(entry.get("name"), ""),
        url=_text(entry.get("url"), ""),
        secret=_text(entry.get("secret"), ""),
        events=tuple(_texts(entry.get("events"))),
        include=tuple(_texts(entry.get("include"))),
        allow_private=entry.get("allow_private") is True,
    )
