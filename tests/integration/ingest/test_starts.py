"""Playing the outbox: order, repetition, back-off, and what a starter's answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import sqlalchemy as sa

from engine.core.commands import Trace
from engine.ingest.starts import Done, Gone, Outcome, Player, Retry, StartRow, WakeRow
from engine.store import starts, traces
from engine.store.starts import NewStart
from tests.integration.ingest.world import START, World

ENROLMENTS = [f"00000000-0000-4000-8000-0000000000{n:02}" for n in range(20)]


@dataclass
class Recorder:
    """A starter that notes its calls; `answers` gives the outcome of a call by its words."""

    answers: Callable[[str], Outcome] = lambda call: Done()
    calls: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def start(self, rows: Sequence[StartRow]) -> Sequence[Outcome]:
        return [await self._note(f"start {row.workflow_id} +{len(row.inbox)}") for row in rows]

    async def wake(self, rows: Sequence[WakeRow]) -> Sequence[Outcome]:
        return [await self._note(f"wake {row.workflow_id} {[i['id'] for i in row.items]}") for row in rows]

    async def _note(self, call: str) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        self.calls.append(call)
        return self.answers(call)


async def add(world: World, *rows: NewStart) -> None:
    async with world.database.begin() as connection:
        await starts.add_batch(connection, rows)


def start(number: int, journey: str = "j", *, acts: bool = False) -> NewStart:
    return NewStart("start", f"{journey}/{number}", ENROLMENTS[number], journey=journey, acts=acts)


def wake(number: int, event: str) -> NewStart:
    return NewStart("wake", f"j/{number}", ENROLMENTS[number], {"id": event})


async def open_rows(world: World) -> int:
    async with world.database.connect() as connection:
        return await starts.open_count(connection)


async def test_wakes_that_wait_are_handed_over_in_one_call_and_in_order(world: World) -> None:
    starter = Recorder()
    player = Player(world.database, starter)
    await add(world, start(1), wake(1, "a"))
    await player.play()
    await add(world, wake(1, "b"), wake(1, "c"))
    await player.play()
    assert starter.calls == ["start j/1 +1", "wake j/1 ['b', 'c']"]
    assert await open_rows(world) == 0
    await player.play()
    assert len(starter.calls) == 2


async def test_a_wake_for_an_enrolment_that_has_ended_is_done(world: World) -> None:
    starter = Recorder(answers=lambda call: Gone())
    await add(world, wake(1, "a"))
    player = Player(world.database, starter)
    await player.play()
    assert await open_rows(world) == 0
    assert player.tally.gone == 1


async def test_a_start_that_fails_holds_its_wakes_back_and_nobody_elses(world: World) -> None:
    starter = Recorder(
        answers=lambda call: Retry("busy", timedelta(0.1 / 86400)) if "j/1" in call else Done()
    )
    await add(world, start(1), start(2), wake(1, "a"))
    await Player(world.database, starter).play()
    assert "start j/2 +0" in starter.calls
    assert await open_rows(world) == 2

    starter.answers = lambda call: Done()
    starter.calls.clear()
    await asyncio.sleep(0.15)
    await Player(world.database, starter).play()
    assert starter.calls == ["start j/1 +1"]


async def test_no_more_than_so_many_are_in_hand_at_once(world: World) -> None:
    starter = Recorder()
    await add(world, *(start(n) for n in range(20)))
    await Player(world.database, starter, at_once=3).play()
    assert starter.most_at_once == 3
    assert len(starter.calls) == 20


async def test_a_player_that_dies_between_call_and_mark_repeats_the_call(world: World) -> None:
    starter = Recorder()
    player = Player(world.database, starter)
    await add(world, start(1))
    task = asyncio.create_task(player.play())
    while not starter.calls:  # noqa: ASYNC110 - the fake has no event to wait for
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await Player(world.database, starter).play()
    assert starter.calls == ["start j/1 +0"] * 2
    assert await open_rows(world) == 0


async def test_a_running_player_hears_of_new_rows_and_only_one_plays(world: World) -> None:
    starter, stop = Recorder(), asyncio.Event()
    players = [asyncio.create_task(Player(world.database, starter).run(stop)) for _ in range(2)]
    await asyncio.sleep(0.2)
    for number in range(10):
        await add(world, start(number), wake(number, "a"))
    async with asyncio.timeout(10):
        while await open_rows(world):  # noqa: ASYNC110 - the truth is in the table
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*players)
    begun = [call for call in starter.calls if call.startswith("start")]
    assert len(begun) == len(set(begun)) == 10
    async with world.database.connect() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM start_outbox"))).scalar_one() == 20


async def leave_trace(world: World, enrolment_id: str) -> None:
    async with world.database.begin() as connection:
        await traces.append(connection, enrolment_id, 0, [Trace(START, "entered")])


async def test_starts_wait_until_those_before_them_have_acted(world: World) -> None:
    starter, stop = Recorder(), asyncio.Event()
    await add(world, *(start(n, acts=True) for n in range(4)))
    playing = asyncio.create_task(Player(world.database, starter, at_once=2).run(stop))
    async with asyncio.timeout(10):
        while len(starter.calls) < 2:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert starter.calls == ["start j/0 +0", "start j/1 +0"]
        await leave_trace(world, ENROLMENTS[1])
        while len(starter.calls) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert len(starter.calls) == 3
    stop.set()
    await playing


async def test_an_enrolment_that_leaves_no_trace_holds_the_others_up_only_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.ingest.starts.PATIENCE", 0.2)
    starter = Recorder()
    await add(world, *(start(n, acts=True) for n in range(4)))
    async with asyncio.timeout(10):
        await Player(world.database, starter, at_once=1).play()
    assert len(starter.calls) == 4


async def test_a_wake_does_not_queue_behind_a_crowd_of_starts(world: World) -> None:
    starter, stop = Recorder(), asyncio.Event()
    await add(world, *(start(n, acts=True) for n in range(4)))
    playing = asyncio.create_task(Player(world.database, starter, at_once=1).run(stop))
    await asyncio.sleep(0.2)
    await add(world, wake(9, "a"))
    async with asyncio.timeout(5):
        while "wake j/9 ['a']" not in starter.calls:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.01)
    assert starter.calls == ["start j/0 +0", "wake j/9 ['a']"]
    stop.set()
    await playing


async def test_a_crowd_of_one_journey_lets_another_journey_in(world: World) -> None:
    starter = Recorder()
    await add(world, *(start(n) for n in range(10)), start(19, journey="welcome"))
    await Player(world.database, starter, at_once=2).play()
    assert "start welcome/19 +0" in starter.calls[:2]
