"""Caps over any order of messages: none is ever exceeded, and nobody waits for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.core.limits import Cap, Policy, Use
from engine.policy import Defer, Profile, Request, Send, Settings, decide

AT = datetime(2026, 11, 11, 10, tzinfo=UTC)

lengths = st.integers(min_value=1, max_value=100).map(lambda n: timedelta(minutes=n))
caps = st.lists(st.builds(Cap, st.integers(1, 4), lengths), min_size=1, max_size=3)
moments = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2)), min_size=1, max_size=30)


@given(caps, moments, st.sampled_from(["skip", "defer", "next_channel"]))
def test_no_stretch_ever_holds_more_than_a_cap_allows(
    limits: list[Cap], asked: list[tuple[int, int]], on_capped: str
) -> None:
    """Whatever comes in whatever order, in batches or one by one, deferred ones asked about again."""
    policy = Policy(tuple(limits), on_capped, timedelta(hours=20))  # type: ignore[arg-type]
    sent: list[datetime] = []
    waiting = [
        Request("p", ("sms",), "marketing", AT + timedelta(minutes=m), policy=policy, rank=rank, key=str(n))
        for n, (m, rank) in enumerate(asked)
    ]
    for request in waiting:
        request.since = request.at
    rounds = 0
    while waiting:
        rounds += 1
        assert rounds < 2000, "somebody waits for ever"
        waiting.sort(key=lambda request: request.at)
        batch = [request for request in waiting if request.at == waiting[0].at]
        waiting = waiting[len(batch) :]
        profile = Profile({"sms": "1"}, uses=[Use(at, "sms", "marketing", "") for at in sorted(sent)])
        verdicts = decide(batch, {"p": profile}, Settings({"marketing": "not_needed"}))
        for request, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, Send):
                sent.append(request.at)
            elif isinstance(verdict, Defer):
                assert verdict.until > request.at
                request.at = verdict.until
                waiting.append(request)
    for cap in limits:
        assert cap.within is not None
        for first in sent:
            assert sum(first <= at < first + cap.within for at in sent) <= cap.most
