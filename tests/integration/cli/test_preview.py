"""`kairos preview` for customers of the database, and its test to oneself."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.main import run
from engine.store import outbox
from tests.integration.cli.test_commands import Kairos, OnDatabase, a_visit, kairos, on_database

__all__ = ["kairos", "on_database"]


def test_a_customer_of_the_database_sees_the_message_with_its_last_trigger(
    kairos: Kairos, folder: Path, on_database: OnDatabase
) -> None:
    kairos("apply")
    on_database(a_visit)
    (folder / "templates/hello/email.text.j2").write_text(
        "Hello {{ trigger.name }}, {{ profile.external_id }}"
    )
    (found,) = kairos("preview", "hello", "--profile", "c1")
    assert found["customer"] == "c1"
    assert found["note"].startswith("with the trigger of enrolment")
    assert found["messages"][0]["parts"]["text"] == "Hello page.viewed, c1"
    assert "nobody is known as c-9" in kairos("preview", "hello", "--profile", "c-9", code=2)
    assert "no segment `vips`" in kairos("preview", "hello", "--segment", "vips", code=2)


def test_customers_of_a_segment_are_shown_one_after_the_other(
    kairos: Kairos, folder: Path, on_database: OnDatabase
) -> None:
    path = folder / "journeys/catalog.yaml"
    path.write_text(path.read_text() + "segments: {seen: 'count(\"page.viewed\") > 0'}\n")
    kairos("apply")
    on_database(a_visit)
    assert [each["customer"] for each in kairos("preview", "hello", "--segment", "seen")] == ["c1"]


def test_a_test_goes_out_marked_and_leaves_no_delivery(
    kairos: Kairos, folder: Path, on_database: OnDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    kairos("apply")
    on_database(a_visit)
    words = ["preview", "hello", "--profile", "c1", "--channel", "email", "--send-to", "me@example.com"]
    assert run(words) == 0
    assert run(words) == 0  # again: each has a key of its own
    assert "sent to me@example.com by outbox" in capsys.readouterr().err

    async def look(database: AsyncEngine) -> tuple[list[tuple[str, str]], int]:
        async with database.connect() as connection:
            kept = await outbox.find(connection, limit=10)
            rows = await connection.scalar(sa.text("SELECT count(*) FROM deliveries"))
        return [(each.address, each.parts["subject"]) for each in kept], rows

    assert on_database(look) == ([("me@example.com", "[Test] Hello")] * 2, 0)


def test_a_test_goes_out_through_a_channel_with_routes(
    kairos: Kairos, folder: Path, on_database: OnDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "kairos.yaml"
    routes = "[{name: one, adapter: outbox}, {name: two, adapter: outbox}]"
    path.write_text(path.read_text() + f"channels: {{email: {{routes: {routes}}}}}\n")
    kairos("apply")
    on_database(a_visit)
    words = ["preview", "hello", "--profile", "c1", "--channel", "email", "--send-to", "me@example.com"]
    assert run(words) == 0
    assert "sent to me@example.com by one of its providers" in capsys.readouterr().err
