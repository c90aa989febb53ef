"""Who stands before a public page."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request

from engine.web.visitors import WrongTries, machine_of

PEOPLE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.42 NetType/WIFI",
    "Mozilla/5.0 (Linux; Android 13; wv) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 AliApp(AP/10.5)",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126 Safari/537.36",
)
MACHINES = (
    "",
    "curl/8.5.0",
    "python-httpx/0.28",
    "facebookexternalhit/1.1",
    "WhatsApp/2.23",
    "Mozilla/5.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (compatible; Barracuda Sentinel)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)


@pytest.mark.parametrize("agent", PEOPLE)
def test_people_are_people(agent: str) -> None:
    assert machine_of(Headers({"user-agent": agent, "purpose": "none"})) is None


@pytest.mark.parametrize("agent", MACHINES)
def test_machines_are_known_by_their_name(agent: str) -> None:
    assert machine_of(Headers({"user-agent": agent})) == "agent"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "Prefetch"),
    ],
)
def test_browsers_that_fetch_ahead_say_so(name: str, value: str) -> None:
    assert machine_of(Headers({"user-agent": PEOPLE[0], name: value})) == "prefetch"


def from_(address: str) -> Request:
    return Request({"type": "http", "client": (address, 1), "headers": []})


def test_wrong_tries_are_counted_by_address_in_bounded_memory() -> None:
    tries = WrongTries(most=2)
    assert [tries.too_many(from_("10.0.0.1")) for _ in range(4)] == [False, False, True, True]
    assert not tries.too_many(from_("10.0.0.2"))
    for number in range(20_000):
        tries.too_many(from_(str(number)))
    assert len(tries._seen) <= 10_000
