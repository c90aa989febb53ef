"""The shop's stream of messages, and how its demo tells two runs apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.cli.check import check_folder
from engine.simulator import simulate
from examples.running import records
from examples.running.demo import Options
from examples.running.differences import compare
from examples.running.live import DemoError, fresh_folder
from examples.running.people import traits
from examples.running.records import Record, RecordKey, Records, SentMessage
from examples.shop import stream
from examples.shop.demo import STORY

SHOP = Path(stream.__file__).parent
KEY = RecordKey("unpaid-cart", "user_0001", "click-00001")


def test_messages_come_by_time_and_ties_by_line() -> None:
    found = stream.clicks(days=31)
    assert [(c.at, c.line) for c in found] == sorted((c.at, c.line) for c in found)
    assert len({(c.at, c.line) for c in found}) == len(found) > len({c.at for c in found})


def test_every_visitor_is_identified_before_the_first_click() -> None:
    found = stream.messages(days=2)
    people = [m for m in found if m["type"] == "identify"]
    clicked = {m["userId"] for m in found if m["type"] == "track"}
    assert {m["userId"] for m in people} == clicked
    assert found[: len(people)] == people
    assert all(datetime.fromisoformat(m["timestamp"]) < stream.MAY for m in people)


def test_message_ids_are_unique_and_the_same_in_every_run() -> None:
    found = stream.messages(days=31)
    assert len({m["messageId"] for m in found}) == len(found)
    assert found == stream.messages(days=31)


def test_a_cart_keeps_its_total_from_change_to_payment() -> None:
    totals: dict[str, set[int]] = {}
    for message in stream.messages(days=31):
        if "cart_id" in message.get("properties", {}):
            totals.setdefault(message["properties"]["cart_id"], set()).add(message["properties"]["total"])
    assert totals
    assert {len(found) for found in totals.values()} == {1}


def test_addresses_are_nobodys_and_no_two_visitors_share_one() -> None:
    addresses = [
        value
        for number in range(600)
        for kind, value in traits(f"user_{number:04d}").items()
        if kind in ("email", "phone", "wechat", "push")
    ]
    assert len(addresses) == len(set(addresses))
    assert all("@" not in address or address.endswith("@example.com") for address in addresses)


def test_may_has_about_three_hundred_unpaid_carts() -> None:
    report = simulate(check_folder(SHOP), None, stream.messages())
    assert not report.unreadable
    assert 250 < report.journeys["unpaid-cart"].entered < 350


# --- differences ----------------------------------------------------------------------------------------


def record(**changes: object) -> Record:
    one = Record(
        KEY,
        "2024-05-01T10:00:00+00:00",
        False,
        "completed",
        "2024-05-02T10:00:00+00:00",
        None,
        {"offer-test": "plain"},
        (SentMessage("2024-05-01T10:00:00+00:00", "plain-reminder", "sms", "cart-reminder"),),
        ("2024-05-01T10:00:00+00:00 entered", "2024-05-02T10:00:00+00:00 exited completed"),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def both(**changes: object) -> tuple[Records, Records]:
    return {KEY: record(**changes)}, {KEY: record()}


def test_equal_records_have_no_difference() -> None:
    assert compare(*both()) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"entered_at": "2024-05-01T10:00:01+00:00"}, "entered"),
        ({"holdout": True}, "holdout"),
        ({"exit": "goal"}, "exit"),
        ({"ended_at": None}, "ended"),
        ({"converted_at": "2024-05-02T10:00:00+00:00"}, "converted"),
        ({"variants": {"offer-test": "coupon"}}, "variants"),
        ({"messages": ()}, "message 1"),
        ({"messages": (*record().messages, *record().messages)}, "message 2"),
        ({"trace": record().trace[:1]}, "trace 2"),
    ],
)
def test_each_thing_that_differs_is_named(changes: dict[str, object], what: str) -> None:
    [difference] = compare(*both(**changes))
    assert difference.what == what
    assert "unpaid-cart, user_0001, entered by click-00001" in str(difference)


def test_an_enrolment_that_only_one_side_has_is_a_difference() -> None:
    [missing] = compare({}, {KEY: record()})
    assert (missing.live, missing.simulated) == ("never entered", "entered at 2024-05-01T10:00:00+00:00")
    [extra] = compare({KEY: record()}, {})
    assert extra.simulated == "never entered"


def test_lines_that_drivers_may_leave_out_are_no_difference() -> None:
    report = simulate(check_folder(SHOP), None, stream.messages(days=1))
    traced = [line for one in records.simulated(report).values() for line in one.trace]
    assert traced
    assert not any(" ignored" in line for line in traced)


# --- options --------------------------------------------------------------------------------------------


def test_options_are_read_from_the_environment() -> None:
    plain = Options(days=31, hours=8)
    assert Options.read({}, STORY) == plain
    given = {"KEEP": "1", "DEMO_DAYS": "3", "DEMO_HOURS": "12"}
    assert Options.read(given, STORY) == Options(3, 12, keep=True)
    assert Options.read({"KEEP": "0", "DRIVER": "workflow"}, STORY) == plain
    assert Options.read({"DRIVER": "pool"}, STORY) == replace(plain, pool=True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DRIVER", "magic", "no such driver"),
        ("DEMO_DAYS", "many", "expected a number"),
        ("DEMO_DAYS", "0", "expected a number"),
        ("DEMO_HOURS", "1000", "expected a number"),
    ],
)
def test_an_option_that_means_nothing_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(DemoError, match=said):
        Options.read({name: value}, STORY)


def test_a_second_demo_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with (
        fresh_folder(tmp_path),
        pytest.raises(DemoError, match="another demo"),
        fresh_folder(tmp_path),
    ):
        pass


def test_a_run_begins_in_an_empty_folder(tmp_path: Path) -> None:
    with fresh_folder(tmp_path) as folder:
        (folder / "temporal").mkdir(parents=True)
        (folder / "temporal" / "temporal.db").touch()
        (folder / "postgres.log").touch()
    with fresh_folder(tmp_path) as folder:
        assert [path.name for path in folder.rglob("*") if path.is_file()] == []


def test_the_period_is_may_in_utc() -> None:
    found = stream.clicks()
    assert found[0].at >= stream.MAY
    assert found[-1].at < stream.MAY + timedelta(days=31)
