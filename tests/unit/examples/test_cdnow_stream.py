"""The dormancy demo's files and messages, and what the simulation takes for history."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.cli.check import check_folder
from engine.simulator import simulate
from examples.cdnow import demo, stream
from examples.running.demo import Options


def test_history_ends_where_the_messages_begin() -> None:
    sent = [datetime.fromisoformat(each["timestamp"]) for each in stream.messages()]
    past = [datetime.fromisoformat(each["timestamp"]) for each in stream.history()]
    assert max(past) < stream.SINCE <= min(sent)
    assert sent == sorted(sent)
    assert len(stream.before()) + len(sent) == len(stream.orders()) == 6919
    assert max(sent) < stream.SINCE + timedelta(days=stream.DAYS)


def test_files_hold_every_customer_and_every_order_of_before(tmp_path: Path) -> None:
    stream.write_customers(tmp_path / "people.csv")
    stream.write_orders(tmp_path / "orders.csv", stream.before())
    with (tmp_path / "people.csv").open(encoding="utf-8", newline="") as file:
        people = list(csv.DictReader(file))
    with (tmp_path / "orders.csv").open(encoding="utf-8", newline="") as file:
        orders = list(csv.DictReader(file))
    assert [each["customer_id"] for each in people] == stream.customers()
    assert len(people) == 2357
    assert len({each["message_id"] for each in orders}) == len(orders) == len(stream.before())


def test_who_bought_in_1997_only_enters_in_1998_if_the_25_days_end_then() -> None:
    project = check_folder(demo.ROOT)
    told = [*stream.history(), *stream.messages(20)]
    report = simulate(project, None, told, None, stream.SOURCE, since=stream.SINCE)
    entered = [each for each in report.enrolments if each.journey.name == "nearing-dormancy"]
    assert entered
    assert {each.entered_at - each.trigger.at for each in entered} == {timedelta(0)}
    last = {each.entered_at - timedelta(days=25) for each in entered}
    assert min(last) < stream.SINCE
    assert all(each.entered_at > stream.SINCE for each in entered)
    everybody = simulate(project, None, told, None, stream.SOURCE)
    assert len(everybody.enrolments) > len(report.enrolments)


def test_options_of_the_demo_are_its_own() -> None:
    assert Options.read({}, demo.STORY) == Options(days=181, hours=48)
    assert Options.read({"DEMO_DAYS": "60"}, demo.STORY).days == 60


@pytest.mark.parametrize("customer", ["0001", "2357"])
def test_a_customer_is_the_same_in_every_run(customer: str) -> None:
    assert stream.who(customer) == stream.who(customer)
