"""The commands on a real database, as somebody types them. No worker and no Temporal runs here."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.main import run
from engine.core.commands import Trace
from engine.ingest.crowds import Crowds
from engine.ingest.intake import accept
from engine.ingest.router import Router
from engine.store import crowds, delivery_states, enrolments, outbox, traces
from engine.store.database import open_database
from engine.store.delivery_states import NewDelivery, Settlement
from engine.store.outbox import OutboxMessage

NOWHERE = "127.0.0.1:1"
Kairos = Callable[..., Any]


@pytest.fixture
def kairos(
    database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kairos:
    """Runs one command with `--format json`; what it printed, read. `code` is the exit code expected."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOWHERE)
    monkeypatch.chdir(folder)

    def call(*words: str, code: int = 0, text: bool = False) -> Any:
        ended = run([*words] if text else [*words, "--format", "json"])
        said = capsys.readouterr()
        assert ended == code, said.err
        assert "Traceback" not in said.err
        if code == 2:
            return said.err
        return said.out if text else json.loads(said.out)

    return call


@pytest.fixture
def on_database(database_url: str) -> Callable[[Callable[[AsyncEngine], Awaitable[Any]]], Any]:
    def call(work: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
        async def opened() -> Any:
            database = open_database(database_url)
            try:
                return await work(database)
            finally:
                await database.dispose()

        return asyncio.run(opened())

    return call


async def a_visit(database: AsyncEngine) -> None:
    """The customer c1, known by e-mail, views a page, and the router takes it."""
    messages = [
        {"type": "identify", "userId": "c1", "traits": {"email": "ann@example.com", "consents": ["email"]}},
        {"type": "track", "userId": "c1", "event": "page.viewed"},
    ]
    await accept(database, "test", messages, datetime.now(UTC))
    await Router(database).sweep()


OnDatabase = Callable[[Callable[[AsyncEngine], Awaitable[Any]]], Any]


def test_plan_and_apply(kairos: Kairos) -> None:
    assert kairos("plan")["changes"] is True
    applied = kairos("apply", "--yes")
    assert set(applied["live"]) == {"called", "welcome"}
    assert kairos("plan")["changes"] is False
    assert kairos("plan", text=True) == "Nothing to apply: what is live is what is in the folder.\n"


def test_a_project_with_mistakes_is_neither_planned_nor_applied(kairos: Kairos, folder: Path) -> None:
    (folder / "journeys/called.yaml").write_text("journey: called\nsteps: []\n")
    for command in ("plan", "apply"):
        assert {each["path"] for each in kairos(command, code=1)["errors"]} == {"journeys/called.yaml"}


def test_journeys_are_listed_with_their_status(kairos: Kairos, folder: Path, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    kairos("pause", "called")
    (folder / "journeys/next.yaml").write_text("journey: next\ntrigger: {manual: true}\nsteps: []\n")
    assert [(each["journey"], each["status"], each["under_way"]) for each in kairos("journeys")] == [
        ("called", "paused", 0),
        ("next", "draft", 0),
        ("welcome", "live", 1),
    ]


def test_a_customer_is_found_by_any_identifier(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    found = [kairos("find", name) for name in ("c1", "ann@example.com", "email:ann@example.com")]
    assert found[0] == found[1] == found[2]
    (person,) = found[0]
    assert kairos("find", person["profile_id"]) == [person]
    assert [each["journey"] for each in person["enrolments"]] == ["welcome"]
    assert "page.viewed" in [event["name"] for event in person["events"]]
    assert person["consents"] == {"email": True}
    text = kairos("find", "c1", text=True)
    assert "ann@example.com" in text
    assert "welcome" in text


def test_nobody_is_an_answer(kairos: Kairos) -> None:
    assert kairos("find", "nobody", code=1) == []


def test_enrolments_are_listed_by_what_is_asked(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    (one,) = kairos("enrolments", "--profile", "c1", "--status", "live")
    assert one["journey"] == "welcome"
    assert kairos("enrolments", "--journey", "called") == []
    assert kairos("enrolments", "--exit", "goal") == []
    assert "completed" in kairos("enrolments", "--exit", "nonsense", code=2)


def test_an_enrolment_is_explained_from_the_database_when_temporal_is_away(
    kairos: Kairos, on_database: OnDatabase
) -> None:
    kairos("apply")
    on_database(a_visit)
    (one,) = kairos("enrolments")

    async def lines(database: AsyncEngine) -> None:
        at = datetime.fromisoformat(one["entered_at"])
        async with database.begin() as connection:
            await traces.append(
                connection, one["enrolment_id"], 0, [Trace(at, "entered"), Trace(at, "began", "cool-off")]
            )

    on_database(lines)
    told = kairos("explain", one["workflow_id"])
    assert [line["text"] for line in told["trace"]] == [
        "entered `welcome`",
        "`cool-off` began (waits 1h)",
    ]
    assert NOWHERE in told["note"]
    assert "`cool-off` began (waits 1h)" in kairos("explain", one["enrolment_id"], text=True)
    assert "there is no enrolment" in kairos("explain", "welcome/nothing", code=2)


def test_a_message_is_explained_with_what_its_rules_went_by(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    (one,) = kairos("enrolments")
    at = datetime.fromisoformat(one["entered_at"])
    said = [
        {
            "at": at.isoformat(),
            "verdict": "skip",
            "rules": [{"channel": "sms", "reason": "capped", "saw": {"most": 3, "sent": 3}}],
        }
    ]

    async def skipped(database: AsyncEngine) -> None:
        async with database.begin() as connection:
            row = (await enrolments.get_batch(connection, [one["enrolment_id"]]))[one["enrolment_id"]]
            new = NewDelivery(
                row.id, "hello", row.entry_month, "k", row.journey, row.profile_id, at, template="hi"
            )
            claimed = await delivery_states.claim_batch(connection, [new], "w")
            done = Settlement(next(iter(claimed.mine)), 0, "skipped", reason="capped", why=said)
            await delivery_states.write_batch(connection, [(next(iter(claimed.mine.values())), done)], "w")

    on_database(skipped)
    message = f"{one['enrolment_id']}/hello"
    told = kairos("explain", "message", message)
    assert told["why"] == said
    shown = kairos("explain", "message", message, text=True)
    assert "sms stopped: frequency cap reached (most 3; sent 3)" in shown
    assert "skipped: frequency cap reached" in shown
    assert "there is no message" in kairos("explain", "message", "nothing", code=2)
    assert "expected an enrolment" in kairos("explain", "message", code=2)


def test_an_enrolment_is_cancelled_by_its_id(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    (one,) = kairos("enrolments")
    assert kairos("cancel", one["enrolment_id"])["asked"] == "cancel"
    assert "there is no enrolment" in kairos("cancel", "x", code=2)


def test_entering_by_hand(kairos: Kairos, on_database: OnDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.cli.enter.PATIENCE", 0.1)
    kairos("apply")
    on_database(a_visit)
    asked = kairos("enter", "called", "c1", "--with", "reason=a good one")
    assert asked["answer"] == "waiting"
    on_database(lambda database: Router(database).sweep())
    (one,) = kairos("enrolments", "--journey", "called")
    assert one["enrolment_id"] == asked["enrolment_id"]


def test_entering_by_hand_says_what_is_wrong(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    assert "page.viewed" in kairos("enter", "welcome", "c1", code=2)
    assert "reason (text)" in kairos("enter", "called", "c1", "--with", "raeson=x", code=2)
    assert "nobody is known" in kairos("enter", "called", "nobody", code=2)
    assert "NAME=VALUE" in kairos("enter", "called", "c1", "--with", "reason", code=2)


def test_a_crowd_is_asked_for_and_stopped(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    asked = kairos("enter", "called", "--all", "--with", "reason=spring", "--detach")
    assert (asked["status"], asked["what"], asked["entered"]) == ("waiting", "all", 0)
    assert asked["workflow_id"] == f"crowd/called/{asked['crowd_id']}"
    tagged = kairos("enter", "called", "--tag", "vip", "--detach")
    assert [one["crowd_id"] for one in kairos("crowds")] == [tagged["crowd_id"], asked["crowd_id"]]
    assert "tag vip" in kairos("crowds", "--journey", "called", text=True)
    assert kairos("cancel", asked["workflow_id"])["crowd_id"] == asked["crowd_id"]
    assert "is over already: cancelled" in kairos("cancel", asked["crowd_id"], code=2)
    assert kairos("crowds", "--limit", "1")[0]["status"] == "waiting"


def test_a_crowd_is_followed_until_all_are_in(
    kairos: Kairos, on_database: OnDatabase, database_url: str, folder: Path
) -> None:
    kairos("apply")
    on_database(a_visit)
    (folder / "people.csv").write_text("email,name\nann@example.com,Ann\nbob@example.com,Bob\n")

    async def work() -> None:
        database = open_database(database_url)
        worker = Crowds(database)
        async with asyncio.timeout(30):
            while True:
                async with database.connect() as connection:
                    found = await crowds.find(connection)
                if found and (crowd := await worker.advance(found[0].id)) is not None and crowd.over:
                    return await database.dispose()
                await asyncio.sleep(0.05)

    other = threading.Thread(target=asyncio.run, args=(work(),))
    other.start()
    said = kairos("enter", "called", "--file", "people.csv", text=True)
    other.join(30)
    assert "all looked at" in said
    assert [line.split() for line in said.splitlines()[1:3]] == [["looked", "at", "1"], ["entered", "1"]]
    assert "people.rejects.csv" in said
    assert (folder / "people.rejects.csv").read_text().splitlines() == [
        "line,text,reason",
        "3,bob@example.com,nobody is known as this",
    ]
    (one,) = kairos("enrolments", "--journey", "called")
    assert one["status"] == "live"


def test_a_crowd_says_what_is_wrong(kairos: Kairos, on_database: OnDatabase, folder: Path) -> None:
    kairos("apply")
    on_database(a_visit)
    assert "one of --all, --tag, --segment, --where and --file" in kairos("enter", "called", code=2)
    assert "one of --all, --tag, --segment, --where and --file" in kairos(
        "enter", "called", "c1", "--all", code=2
    )
    assert "page.viewed" in kairos("enter", "welcome", "--all", code=2)
    assert "reason (text)" in kairos("enter", "called", "--all", "--with", "raeson=x", code=2)
    assert "there is no journey" in kairos("enter", "nothing", "--tag", "vip", code=2)
    assert "No such file" in kairos("enter", "called", "--file", "nothing.csv", code=2)
    (folder / "latin.csv").write_bytes(b"m\xfcller\n")
    assert "UTF-8" in kairos("enter", "called", "--file", "latin.csv", code=2)
    (folder / "strangers.txt").write_text("x\ny\n")
    assert "strangers.rejects.csv says why" in kairos("enter", "called", "--file", "strangers.txt", code=2)
    assert kairos("crowds") == []


def test_pause_and_resume(kairos: Kairos, on_database: OnDatabase) -> None:
    kairos("apply")
    on_database(a_visit)
    assert kairos("pause", "welcome")["told"] == 1
    assert kairos("resume", "welcome")["status"] == "live"
    assert "1 enrolment under way, going on to their end" in kairos("archive", "welcome", text=True)
    assert "there are: called, welcome" in kairos("pause", "nowhere", code=2)


def test_the_outbox_shows_the_newest_last(kairos: Kairos, on_database: OnDatabase) -> None:
    async def keep(database: AsyncEngine) -> None:
        async with database.begin() as connection:
            await outbox.keep_batch(
                connection,
                [
                    OutboxMessage(f"k{n}", channel, f"a{n}@example.com", {"subject": "S", "text": f"T{n}"})
                    for n, channel in enumerate(["email", "sms", "email"])
                ],
            )

    on_database(keep)
    assert [message["key"] for message in kairos("outbox")] == ["k0", "k1", "k2"]
    assert [message["key"] for message in kairos("outbox", "--channel", "email", "--limit", "1")] == ["k2"]
    assert [message["key"] for message in kairos("outbox", "--to", "a1@example.com")] == ["k1"]
    assert "text: T1" in kairos("outbox", text=True)


def test_a_key_is_shown_once_and_can_be_revoked(kairos: Kairos) -> None:
    made = kairos("keys", "create", "web shop", "--scope", "read")
    (listed,) = kairos("keys", "list")
    assert made["token"].startswith(listed["prefix"])
    assert made["token"] not in json.dumps(listed)
    assert kairos("keys", "revoke", listed["id"], text=True) == f"{listed['id']} is revoked\n"
    assert kairos("keys", "list")[0]["revoked_at"] is not None
    assert "no key" in kairos("keys", "revoke", listed["id"], code=2, text=True)


def test_the_state_of_the_database(kairos: Kairos, database_url: str) -> None:
    assert kairos("db", "status")["up_to_date"] is True
    assert kairos("db", "upgrade", text=True).startswith("already at ")
    assert kairos("db", "url", text=True).startswith("postgresql://")


def test_a_database_without_tables_says_what_to_run(
    kairos: Kairos, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    assert "kairos db upgrade" in kairos("plan", code=2)
    assert kairos("db", "status", code=1)["revision"] is None
    assert kairos("db", "upgrade", text=True).startswith("empty → ")
    assert kairos("plan")["first"] is True


def test_a_database_that_is_not_there_is_said(kairos: Kairos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    said = kairos("plan", code=2)
    assert "cannot be reached" in said
    assert "secret" not in said


def test_a_worker_refuses_a_malformed_payload_key_in_words(
    kairos: Kairos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAIROS_PAYLOAD_KEY", "c2VjcmV0")
    said = kairos("worker", "router", code=2, text=True)
    assert "kairos worker router: KAIROS_PAYLOAD_KEY: expected 32 bytes in base64" in said
    assert "c2VjcmV0" not in said
