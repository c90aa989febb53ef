"""Which events share a transaction, and what each is answered when one of them goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.ingest.gathering import MOST, Gathering
from engine.ingest.intake import Accepted, Came, Rejected

NOW = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)


@dataclass
class Keeper:
    """Keeps in memory. `bad` names events, and what a transaction with one of them raises."""

    bad: dict[str, Exception] = field(default_factory=dict)
    tried: list[list[str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    may_commit: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, source: str, came: Sequence[Came]) -> list[Accepted | Rejected]:
        names = [str(each.message) for each in came]
        self.tried.append(names)
        await self.may_commit.wait()
        for name in names:
            if name in self.bad:
                raise self.bad[name]
        good = [name for name in names if not name.startswith("refused")]
        self.kept += good
        return [Accepted(name, name) if name in good else Rejected(name) for name in names]


async def sent(gathering: Gathering[Any, Any], *names: str, source: str = "web") -> list[asyncio.Task[Any]]:
    """Requests that came in this order, all of them waiting for their answers."""
    tasks = [asyncio.create_task(gathering.accept(source, Came(name, NOW))) for name in names]
    for _ in range(3):  # each has its turn, and then whatever they started
        await asyncio.sleep(0)
    return tasks


async def outcomes(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_event_that_comes_alone_waits_for_no_other() -> None:
    keeper = Keeper()
    gathering = Gathering(keeper)
    tasks = await sent(gathering, "a")
    assert keeper.tried == [["a"]]
    keeper.may_commit.set()
    assert await outcomes(tasks) == [Accepted("a", "a")]


async def test_what_comes_during_a_transaction_shares_the_next_in_order() -> None:
    keeper = Keeper()
    gathering = Gathering(keeper)
    tasks = await sent(gathering, "a") + await sent(gathering, "b", "c") + await sent(gathering, "d")
    assert keeper.tried == [["a"]]
    keeper.may_commit.set()
    assert await outcomes(tasks) == [Accepted(name, name) for name in "abcd"]
    assert keeper.tried == [["a"], ["b", "c", "d"]]


async def test_a_source_that_was_quiet_is_taken_up_again() -> None:
    keeper = Keeper()
    keeper.may_commit.set()
    gathering = Gathering(keeper)
    for name in ("a", "b"):
        assert await outcomes(await sent(gathering, name)) == [Accepted(name, name)]
    assert keeper.tried == [["a"], ["b"]]


async def test_sources_neither_wait_for_each_other_nor_mix() -> None:
    keeper = Keeper()
    gathering = Gathering(keeper)
    tasks = await sent(gathering, "a", source="web") + await sent(gathering, "b", source="app")
    assert keeper.tried == [["a"], ["b"]]
    keeper.may_commit.set()
    await outcomes(tasks)


async def test_a_transaction_takes_a_bounded_number() -> None:
    keeper = Keeper()
    gathering = Gathering(keeper)
    names = [f"e{number}" for number in range(2 * MOST + 1)]
    tasks = await sent(gathering, "first") + await sent(gathering, *names)
    keeper.may_commit.set()
    await outcomes(tasks)
    assert [len(group) for group in keeper.tried] == [1, MOST, MOST, 1]
    assert keeper.kept == ["first", *names]


async def test_a_refused_event_is_answered_among_accepted_ones() -> None:
    keeper = Keeper()
    keeper.may_commit.set()
    tasks = await sent(Gathering(keeper), "a", "refused", "b")
    assert await outcomes(tasks) == [Accepted("a", "a"), Rejected("refused"), Accepted("b", "b")]


async def test_a_group_that_fails_is_tried_one_by_one_and_only_the_guilty_fails() -> None:
    guilty = ValueError("no such thing")
    keeper = Keeper(bad={"b": guilty})
    keeper.may_commit.set()
    tasks = await sent(Gathering(keeper), "a", "b", "c")
    assert await outcomes(tasks) == [Accepted("a", "a"), guilty, Accepted("c", "c")]
    assert keeper.tried == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_an_outage_is_told_to_all_and_nothing_is_tried_again() -> None:
    away = ConnectionRefusedError("away")
    keeper = Keeper(bad={"b": away})
    keeper.may_commit.set()
    tasks = await sent(Gathering(keeper), "a", "b", "c")
    assert await outcomes(tasks) == [away, away, away]
    assert keeper.tried == [["a", "b", "c"]]


async def test_a_connection_that_breaks_fails_no_event_but_those_on_it() -> None:
    away = ConnectionResetError("broken")
    keeper = Keeper(bad={"a": away})
    gathering = Gathering(keeper)
    tasks = await sent(gathering, "a") + await sent(gathering, "b", "c")
    keeper.may_commit.set()
    assert await outcomes(tasks) == [away, Accepted("b", "b"), Accepted("c", "c")]


async def test_an_outage_that_lasts_is_told_to_all_who_wait() -> None:
    away = ConnectionRefusedError("away")
    names = [f"e{number}" for number in range(3 * MOST)]
    keeper = Keeper(bad={"first": away, "e0": away})
    gathering = Gathering(keeper)
    tasks = await sent(gathering, "first") + await sent(gathering, *names)
    keeper.may_commit.set()
    assert await outcomes(tasks) == [away] * (1 + len(names))
    assert len(keeper.tried) == 2
    assert await outcomes(await sent(gathering, "later")) == [Accepted("later", "later")]


async def test_an_outage_while_they_are_tried_one_by_one_ends_the_trying() -> None:
    guilty, away = ValueError("no such thing"), ConnectionRefusedError("away")
    keeper = Keeper(bad={"a": guilty, "c": away})
    keeper.may_commit.set()
    tasks = await sent(Gathering(keeper), "a", "b", "c", "d")
    assert await outcomes(tasks) == [guilty, Accepted("b", "b"), away, away]
    assert keeper.tried == [["a", "b", "c", "d"], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_a_request_that_is_cancelled_disturbs_no_other_and_its_event_is_kept(gone: int) -> None:
    keeper = Keeper()
    gathering = Gathering(keeper)
    tasks = await sent(gathering, "a") + await sent(gathering, "b", "c")
    tasks[gone].cancel()
    await asyncio.sleep(0)
    keeper.may_commit.set()
    answers = await outcomes(tasks)
    assert isinstance(answers.pop(gone), asyncio.CancelledError)
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert await outcomes(await sent(gathering, "d")) == [Accepted("d", "d")]
    assert keeper.kept == ["a", "b", "c", "d"]
