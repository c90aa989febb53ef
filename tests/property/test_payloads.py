"""Whatever crosses Temporal comes back as it went: by its default converter, and encrypted."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.converter import DataConverter

from engine.core import wire
from engine.core.commands import Trace
from engine.core.driving import Scale
from engine.core.inputs import Answered, Control, Due, Entered, EventSeen, Settled
from engine.core.state import State
from engine.temporal.codec import data_converter
from engine.temporal.payloads import EnrolmentInput, Result, Work

CONVERTERS = (
    DataConverter.default,
    data_converter({"KAIROS_PAYLOAD_KEY": base64.b64encode(b"k" * 32).decode()}),
)

texts = st.text(max_size=20)
instants = st.integers(0, 2 * 10**9).map(
    lambda second: datetime(1970, 1, 2, tzinfo=UTC) + timedelta(seconds=second)
)
jsons: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
held = st.lists(texts, max_size=3).map(tuple)
passed = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
events = st.builds(
    EventSeen,
    id=texts,
    name=texts,
    at=instants,
    occurred_at=instants,
    order=st.integers(0, 10**12),
    held=held,
)
settlements = st.builds(
    Settled,
    step=texts,
    result=st.sampled_from(["sent", "done", "skipped", "deferred", "failed", "unknown"]),
    at=instants,
    channel=st.none() | texts,
    reason=st.none() | texts,
    until=instants,
    passed_over=passed,
)
inputs = st.one_of(
    st.builds(Entered, at=instants),
    events,
    st.builds(Due, at=instants),
    st.builds(
        Answered, ask_id=st.integers(0, 99), values=st.lists(jsons, max_size=3).map(tuple), at=instants
    ),
    settlements,
    st.builds(
        Control,
        action=st.sampled_from(["pause", "resume", "end"]),
        at=instants,
        exit=st.sampled_from(["cancelled", "superseded", "unsubscribed"]),
    ),
)
traces = st.builds(
    Trace,
    at=instants,
    result=st.sampled_from(["entered", "took", "sent", "exited", "ignored"]),
    step=st.none() | texts,
    detail=st.none() | texts,
    passed_over=passed,
)
states = st.builds(
    State,
    enrolment_id=texts,
    key=texts,
    holdout=st.booleans(),
    phase=st.sampled_from(["new", "waiting", "asking", "sending", "performing", "held", "ended"]),
    at=st.none() | instants,
    entered_at=st.none() | instants,
    expires_at=st.none() | instants,
    step=st.none() | texts,
    begun_at=st.none() | instants,
    before_at=st.none() | instants,
    timer=st.none() | instants,
    moved_by=st.none() | texts,
    ask_id=st.integers(0, 99),
    asked=st.sampled_from(["rules", "step"]),
    attempt=st.integers(1, 9),
    late=st.timedeltas(timedelta(0), timedelta(days=400)),
    paused=st.booleans(),
    variants=st.dictionaries(texts, texts, max_size=3),
    inbox=st.lists(events, max_size=3).map(tuple),
    queue=st.lists(events, max_size=3).map(tuple),
    noted=st.none() | st.sampled_from(["cancelled", "superseded"]),
    seen=st.lists(texts, max_size=3).map(tuple),
    exit=st.none() | st.sampled_from(["goal", "completed"]),
    ended_at=st.none() | instants,
)
scales = st.builds(Scale, instants.map(str), instants.map(str), st.floats(0.1, 1e6), st.floats(0, 100))
lines = st.lists(st.one_of(inputs, traces).map(wire.to_json), max_size=3)
starts = st.builds(
    EnrolmentInput,
    journey=texts,
    digest=texts,
    enrolment_id=texts,
    key=texts,
    trigger_event_id=texts,
    entered_at=texts,
    holdout=st.booleans(),
    variants=st.dictionaries(texts, texts, max_size=3),
    scale=st.none() | scales,
    state=st.none() | states.map(wire.to_json),
    inbox=lines,
    trace=lines,
    trace_from=st.integers(0, 10**6),
)
works = st.builds(
    Work,
    kind=texts,
    journey=texts,
    digest=texts,
    enrolment_id=texts,
    step=st.none() | texts,
    at=texts,
    event_id=st.none() | texts,
    attempt=st.integers(1, 9),
    channel=st.none() | texts,
    ask_id=st.integers(0, 99),
    questions=st.lists(st.lists(texts, min_size=2, max_size=2), max_size=3),
    exit=st.none() | texts,
    exit_detail=st.none() | texts,
    variants=st.dictionaries(texts, texts, max_size=3),
    trace=lines,
    trace_from=st.integers(0, 10**6),
)
results = st.builds(Result, given=st.none() | inputs.map(wire.to_json), redirect=st.none() | texts)


def there_and_back(converter: DataConverter, value: Any, kind: Any) -> Any:
    async def go() -> Any:
        kept = await converter.encode([value])
        return (await converter.decode(kept, [kind]))[0]

    return asyncio.run(go())


@settings(max_examples=60, deadline=None)
@given(st.one_of(starts, works, results), st.sampled_from(CONVERTERS))
def test_every_payload_comes_back_the_same(value: Any, converter: DataConverter) -> None:
    back = there_and_back(converter, value, type(value))
    assert back == value
    assert type(back) is type(value)


@settings(max_examples=60, deadline=None)
@given(st.lists(inputs.map(wire.to_json), max_size=3))
def test_signals_come_back_the_same(items: list[dict[str, Any]]) -> None:
    assert there_and_back(DataConverter.default, items, list[dict[str, Any]]) == items


@settings(max_examples=100, deadline=None)
@given(states, st.sampled_from(CONVERTERS))
def test_the_state_comes_back_the_same(state: State, converter: DataConverter) -> None:
    back = wire.state_from_json(there_and_back(converter, wire.to_json(state), dict[str, Any]))
    assert {f.name: getattr(back, f.name) for f in fields(State)} == {
        f.name: getattr(state, f.name) for f in fields(State)
    }


@settings(max_examples=100, deadline=None)
@given(st.one_of(inputs, traces), st.sampled_from(CONVERTERS))
def test_inputs_and_trace_lines_come_back_the_same(value: Any, converter: DataConverter) -> None:
    back = wire.input_from_json(there_and_back(converter, wire.to_json(value), dict[str, Any]))
    assert back == value
    assert type(back) is type(value)
