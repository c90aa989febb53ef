"""`kairos.yaml`: the installation, with its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from engine.language.addresses import MERGE_BY, SEVERAL
from engine.language.loader import Mapping, Node, plain_data, text_of
from engine.language.scalars import DAYS, is_zone, read_length, read_rate

ConsentRule = Literal["opt_in", "opt_out", "not_needed"]


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


@dataclass(frozen=True, slots=True)
class Cap:
    """No more than `most` in `within_seconds`; None for category or channel means all."""

    most: int
    within_seconds: float
    per: str = "person"
    category: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class QuietHours:
    opens: str
    closes: str
    then: Literal["defer", "skip"] = "defer"
    days: tuple[int, ...] = ()
    zone: str = "profile"


@dataclass(frozen=True, slots=True)
class Policy:
    caps: tuple[Cap, ...] = ()
    quiet_hours: QuietHours | None = None


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
    identities: Identities = Identities()
    links: Links = Links()
    webhooks: tuple[Told, ...] = ()

    def channel(self, name: str) -> ChannelSettings:
        """The channel's settings; without an entry it uses the `outbox` adapter."""
        return self.channels.get(name) or ChannelSettings()


def read_installation(root: Node | None) -> Installation:
    """The installation of a node; parts of the wrong shape (reported by `conform`) fall to their defaults."""
    data = plain_data(root) if isinstance(root, Mapping) else {}
    zone = data.get("time_zone")
    policies = {"default": Policy()}
    policies |= {name: _policy(entry) for name, entry in _table(data.get("policies")).items()}
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
        identities=_identities(identities),
        links=_links(links),
        webhooks=tuple(_told(each) for each in map(_table, _list(data.get("webhooks"))) if "name" in each),
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
        adapter=_text(entry.get("adapter"), "outbox"),
        on_unknown="retry" if entry.get("on_unknown") == "retry" else "assume_sent",
        rate=read_rate(_text(entry.get("rate"), "")),
        settings=_table(entry.get("settings")),
    )


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


def _told(entry: dict[str, Any]) -> Told:
    return Told(
        name=_text(entry.get("name"), ""),
        url=_text(entry.get("url"), ""),
        secret=_text(entry.get("secret"), ""),
        events=tuple(_texts(entry.get("events"))),
        include=tuple(_texts(entry.get("include"))),
        allow_private=entry.get("allow_private") is True,
    )


def _policy(value: Any) -> Policy:
    entry = _table(value)
    caps = []
    for cap in map(_table, _list(entry.get("caps"))):
        within = read_length(_text(cap.get("within"), ""))
        if within is not None and isinstance(cap.get("most"), int):
            caps.append(
                Cap(
                    cap["most"],
                    within.total_seconds(),
                    _text(cap.get("per"), "person"),
                    cap.get("category"),
                    cap.get("channel"),
                )
            )
    quiet = _table(entry.get("quiet_hours"))
    hours = None
    if isinstance(quiet.get("from"), str) and isinstance(quiet.get("to"), str):
        hours = QuietHours(
            quiet["from"],
            quiet["to"],
            "skip" if quiet.get("then") == "skip" else "defer",
            tuple(DAYS[day] for day in _list(quiet.get("days")) if day in DAYS),
            _text(quiet.get("zone"), "profile"),
        )
    return Policy(tuple(caps), hours)
