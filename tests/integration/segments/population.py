"""Generated customers and expressions, for comparing the two back ends of expressions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from engine.language.catalogue import Catalogue, EventType, Property, Stage, Tag

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
"""When summer time begins in Europe, to the second half hour."""
ZONES = [
    "UTC",
    "Europe/Paris",
    "Asia/Shanghai",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
]
ODD_ZONES = ["Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Etc/GMT+12", "Pacific/Kiritimati"]
TYPES = {
    "tier": "text",
    "name": "text",
    "points": "number",
    "visits": "number",
    "vip": "boolean",
    "born": "date",
    "joined": "date",
    "trial": "datetime",
    "seen": "datetime",
    "likes": "list",
    "sizes": "list",
    "home": "object",
    "extra": "object",
}
EVENTS = {
    "paid": {
        "total": "number",
        "sku": "text",
        "on": "date",
        "at": "datetime",
        "tags": "list",
        "more": "object",
    },
    "cart.updated": {"total": "number", "sku": "number"},
    "never": {"total": "number"},
}
NAMES = [*TYPES, "email", "phone", "external_id", "time_zone", "locale", "sum", "label", "loyal"]
TAGS = ["staff", "vip", "é", "𝄞", ""]
CHANNELS = ["sms", "email", "*"]
WORDS = [
    "",
    "a",
    "A",
    "ab",
    "Ä",
    "ß",
    "é",
    "e\u0301",
    "𝄞",
    "\uffff",
    "gold",
    "1",
    "true",
    "%",
    "_",
    "\\",
    "'",
    "x:y",
]

texts = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4
)
NUMBERS = [
    *(
        0,
        1,
        -1,
        2,
        7,
        10,
        0.1,
        0.2,
        0.3,
        -0.0,
        1.5,
        99.99,
        1e15,
        -1e15,
        10**15 + 1,
        10**15 - 1,
        999999999999999.9,
    ),
    *(
        2**53,
        2**53 + 1,
        -(2**53) - 1,
        2**63,
        10**22,
        10**30,
        1e300,
        -1e300,
        1.7e308,
        5e-324,
        1e-200,
        2.5e-308,
    ),
]
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-20, 20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**17), 10**17)
    | st.decimals(-1000, 1000, places=2, allow_nan=False).map(float)
)
LOCAL = [
    "2026-03-29T02:30:00",
    "2026-10-25T02:30:00",
    "2026-11-01T01:30",
    "2026-04-05 01:45:00",
    "2011-12-30T10:00",
]
ODD_DAYS = [
    *(date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), date(2026, 10, 25), date(2011, 12, 30)),
    *(date(1970, 1, 1), date(2026, 3, 29), date(2026, 11, 1), date(2026, 4, 5)),
]
days = st.dates(date(2026, 3, 25), date(2026, 4, 3)) | st.sampled_from(ODD_DAYS)
instants = st.builds(
    lambda seconds: NOW + timedelta(seconds=seconds),
    st.sampled_from([0, 0.000001, -0.000001, 1, -1, 1800, 86400, -86400, -86399.999999, -30 * 86400])
    | st.integers(-(10**7), 10**6),
)
ODD_MOMENTS = [
    *("2026-02-30", "0000-01-01", "2026-13-01T10:00Z", "2026-03-29T24:00:00Z", "2026-03-29T23:59:60Z"),
    *("2026-03-29t01:30:00,123456789z", "2026-03-29T01:30:00.1", "0001-01-01T00:00+08:00", "2026-03-29T1:30"),
    *(
        "9999-12-31T23:59:59-08:00",
        "2026-03-29T01:30+23:59",
        "2026-03-29T01:30-2359",
        "2026-03-29T01:30+24:00",
    ),
    *("2026-03-29 ", "２０２６-03-29", "2026-03-29T01:30:00+0800", "now", "infinity", "2026-03-29\n", ""),
]
moments = st.one_of(
    days.map(str),
    instants.map(lambda at: at.isoformat()),
    instants.map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}+08:00"),
    instants.map(lambda at: f"{at:%Y-%m-%d %H:%M}Z"),
    st.sampled_from(LOCAL),
    st.sampled_from(ODD_MOMENTS),
)
leaves = st.none() | st.booleans() | numbers | texts | moments
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "0", "é"]), inner, max_size=3)
    ),
    max_leaves=5,
)
OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "number": numbers,
    "boolean": st.booleans(),
    "date": moments,
    "datetime": moments,
    "list": st.lists(leaves, max_size=4) | st.lists(documents, max_size=2),
    "object": st.dictionaries(st.sampled_from(["a", "b", "0", "é"]), documents, max_size=3),
}


def of_type(type_: str) -> st.SearchStrategy[Any]:
    """Mostly values of the type, now and then of another."""
    right = OF_TYPE[type_]
    return st.one_of(right, right, right, right, documents)


@dataclass
class Happened:
    name: str
    at: datetime
    properties: dict[str, Any]


@dataclass
class Said:
    channel: str
    granted: bool
    at: datetime
    category: str
    purpose: str = "*"


@dataclass
class Person:
    """A row of `profiles`, and what belongs to it. `merged` is a stranger who became this person."""

    key: str
    attributes: dict[str, Any] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    external_id: str | None = None
    tags: list[str] = field(default_factory=list)
    stage: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    lists: list[str] = field(default_factory=list)
    events: list[Happened] = field(default_factory=list)
    consents: list[Said] = field(default_factory=list)


def event(name: str) -> st.SearchStrategy[Happened]:
    properties = st.fixed_dictionaries(
        {},
        optional={key: of_type(kind) for key, kind in EVENTS[name].items()} | {"id": texts, "odd": documents},
    )
    return st.builds(Happened, st.just(name), instants, properties)


people = st.builds(
    Person,
    key=texts,
    attributes=st.fixed_dictionaries(
        {},
        optional={name: of_type(type_) for name, type_ in TYPES.items()}
        | {"loyal": texts, "email": documents, "personalise": st.booleans() | documents},
    ),
    addresses=st.fixed_dictionaries({}, optional={"email": texts, "phone": texts, "loyal": texts}),
    external_id=st.none() | texts,
    tags=st.lists(st.sampled_from(TAGS), max_size=3),
    stage=st.none() | st.none() | st.sampled_from(["new", "old", "x"]),
    time_zone=st.none() | st.sampled_from(ZONES) | st.sampled_from(ODD_ZONES),
    locale=st.none() | st.sampled_from(["en", "zh-CN"]),
    lists=st.lists(st.sampled_from(["testers", "press"]), max_size=2),
    events=st.lists(st.sampled_from(["paid", "paid", "cart.updated"]).flatmap(event), max_size=5),
    consents=st.lists(
        st.builds(
            Said,
            st.sampled_from(CHANNELS),
            st.booleans(),
            instants,
            st.sampled_from(["marketing"] * 3 + ["other"]),
            st.sampled_from(["*"] * 3 + ["news"]),
        ),
        max_size=4,
    ),
)


# --- expressions ----------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


INTERVAL = (
    '(days_since(first("paid").occurred_at) - days_since(last("paid").occurred_at)) / (count("paid") - 1)'
)
LENGTHS = ["1d", "30d", "1h", "90m", "1d12h", "36500d", "1s"]
lengths = st.sampled_from(LENGTHS).map(quoted)
names = st.sampled_from(NAMES)
events = st.sampled_from(list(EVENTS)).map(quoted)


def of_kind(*types: str) -> st.SearchStrategy[str]:
    found = [f"profile.{name}" for name, type_ in TYPES.items() if type_ in types]
    found += [
        f"{which}({quoted(name)}).{key}"
        for name, kinds in EVENTS.items()
        for key, type_ in kinds.items()
        if type_ in types
        for which in ("last", "first")
    ]
    return st.sampled_from(found)


anything = st.sampled_from(
    ["profile.home.a", "profile.home.b", 'profile.home["0"].a', "profile.extra.a", 'last("paid").more.a']
)
number_literals = st.sampled_from(
    ["0", "1", "2", "-1", "0.1", "0.3", "1e15", "1e16", "9007199254740993", "1e300", "5e-324", "7", "1.5"]
)
text_values = st.one_of(
    texts.map(quoted),
    of_kind("text"),
    st.sampled_from(["stage()", "profile.email", "profile.external_id", "profile.locale", "profile.label"]),
    st.sampled_from(['last("paid").name', 'first("paid").id', "profile.loyal", "profile.phone"]),
    st.builds('favourite({}, "sku")'.format, events),
    st.builds('favourite("paid", {}, {})'.format, st.sampled_from(['"sku"', '"odd"', '"id"']), lengths),
)
number_leaves = st.one_of(
    number_literals,
    numbers.map(lambda n: repr(n) if n >= 0 else f"({n!r})"),
    of_kind("number"),
    of_kind("number"),
    st.builds("count({})".format, events),
    st.builds("count({}, {})".format, events, lengths),
    st.builds('total({}, "total", {})'.format, events, lengths),
    st.builds('total({}, "total")'.format, events),
    st.builds("decayed({}, {})".format, events, lengths),
    st.sampled_from(
        ['total("paid", "sku")', 'total("cart.updated", "sku")', "profile.sum", "profile.interval"]
    ),
)
moment_leaves = st.one_of(
    of_kind("date", "datetime"),
    st.builds("{}({})".format, st.sampled_from(["last", "first"]), events),
    st.just("now"),
)
moment_values = st.one_of(
    moment_leaves, st.builds("({} {} {})".format, moment_leaves, st.sampled_from("+-"), lengths)
)


def more_numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from([*"+-*/%%"]), inner),
        st.builds("(-{})".format, inner),
        st.builds("days_since({})".format, moment_values),
        st.builds("bucket({}, {})".format, text_values, inner),
    )


number_values = st.recursive(number_leaves, more_numbers, max_leaves=4)
text_more = text_values | st.builds("lower({})".format, text_values)
any_value: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(number_values, text_more, moment_values, list_values, odd_values)
)
odd_values: st.SearchStrategy[str] = st.one_of(
    anything,
    of_kind("boolean", "object", "list"),
    st.sampled_from(["profile.overdue", "profile.interval", "profile.personalise"]),
    st.sampled_from(["true", "false", "null", "profile.home", "profile.extra", "profile.unknown", "answers"]),
    st.sampled_from(["event.total", "trigger", "profile.tier.deep", 'last("paid").odd', "profile.home.a.b"]),
    st.deferred(lambda: conditions.map("({})".format)),
)
list_values: st.SearchStrategy[str] = of_kind("list") | st.lists(any_value, max_size=4).map(
    lambda items: f"[{', '.join(items)}]"
)
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
atoms = st.one_of(
    st.builds("{} {} {}".format, number_values, signs, number_values),
    st.builds("{} {} {}".format, text_more, signs, text_more),
    st.builds("{} {} {}".format, moment_values, signs, moment_values),
    st.builds("{} {} {}".format, any_value, signs, any_value),
    st.builds("{} {} {} {} {}".format, number_values, signs, number_values, signs, any_value),
    st.builds("{} {} {}".format, any_value, st.sampled_from(["in", "not in"]), list_values | any_value),
    st.builds("{} {} {}".format, text_more, st.sampled_from(["in", "not in"]), text_more),
    st.builds("{} {} {}".format, list_values, st.sampled_from(["==", "!="]), list_values),
    st.builds("{}({}, {})".format, st.sampled_from(["starts_with", "contains"]), any_value, any_value),
    st.builds("starts_with({}, {})".format, text_more, text_more),
    st.builds("contains({}, {})".format, list_values, any_value),
    st.builds("exists({})".format, any_value),
    st.sampled_from([*TAGS, "ruled"]).map(lambda tag: f"has_tag({quoted(tag)})"),
    st.builds("has_tag({})".format, text_values),
    st.sampled_from(["sms", "email", "marketing", "*"]).map(lambda channel: f"consent({quoted(channel)})"),
    st.builds("consent({})".format, text_values),
    st.sampled_from(["testers", "press", "dynamic", "wider"]).map(lambda name: f"in_segment({quoted(name)})"),
    odd_values,
)


def more_conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
        st.builds("({}) == ({})".format, inner, inner),
    )


conditions: st.SearchStrategy[str] = st.recursive(atoms, more_conditions, max_leaves=4)
simple = st.sampled_from(
    ["profile.points > 1", 'has_tag("staff")', 'count("paid") > 1', "profile.vip", "exists(profile.born)"]
)


def catalogue(segment: str, where: str, label: str) -> Catalogue:
    """Words for the names above. What is drawn must not use the definitions themselves."""
    return Catalogue(
        events={
            n: EventType(n, {key: Property(k) for key, k in types.items()}) for n, types in EVENTS.items()
        },
        profile={name: Property(type_) for name, type_ in TYPES.items()}
        | {
            "sum": Property("number", computed='total("paid", "total", "30d") / count("paid", "30d")'),
            "interval": Property("number", computed=INTERVAL),
            "overdue": Property("boolean", computed="days_since(last('paid')) > 1.5 * profile.interval"),
            "label": Property("text", computed=label),
            "loyal": Property("text"),
        },
        tags=tuple(TAGS),
        segments={
            "testers": None,
            "press": None,
            "dynamic": segment,
            "wider": 'in_segment("dynamic") or in_segment("press")',
        },
        about_tags={"ruled": Tag("ruled", where=where)},
        stages=(Stage("new"), Stage("old", where), Stage("lost", 'days_since(last("paid")) > 20')),
    )


catalogues = st.builds(
    catalogue, simple, simple, st.sampled_from(["profile.tier", 'lower("AB")', "profile.points"])
)


def person_id(number: int) -> str:
    return str(UUID(int=(1 << 100) + number))
