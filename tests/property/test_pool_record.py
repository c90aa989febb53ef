"""What a row of the pool keeps of a state, and that nothing of it is lost."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.core.plan import Message, Plan, Trigger, WaitLength
from engine.core.state import State
from engine.pool.record import Kept, fresh, pack, unpack
from engine.store.enrolments import Enrolment
from tests.property.strategies import START, ids, instants, names, states
from tests.property.test_core import MANY, Drive, drives

PLAN = Plan(
    "cart",
    Trigger("event", event="cart.updated"),
    {"hi": Message("hi", "rest", "hello", ("sms",)), "rest": WaitLength("rest", None, timedelta(days=2))},
    "hi",
    max_age=timedelta(days=30),
)


@st.composite
def rows(draw: st.DrawFn) -> Enrolment:
    return Enrolment(
        id=draw(ids),
        journey="cart",
        digest="d",
        profile_id=draw(ids),
        profile_key=draw(names),
        one_per="",
        trigger_event_id=draw(st.none() | ids),
        trigger={},
        holdout=draw(st.booleans()),
        entered_at=draw(instants),
        driver="pool",
        variants=draw(st.dictionaries(names, names, max_size=2)),
    )


@st.composite
def kept(draw: st.DrawFn) -> tuple[Enrolment, Kept]:
    row = draw(rows())
    state = draw(states(row.id, row.profile_key, row.holdout, row.entered_at))
    return row, Kept(
        state,
        lines=draw(st.integers(0, 10_000)),
        retry_at=draw(st.none() | instants),
        faults=draw(st.integers(0, 20)),
    )


@MANY
@given(kept())
def test_what_is_packed_comes_back(given: tuple[Enrolment, Kept]) -> None:
    row, before = given
    assert unpack(pack(before, row, PLAN), row, PLAN) == before


@given(rows())
def test_one_that_has_not_begun_comes_back_as_it_was(row: Enrolment) -> None:
    assert unpack(pack(fresh(row), row, PLAN), row, PLAN) == fresh(row)


def _row(state: State) -> Enrolment:
    return Enrolment("e", "generated", "d", "p", "key", "", "trigger", {}, state.holdout, START)


@MANY
@given(drives())
def test_every_state_that_an_enrolment_comes_to_can_be_kept(run: Drive) -> None:
    row = _row(run.state)
    assert unpack(pack(Kept(run.state), row, run.plan), row, run.plan).state == run.state


def test_a_plain_wait_is_small() -> None:
    """There may be tens of millions of them; what the enrolment's own row says is not written twice."""
    row = _row(State("e", "key"))
    state = fresh(row).state
    state.phase, state.step = "waiting", "rest"
    state.at = state.entered_at = state.begun_at = state.before_at = START
    state.expires_at, state.timer = START + PLAN.max_age, START + timedelta(days=2)
    packed = pack(Kept(state, lines=5), row, PLAN)
    assert len(packed) < 90, packed
    for known in (b"key", b"trigger", b"2026"):
        assert known not in packed
