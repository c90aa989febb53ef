"""What holds of every journey, customer and stream of events, whatever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.advance import advance, begin, overtaken
from engine.core.commands import Ask, Command, Exited, Perform, Send, Trace
from engine.core.identity import event_id, profile_key
from engine.core.inputs import (
    Answered,
    Control,
    Due,
    Entered,
    EventSeen,
    Input,
    Outcome,
    Settled,
)
from engine.core.plan import Effect, Plan
from engine.core.state import State
from engine.core.wire import input_from_json, state_from_json, to_json
from engine.language.schema import VERBS
from engine.simulator.changes import identify
from engine.simulator.person import Change, Enrolment, Happening, Person
from engine.simulator.settings import StandIns, Surroundings
from engine.simulator.simulation import Simulation
from tests.property.strategies import EVENTS, START, Customer, customers, plans

MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
LATE = timedelta(hours=3)
ACTIONS: list[Literal["pause", "resume", "end"]] = ["pause", "resume", "resume", "end"]


# --- the core alone, under a driver that answers anything -------------------------------------------------


@dataclass
class Outside:
    """Answers commands by chance, the same chance for the same numbers."""

    numbers: Sequence[int]
    used: int = 0

    def number(self, below: int) -> int:
        self.used += 1
        return self.numbers[self.used % len(self.numbers)] % below

    def answer(self, ask: Ask) -> Answered:
        zones = ("Europe/Berlin", "nowhere", "Asia/Shanghai")
        values: list[Any] = [True, False, None, "2026-03-29", "2026-04-02T02:30", 7]
        return Answered(
            ask.ask_id,
            tuple(
                zones[self.number(3)] if question.kind == "zone" else values[self.number(len(values))]
                for question in ask.questions
            ),
            ask.at,
        )

    def settle(self, command: Send | Perform, plan: Plan) -> Settled:
        results: list[Outcome] = ["sent", "sent", "skipped", "deferred", "failed", "unknown"]
        if isinstance(command, Perform):
            results = ["done", "done", "failed", "unknown"]
        result = results[self.number(len(results))]
        if result == "deferred" and isinstance(command, Send) and command.attempt > 2:
            result = "sent"
        later = command.at + timedelta(minutes=1 + self.number(2000))
        return Settled(
            command.step,
            result,
            command.at,
            channel="sms" if result in ("sent", "unknown") else None,
            reason="no_consent" if result in ("skipped", "failed") else None,
            until=later if result == "deferred" else None,
        )


@dataclass
class Drive:
    """One enrolment under a driver: every input it was given, every command it gave."""

    plan: Plan
    state: State
    inputs: list[Input] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def give(self, given: Input) -> tuple[Command, ...]:
        self.inputs.append(given)
        self.state, commands = advance(self.plan, self.state, given)
        self.commands += commands
        return commands

    @property
    def trace(self) -> list[Trace]:
        return [c for c in self.commands if isinstance(c, Trace) and c.result != "ignored"]


@st.composite
def events(draw: st.DrawFn, plan: Plan) -> list[Input]:
    """Events that meet some of the plan's conditions, and controls, by time."""
    ids = [condition.id for condition in plan.conditions()]
    found: list[Input] = []
    for order in range(draw(st.integers(0, 12))):
        at = START + timedelta(minutes=draw(st.integers(0, 10) | st.integers(0, 5000)))
        if draw(st.integers(0, 5)) == 0:
            found.append(Control(draw(st.sampled_from(ACTIONS)), at))
            continue
        held = draw(st.lists(st.sampled_from(ids), unique=True, max_size=2)) if ids else []
        name = draw(st.sampled_from(EVENTS))
        found.append(EventSeen(f"e{order}", name, at, at, order, tuple(held)))
    return sorted(found, key=_place)


def _place(given: Input) -> tuple[datetime, int, int]:
    order = given.order if isinstance(given, EventSeen) else 0
    return (given.at, 0 if isinstance(given, Control) else 1, order)


def drive(plan: Plan, happening: Sequence[Input], outside: Outside, holdout: bool = False) -> Drive:
    """Runs one enrolment to its end, or to where nothing would wake it any more."""
    run = Drive(plan, begin("e", "key", "trigger", holdout=holdout))
    left = list(happening)
    open_: list[Command] = [c for c in run.give(Entered(START)) if isinstance(c, Ask | Send | Perform)]
    for _ in range(1000):
        if run.state.phase == "ended":
            break
        wake_at = run.state.wake_at
        if left and (
            (open_ and outside.number(3) == 0) or (not open_ and (wake_at is None or left[0].at <= wake_at))
        ):
            commands = run.give(left.pop(0))  # some come while a command is open
        elif open_:
            command = open_.pop()
            if isinstance(command, Ask):
                commands = run.give(outside.answer(command))
            elif overtaken(run.state) and isinstance(command, Send):
                commands = run.give(Settled(command.step, "skipped", command.at, reason="exit_seen"))
            else:
                assert isinstance(command, Send | Perform)
                commands = run.give(outside.settle(command, plan))
        elif wake_at is not None:
            commands = run.give(Due(wake_at))
        else:
            break
        open_ += [c for c in commands if isinstance(c, Ask | Send | Perform)]
        assert len(open_) <= 1, "at most one command is open"
    else:
        raise AssertionError("the enrolment does not come to an end")
    return run


@st.composite
def drives(draw: st.DrawFn) -> Drive:
    plan = draw(plans())
    happening = draw(events(plan))
    numbers = draw(st.lists(st.integers(0, 5000), min_size=7, max_size=13))
    return drive(plan, happening, Outside(numbers), draw(st.integers(0, 5)) == 0)


def sent(commands: Sequence[Command]) -> list[tuple[str, int]]:
    return [(command.step, command.attempt) for command in commands if isinstance(command, Send)]


def performed(commands: Sequence[Command]) -> list[str]:
    return [command.step for command in commands if isinstance(command, Perform)]


def replay(plan: Plan, first: State, inputs: Sequence[Input]) -> tuple[State, list[Command]]:
    state = first
    commands: list[Command] = []
    for each in inputs:
        state, more = advance(plan, state, each)
        commands += more
    return state, commands


def untouched(run: Drive) -> State:
    return begin("e", "key", "trigger", holdout=run.state.holdout)


@MANY
@given(drives())
def test_every_enrolment_ends_unless_it_is_held_by_a_pause(run: Drive) -> None:
    assert run.state.phase == "ended" or run.state.paused
    assert (run.state.exit is not None) == (run.state.phase == "ended")


@MANY
@given(drives())
def test_nothing_is_done_after_the_exit(run: Drive) -> None:
    exits = [place for place, command in enumerate(run.commands) if isinstance(command, Exited)]
    if not exits:
        assert run.state.phase != "ended"
        return
    assert len(exits) == 1
    after = run.commands[exits[0] + 1 :]
    assert all(isinstance(command, Trace) and command.result == "ignored" for command in after)


@MANY
@given(drives())
def test_no_step_is_sent_or_performed_twice(run: Drive) -> None:
    tries = sent(run.commands)
    assert len(tries) == len(set(tries))
    settled = [c.step for c in run.trace if c.result in ("sent", "unknown", "done")]
    assert len(settled) == len(set(settled))
    assert len(performed(run.commands)) == len(set(performed(run.commands)))
    begun = [line.step for line in run.trace if line.result == "began"]
    assert len(begun) == len(set(begun))


@MANY
@given(drives())
def test_logical_time_never_goes_back(run: Drive) -> None:
    # A pause ordered while a command is open stands in the trace before what that command comes to, which
    # keeps the command's own instant.
    instants = [line.at for line in run.trace if line.result not in ("paused", "resumed")]
    assert instants == sorted(instants)


@MANY
@given(drives())
def test_same_inputs_same_trace_also_through_json(run: Drive) -> None:
    state, commands = replay(run.plan, untouched(run), run.inputs)
    assert state == run.state
    assert commands == run.commands
    state, commands = untouched(run), []
    for each in run.inputs:
        again = input_from_json(to_json(each))
        assert again == each
        state = state_from_json(to_json(state))
        state, more = advance(run.plan, state, again)
        commands += more
    assert state == run.state
    assert commands == run.commands


@MANY
@given(drives(), st.data())
def test_a_prefix_delivered_twice_gives_no_second_message(run: Drive, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(run.inputs)))
    doubled = [*run.inputs[:place], *run.inputs[:place], *run.inputs[place:]]
    state, commands = replay(run.plan, untouched(run), doubled)
    tries = sent(commands)
    assert len(tries) == len(set(tries))
    assert len(performed(commands)) == len(set(performed(commands)))
    if any(isinstance(each, Control) for each in run.inputs):
        return  # a pause that is ordered again after its resume is a new order, not a repetition
    assert tries == sent(run.commands)
    assert performed(commands) == performed(run.commands)
    assert (state.exit, state.ended_at) == (run.state.exit, run.state.ended_at)


@MANY
@given(drives(), st.data())
def test_late_inputs_give_no_second_message(run: Drive, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(run.inputs)))
    late = [*run.inputs[:place], *(_late(each) for each in run.inputs[place:])]
    order = data.draw(st.permutations(range(place, len(late)))) if len(late) - place < 8 else None
    if order is not None:
        late = [*late[:place], *(late[n] for n in order)]
    _, commands = replay(run.plan, untouched(run), [*late, *late])
    tries = sent(commands)
    assert len(tries) == len(set(tries))
    assert len(performed(commands)) == len(set(performed(commands)))


def _late(given: Input) -> Input:
    return given if isinstance(given, Entered) else replace(given, at=given.at + LATE)


# --- whole runs under the simulator -----------------------------------------------------------------------


def simulate(plan: Plan, customer: Customer, fails: frozenset[str]) -> list[Enrolment]:
    stand_ins = StandIns(answers=dict.fromkeys(plan.steps, 1), fails=fails)
    run = Simulation(Surroundings({plan.journey: plan}, stand_ins=stand_ins), (plan.journey,))
    person = Person(profile_key("external_id", customer.profile["external_id"]))
    identify(run, person, customer.profile)
    script: list[Happening] = []
    for place, moment in enumerate(customer.moments):
        if moment.kind in ("consent", "pause", "resume"):
            kind: Any = moment.kind
            script.append(Change(kind, moment.at, moment.properties, order=place))
        else:
            script.append(run.event(moment.kind, moment.at, moment.properties, event_id("test", str(place))))
    script.sort(key=lambda each: (each.at, isinstance(each, Change) and each.kind == "consent"))
    person.script.extend(script)
    run.add(person)
    run.run()
    return run.enrolments


@MANY
@given(plans(), customers(), st.frozensets(st.sampled_from([f"s{n}" for n in range(15)]), max_size=3))
def test_whole_runs_end_send_once_and_repeat_exactly(
    plan: Plan, customer: Customer, fails: frozenset[str]
) -> None:
    enrolments = simulate(plan, customer, fails)
    again = simulate(plan, customer, fails)
    assert [each.trace for each in enrolments] == [each.trace for each in again]
    assert [each.id for each in enrolments] == [each.id for each in again]
    paused = [moment.kind for moment in customer.moments if moment.kind in ("pause", "resume")]
    for each in enrolments:
        assert each.state.exit is not None or paused[-1] == "pause"
        steps = [message.step for message in each.messages]
        assert len(steps) == len(set(steps))
        assert not each.state.holdout or not each.messages
        if each.state.ended_at is not None:
            assert all(message.at <= each.state.ended_at for message in each.messages)
            assert each.state.ended_at <= each.entered_at + plan.max_age or paused
    live = [each for each in enrolments if each.live]
    assert len({each.row.one_per for each in live}) == len(live), "two live for one value of `one_per`"


@MANY
@given(plans())
def test_generated_plans_are_whole(plan: Plan) -> None:
    """Every target exists, and nothing leads back: the generator makes what the compiler would make."""
    places = {step: place for place, step in enumerate(plan.steps)}
    for step in plan.steps.values():
        targets = [getattr(step, "next", None), getattr(step, "otherwise", None)]
        targets += [arm.goto for arm in getattr(step, "arms", ())]
        targets += [case.goto for case in getattr(step, "cases", ())]
        targets += [variant.goto for variant in getattr(step, "variants", ())]
        assert all(places[target] > places[step.id] for target in targets if target is not None)
        assert not isinstance(step, Effect) or step.verb in VERBS
