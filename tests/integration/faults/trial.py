"""What the fault tests share: a journey of every kind of step, paced events, and the comparison with a run
that nothing disturbed.

The undisturbed run is the simulator's: the same plan, the same customers, the same events, so that the trace
of every enrolment must be the same to the last instant, whatever was killed meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.service import RPCError

from engine.core.commands import Trace
from engine.language.project import check_project
from engine.simulator import simulate
from engine.store import traces
from engine.store.enrolments import Enrolment
from tests.integration.harness import SOURCE, Kairos

START = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
Message = dict[str, Any]


def path_project(sink_url: str, *, message_url: str | None = None) -> dict[str, str]:
    """One journey with every kind of step; each message and the webhook arrive at the sink."""
    return {
        "kairos.yaml": f"""version: 1
channels:
  webhook:
    adapter: webhook
    settings: {{url: "{message_url or sink_url + "/message"}", secret: "${{SINK_SECRET}}"}}
""",
        "journeys/catalog.yaml": """events:
  order.placed: {properties: {order_id: text, total: number}}
  order.paid: {properties: {order_id: text}}
profile: {last_total: number}
tags: [big, small]
""",
        "templates/note/webhook.json.j2": '{"order": "{{ trigger.order_id }}"}\n',
        "journeys/path.yaml": f"""journey: path
category: transactional
trigger: {{event: order.placed, one_per: event.order_id}}
steps:
  - {{id: thanks, message: {{template: note, channels: [webhook]}}}}
  - {{id: pause, wait: {{for: 1h}}}}
  - id: kind
    branch:
      - where: trigger.total >= 100
        steps: [{{id: mark-big, update: {{add_tags: [big], set: {{last_total: trigger.total}}}}}}]
      - otherwise: [{{id: mark-small, update: {{add_tags: [small]}}}}]
  - {{id: tell, webhook: {{url: "{sink_url}/tell", body: {{order: trigger.order_id}}}}}}
  - id: paid
    wait:
      for_event: order.paid
      where: event.order_id == trigger.order_id
      up_to: 1d
      then: [{{id: receipt, message: {{template: note, channels: [webhook]}}}}]
      otherwise: [{{id: remind, message: {{template: note, channels: [webhook]}}}}]
  - {{id: rest, wait: {{for: 2h}}}}
  - {{id: bye, message: {{template: note, channels: [webhook]}}}}
""",
    }


def track(user: str, name: str, after: timedelta, message_id: str, **properties: Any) -> Message:
    return {
        "type": "track",
        "userId": user,
        "event": name,
        "properties": properties,
        "messageId": message_id,
        "timestamp": (START + after).isoformat(),
    }


def orders(customers: int, *, apart: timedelta = HOUR) -> list[Message]:
    """Customers who order one after another; every other one pays five hours and a half later."""
    found = []
    for number in range(customers):
        user, order = f"c{number}", f"o{number}"
        at = apart * number + timedelta(minutes=1)
        total = 50 + 100 * (number % 2)
        found.append(track(user, "order.placed", at, f"placed-{number}", order_id=order, total=total))
        if number % 4 < 2:
            found.append(track(user, "order.paid", at + 5.5 * HOUR, f"paid-{number}", order_id=order))
    return sorted(found, key=lambda message: message["timestamp"])


async def replay(running: Kairos, messages: Sequence[Message]) -> None:
    """Sends messages as their instants come on the scaled clock."""
    for message in messages:
        due = running.clock.wall(datetime.fromisoformat(message["timestamp"]))
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        await running.send(message)


async def assert_undisturbed(
    database: AsyncEngine, files: Mapping[str, str], messages: Iterable[Message], *, others: int = 0
) -> None:
    """Every enrolment, with every line of its trace, is as if nothing had happened; one row a step.

    `others` is how many enrolments there are besides those that these messages lead to.
    """
    report = simulate(check_project(files), None, list(messages), source=SOURCE)
    wanted = {enrolment.id: _shared(enrolment.trace) for enrolment in report.enrolments}
    assert wanted, "the undisturbed run has no enrolment: the trial shows nothing"
    async with database.connect() as connection:
        rows = await connection.execute(sa.text("SELECT id::text AS id, status FROM enrolments"))
        status = {row.id: row.status for row in rows}
        stored = await traces.read_batch(connection, status)
    assert {id: status.get(id) for id in wanted} == dict.fromkeys(wanted, "ended")
    assert len(status) == len(wanted) + others
    for enrolment_id, trace in wanted.items():
        assert _shared(stored.get(enrolment_id, ())) == trace, enrolment_id
    await assert_one_row_a_step(database, wanted)


async def assert_one_row_a_step(
    database: AsyncEngine, wanted: Mapping[str, list[Trace]] | None = None
) -> None:
    """No step has two deliveries or effects; with `wanted`, each step that acted has one."""
    async with database.connect() as connection:
        rows = await connection.execute(
            sa.text(
                "SELECT enrolment_id::text AS enrolment, step, count(*) AS n FROM "
                "(SELECT enrolment_id, step FROM deliveries UNION ALL "
                "SELECT enrolment_id, step FROM effects) a "
                "GROUP BY 1, 2"
            )
        )
        counts = {(row.enrolment, row.step): row.n for row in rows}
        left = await connection.execute(
            sa.text(
                "SELECT step, state FROM deliveries WHERE state IN ('claimed', 'sending') "
                "UNION ALL SELECT step, state FROM effects WHERE state IN ('claimed', 'sending')"
            )
        )
        assert [tuple(row) for row in left] == []
    assert {place: n for place, n in counts.items() if n != 1} == {}
    if wanted is not None:
        acted = {
            (enrolment_id, line.step)
            for enrolment_id, trace in wanted.items()
            for line in trace
            if line.result in ("sent", "done", "failed", "skipped", "unknown") and line.step
        }
        assert {place for place in counts if place[0] in wanted} == acted


def _shared(lines: Iterable[Trace]) -> list[Trace]:
    """The lines that all drivers share."""
    return [line for line in lines if line.result != "ignored"]


async def until(what: str, holds: Any, seconds: float = 60, *, every: float = 0.1) -> None:
    """Waits until `await holds()` is true; the error says `what` was waited for."""
    try:
        async with asyncio.timeout(seconds):
            while not await holds():  # noqa: ASYNC110 - it looks at servers
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what}") from None


async def standing_at(running: Kairos, step: str, count: int) -> list[Enrolment]:
    """Waits until that many live enrolments wait in `step`, and returns all live ones."""

    async def holds() -> bool:
        live = [e for e in await running.enrolments() if e.status == "live"]
        return [await _waits_in(running, e) for e in live].count(step) == count

    await until(f"{count} enrolments waiting in {step}", holds)
    return [e for e in await running.enrolments() if e.status == "live"]


async def _waits_in(running: Kairos, enrolment: Enrolment) -> str | None:
    assert enrolment.workflow_id is not None
    try:
        found = await running.client.get_workflow_handle(enrolment.workflow_id).query("state")
    except RPCError:  # not started yet
        return None
    state = found["state"]
    return str(state["step"]) if state["phase"] == "waiting" else None
