"""Who is who, as an operator types it; and what a person may ask for."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.ingest.intake import accept
from engine.store import clock
from tests.integration.cli.test_commands import Kairos, OnDatabase, kairos, on_database  # noqa: F401

PHONE = "+8613800138000"
CHINA = "version: 1\nidentities: {phone_region: CN}\n"


async def two_customers(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        now = (await clock.load(connection)).now()
    said = [
        {"type": "identify", "userId": user, "traits": {"phone": "138 0013 8000", "first_name": user}}
        for user in ("c-1", "c-2")
    ]
    said.append({"type": "identify", "userId": "c-3", "traits": {"phone": "12345"}})
    await accept(database, "shop", said, now)


def begin(kairos: Kairos, folder: Path, on_database: OnDatabase) -> None:  # noqa: F811
    (folder / "kairos.yaml").write_text(CHINA, encoding="utf-8")
    kairos("apply", "--yes", text=True)
    on_database(two_customers)


def test_a_customer_is_found_by_a_phone_number_in_any_spelling(
    kairos: Kairos, folder: Path, on_database: OnDatabase  # noqa: F811
) -> None:  # fmt: skip
    begin(kairos, folder, on_database)
    for spelling in ("13800138000", "+86 138 0013 8000", "phone:138-0013-8000", "c-1"):
        [found] = kairos("find", spelling)
        assert found["external_id"] == "c-1"


def test_findings_are_decided_and_a_merge_is_undone(
    kairos: Kairos, folder: Path, on_database: OnDatabase  # noqa: F811
) -> None:  # fmt: skip
    begin(kairos, folder, on_database)
    [finding] = kairos("identities", "reviews")
    assert (finding["one_value"], finding["two_value"], finding["via_value"]) == ("c-1", "c-2", PHONE)
    assert "two external_id: c-1 and c-2, both with phone" in kairos("identities", "reviews", text=True)
    assert "expected either" in kairos("identities", "decide", finding["id"], code=2, text=True)
    assert "merged: 1" in kairos("identities", "decide", finding["id"], "--same", text=True)
    assert kairos("identities", "reviews") == []
    assert [each["decision"] for each in kairos("identities", "reviews", "--decided")] == ["same"]
    [merge] = kairos("identities", "merges", "c-2")
    assert (
        kairos("find", "c-1")[0]["profile_id"] == kairos("find", "c-2")[0]["profile_id"] == merge["survivor"]
    )
    assert "a customer of its own again" in kairos("identities", "undo", str(merge["id"]), text=True)
    assert kairos("find", "c-1")[0]["profile_id"] != kairos("find", "c-2")[0]["profile_id"]
    assert "was undone before" in kairos("identities", "undo", str(merge["id"]), code=2, text=True)
    assert "there is no merge 99" in kairos("identities", "undo", "99", code=2, text=True)


def test_identifiers_that_identify_nobody_are_listed(
    kairos: Kairos, folder: Path, on_database: OnDatabase  # noqa: F811
) -> None:  # fmt: skip
    begin(kairos, folder, on_database)
    [problem] = kairos("identities", "problems")
    assert (problem["kind"], problem["source"], problem["seen"]) == ("phone", "shop", 1)


def test_a_person_is_exported_and_erased(
    kairos: Kairos, folder: Path, on_database: OnDatabase  # noqa: F811
) -> None:  # fmt: skip
    begin(kairos, folder, on_database)
    found = json.loads(kairos("export-person", "c-1", text=True))
    assert found["profile"][0]["attributes"] == {"first_name": "c-1"}
    assert [each["name"] for each in found["events"]] == ["profile.identified"]
    kairos("export-person", "c-1", "-o", "person.json", text=True)
    assert json.loads((folder / "person.json").read_text(encoding="utf-8"))["profile"] == found["profile"]
    done = kairos("erase", "c-1", "--yes")
    assert (done["ended"], done["suppressed"], done["touched"]["profiles"]) == (0, 1, 1)
    assert kairos("find", "c-1", code=1) == []
    assert "nobody is known as c-1" in kairos("erase", "c-1", "--yes", code=2, text=True)
    assert "may go there again" in kairos("unsuppress", "phone:138 0013 8000", text=True)
    kairos("unsuppress", f"phone:{PHONE}", code=1, text=True)
    assert "expected KIND:VALUE" in kairos("unsuppress", PHONE, code=2, text=True)
