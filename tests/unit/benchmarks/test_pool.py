"""What the pool's benchmarks are made of, as far as it needs no server."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import pytest

from benchmarks import pool, pool_burst, pool_due, pool_waiting
from benchmarks.null import NullAdapter
from benchmarks.pool_people import people
from benchmarks.pool_sink import Connection, Count
from channels import Accepted, Message
from engine.core.identity import profile_key
from engine.language.project import check_project

SINK = "http://127.0.0.1:20001"
WEBHOOK = f"{{adapter: webhook, settings: {{url: '{SINK}', secret: '${{SECRET}}'}}}}"
POST = b"POST /message HTTP/1.1\r\nhost: x\r\nContent-Length: 4\r\n\r\nbody"


@pytest.mark.parametrize(
    ("files", "drivers"),
    [
        (pool.project(), {"spring": "pool"}),
        (pool.project(channel="webhook", settings=WEBHOOK), {"spring": "pool"}),
        (pool_waiting.project(), {"spring": "pool"}),
        (pool_burst.project(SINK), {"burst": "workflow", "burst-pool": "pool"}),
        (
            pool_due.project(SINK, 90),
            {"spring": "pool", "patience": "workflow", "patience-pool": "pool"},
        ),
    ],
)
def test_projects_have_no_mistakes_and_run_where_they_are_meant_to(
    files: Mapping[str, str], drivers: Mapping[str, str]
) -> None:
    project = check_project(files)
    assert not project.errors
    assert {name: plan.run_as for name, plan in project.plans.items()} == drivers


def test_people_are_always_the_same_and_one_in_ten_has_no_name() -> None:
    first, again = list(people(2_000)), list(people(2_000))
    assert first == again
    assert first[:5] == list(people(5))
    assert len({person.profile_id for person in first}) == 2_000
    assert first[7].key == profile_key("external_id", "person-7")
    assert 150 < sum(person.first_name is None for person in first) < 250


async def test_the_null_adapter_accepts_everything() -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    message = Message(key="k", channel="sms", address="+1", parts={"text": "x"}, template="t", at=at)
    adapter = NullAdapter("sms", NullAdapter.Settings())
    assert await adapter.send([message, message]) == [Accepted(), Accepted()]


class Written:
    """What a transport was given."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def connection(count: Count) -> tuple[Connection, Written]:
    made, written = Connection(count), Written()
    made._transport = cast(asyncio.Transport, written)
    return made, written


def test_the_sink_counts_calls_however_they_are_cut() -> None:
    for size in (1, 7, 1_000):
        count = Count()
        made, written = connection(count)
        data = POST * 3
        for start in range(0, len(data), size):
            made.data_received(data[start : start + size])
        assert count.calls == 3
        assert written.data.count(b"HTTP/1.1 200 OK") == 3


def test_the_sink_tells_what_it_counted_and_begins_anew() -> None:
    count = Count()
    made, written = connection(count)
    made.data_received(POST + b"GET /counted HTTP/1.1\r\nhost: x\r\n\r\n")
    told = json.loads(written.data.rpartition(b"\r\n\r\n")[2])
    assert told["calls"] == 1
    assert 0 < told["first"] == told["last"]
    assert count.calls == 0
