"""Verdicts a second, in memory: six rules in force, on batches of a thousand as the pool asks for them.

In force are consent, address, blocked addresses, two caps over what each customer got this week, quiet hours
where each is, and a channel's hours. The baseline says the same of the same messages in one function, with
nothing in it that could be configured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from benchmarks.findings import Finding, compared, measured
from benchmarks.lab import Lab
from engine.core.limits import Cap, Hours, Policy, QuietHours, Use
from engine.policy import Profile, Request, Settings, decide

FULL, BATCH = 20_000, 1_000
AT = datetime(2026, 11, 11, 4, tzinfo=UTC)
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC")
DAY, WEEK = timedelta(days=1), timedelta(days=7)
POLICY = Policy((Cap(3, DAY), Cap(8, WEEK)), quiet_hours=QuietHours("22:00", "08:00", "skip"))
SETTINGS = Settings(hours={"sms": Hours("08:00", "22:00")})


async def run(lab: Lab) -> list[Finding]:
    """Verdicts a second of processor time, and how they compare with a function written for the purpose."""
    size = lab.sized(FULL, 2_000)
    requests, profiles = people(size)
    ours, theirs = [], []
    for number in range(lab.pairs + 1):
        rate, sent = timed(size, lambda: judged(requests, profiles))
        bare, also = timed(size, lambda: by_hand(requests, profiles))
        if sent != also:
            raise AssertionError(f"{sent} may go by the rules, {also} by hand")
        if number:  # the first warms up
            ours.append(rate)
            theirs.append(bare)
        lab.say(f"{rate:,.0f} verdicts a second, {bare:,.0f} by hand; {sent} of {size} may go")
    notes = [f"{size:,} messages in batches of {BATCH:,}, two channels each, 6 rules in force"]
    return [
        measured("verdicts a second", ours, 20_000, "at least", unit="a second", notes=notes),
        compared("verdicts", "one function by hand", ours, theirs, 0.05, "at least", unit="a second"),
    ]


def people(size: int) -> tuple[list[Request], dict[str, Profile]]:
    """Messages to as many customers, some of them full, asleep, or without an address."""
    random = Random(7)
    requests, profiles = [], {}
    for number in range(size):
        id = str(number)
        uses = sorted(AT - timedelta(hours=random.randrange(1, 200)) for _ in range(random.randrange(8)))
        profiles[id] = Profile(
            {"sms": "1", "push": "2"} if random.random() < 0.9 else {"push": "2"},
            {("sms", "marketing"): random.random() < 0.9, ("push", "marketing"): random.random() < 0.5},
            frozenset({"push"}) if random.random() < 0.1 else frozenset(),
            time_zone=random.choice(ZONES),
            uses=[Use(at, "sms", "marketing", "cart") for at in uses],
        )
        requests.append(
            Request(id, ("sms", "push"), "marketing", AT, policy=POLICY, journey="cart", key=id, since=AT)
        )
    return requests, profiles


def judged(requests: list[Request], profiles: dict[str, Profile]) -> int:
    """How many may go, by the rules."""
    sent = 0
    for first in range(0, len(requests), BATCH):
        verdicts = decide(requests[first : first + BATCH], profiles, SETTINGS)
        sent += sum(verdict.kind == "send" for verdict in verdicts)
    return sent


def by_hand(requests: list[Request], profiles: dict[str, Profile]) -> int:
    """How many may go, by one function that knows these limits and no others."""
    sent = 0
    zones = {name: ZoneInfo(name) for name in ZONES}
    for request in requests:
        profile = profiles[request.profile_id]
        open_ = [
            channel
            for channel in request.channels
            if profile.addresses.get(channel)
            and profile.consents.get((channel, "marketing"))
            and channel not in profile.blocked
        ]
        if not open_:
            continue
        day = sum(request.at - use.at < DAY for use in profile.uses)
        week = sum(request.at - use.at < WEEK for use in profile.uses)
        hour = request.at.astimezone(zones[profile.time_zone]).hour
        sent += day < 3 and week < 8 and 8 <= hour < 22
    return sent


def timed(size: int, work: Callable[[], int]) -> tuple[float, int]:
    began = time.process_time()
    sent = work()
    return size / (time.process_time() - began), sent
