"""Imports, exports and queries over the management API, with the worker that works them off."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.applying import apply_project
from engine.ingest import jobs as working
from engine.ingest.erasure import erase_leftovers, erase_person
from engine.ingest.importing import Importer
from engine.language.project import check_project
from engine.store import identities, jobs
from tests.integration.api.shop import FILES, Shop, make_shop
from tests.integration.api.test_management import operator, reader
from workers.jobs import run_jobs

__all__ = ["operator", "reader"]

MORE = """
  tier: text
  points: number
  carts: {type: number, computed: 'count("cart.updated")'}
tags: [vip]
segments:
  carting: count("cart.updated") > 0
  testers: {list: true}
"""
PEOPLE = b"customer_id,email,tier,points,tags\n" + b"".join(
    b"p-%d,p%d@example.com,%s,%s,vip\n" % (n, n, b"gold" if n % 2 else b"=1+1", b"x" if n == 7 else b"3")
    for n in range(20)
)


@pytest.fixture
async def shop(database: AsyncEngine) -> Shop:
    made = await make_shop(database)
    files = FILES | {"journeys/catalog.yaml": FILES["journeys/catalog.yaml"] + MORE}
    project = check_project(files)
    assert not project.errors, project.errors
    await apply_project(database, project, files)
    return made


@pytest.fixture
async def worker(database: AsyncEngine) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_jobs(database, stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 20)


async def over(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await client.get(path)).json()
            if found["state"] in ("done", "failed"):
                return found
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
async def test_a_file_is_uploaded_imported_and_what_was_left_out_is_told(
    shop: Shop, operator: httpx.AsyncClient, database: AsyncEngine
) -> None:
    asked = await operator.post(
        "/imports", params={"kind": "customers", "source": "crm"}, content=gzip.compress(PEOPLE)
    )
    assert asked.status_code == 202
    done = await over(operator, f"/imports/{asked.json()['id']}")
    assert (done["state"], done["counts"]["new"], done["counts"]["rejected"], done["created_by"]) == (
        "done", 19, 1, "operator",
    )  # fmt: skip
    rejects = await operator.get(f"/imports/{done['id']}/rejects")
    assert rejects.text.splitlines() == [
        "line,what,reason",
        '9,left out,"points: expected a number, such as 12.5"',
    ]
    found = (await operator.get("/profiles", params={"kind": "email", "value": "p3@example.com"})).json()
    assert found["items"][0]["attributes"] == {"tier": "gold", "points": 3}
    async with database.connect() as connection:
        assert await jobs.part(connection, done["id"], 0) is None, "the upload is forgotten"
    again = await operator.post("/imports", params={"kind": "customers"}, content=gzip.compress(PEOPLE))
    failed = await over(operator, f"/imports/{again.json()['id']}")
    assert (failed["state"], "imported already" in failed["error"]) == ("failed", True)
    columns = '{"customer_id": "external_id", "tier": null}'
    params = {"kind": "customers", "again": "true", "columns": columns}
    third = await operator.post("/imports", params=params, content=PEOPLE)
    assert (await over(operator, f"/imports/{third.json()['id']}"))["counts"]["rejected"] == 0
    assert len((await operator.get("/imports", params={"limit": 2})).json()["items"]) == 2


async def test_what_cannot_be_imported_is_said(
    shop: Shop, operator: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    async def code(content: bytes = b"x", **params: str) -> tuple[int, str]:
        answer = await operator.post("/imports", params=params, content=content)
        return answer.status_code, answer.json().get("code", "")

    assert await code() == (422, "invalid")
    assert await code(b"", kind="customers") == (422, "invalid")
    assert await code(kind="customers", columns="[1]") == (422, "invalid")
    assert await code(kind="customers", at="2026-01-01T10:00:00") == (422, "invalid")
    assert (await reader.post("/imports", params={"kind": "customers"}, content=b"x")).status_code == 403
    missing = await operator.get("/imports/00000000-0000-4000-8000-000000000000")
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-job")


@pytest.mark.usefixtures("worker")
async def test_profiles_are_exported_and_fetched(
    shop: Shop, operator: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    asked = (await operator.post("/imports", params={"kind": "customers"}, content=PEOPLE)).json()
    await over(operator, f"/imports/{asked['id']}")
    asked = (await operator.post("/exports", json={"all": True, "personal": True})).json()
    done = await over(operator, f"/exports/{asked['id']}")
    assert (done["state"], done["rows"]) == ("done", 20)
    answer = await operator.get(f"/exports/{asked['id']}/file")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {
        row["external_id"]: row for row in csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    }
    assert (rows["c-17"]["carts"], rows["c-17"]["first_name"], rows["c-17"]["email"]) == (
        "2", "Ada", "ada@example.com",
    )  # fmt: skip
    assert (rows["p-2"]["tier"], rows["p-3"]["tier"], rows["p-3"]["tags"]) == ("'=1+1", "gold", "vip")
    asked = (await operator.post("/exports", json={"segment": "carting", "layout": "jsonl"})).json()
    await over(operator, f"/exports/{asked['id']}")
    lines = (await operator.get(f"/exports/{asked['id']}/file")).text.splitlines()
    assert len(lines) == 1
    assert "ada@example.com" not in lines[0]
    refused = await operator.post("/exports", json={"all": True, "fields": ["email"]})
    assert (refused.status_code, "personal" in refused.json()["detail"]) == (422, True)
    assert (await operator.post("/exports", json={"segment": "nobody"})).status_code == 404
    assert (await reader.post("/exports", json={"all": True})).status_code == 403


async def test_erasing_takes_files_of_jobs_once_and_fails_what_is_under_way(
    shop: Shop, operator: httpx.AsyncClient, database: AsyncEngine
) -> None:
    ready = (await operator.post("/exports", json={"all": True, "personal": True})).json()["id"]
    upload = (await operator.post("/imports", params={"kind": "customers"}, content=PEOPLE)).json()["id"]
    await working.work_off(database, ready)
    assert (await operator.get(f"/exports/{ready}/file")).status_code == 200
    async with database.begin() as connection:
        person = (await identities.find_batch(connection, [("external_id", "c-17")]))["external_id", "c-17"]
    await erase_person(database, person)
    assert (await operator.get(f"/exports/{ready}/file")).status_code == 404
    failed = (await operator.get(f"/imports/{upload}")).json()
    assert (failed["state"], "erased" in failed["error"]) == ("failed", True)
    await working.work_off(database, upload)  # a worker that had it on its list does nothing
    again = (await operator.post("/exports", json={"all": True, "personal": True})).json()["id"]
    await working.work_off(database, again)
    assert await erase_leftovers(database) == 1
    kept = await operator.get(f"/exports/{again}/file")
    assert (kept.status_code, "ada@example.com" in kept.text) == (200, False)


async def test_an_import_that_a_worker_did_not_finish_is_taken_up(
    shop: Shop, operator: httpx.AsyncClient, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "SIZE", 6)
    asked = (await operator.post("/imports", params={"kind": "customers"}, content=PEOPLE)).json()
    usual, taken = Importer._take_people, 0

    async def dies(self: Importer, *given: Any) -> None:
        nonlocal taken
        if taken == 2:
            raise OSError("as if the worker had died")
        taken += 1
        await usual(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Importer, "_take_people", dies)
        with pytest.raises(OSError, match="died"):
            await working.work_off(database, asked["id"])
    found = (await operator.get(f"/imports/{asked['id']}")).json()
    assert (found["state"], found["rows"]) == ("running", 12)
    await working.work_off(database, asked["id"])
    found = (await operator.get(f"/imports/{asked['id']}")).json()
    assert (found["state"], found["rows"], found["counts"]["new"]) == ("done", 20, 19)


async def test_chosen_fields_of_chosen_profiles(shop: Shop, reader: httpx.AsyncClient) -> None:
    async def ask(**body: Any) -> Any:
        return (await reader.post("/profiles/query", json=body)).json()

    fields = ["profile_id", "external_id", "carts", "segments", "tags", "email", "first_name", "identities"]
    found = await ask(where="exists(profile.first_name)", fields=fields)
    assert found == {
        "items": [
            {
                "profile_id": shop.profile_id,
                "external_id": "c-17",
                "carts": 2,
                "segments": ["carting"],
                "tags": [],
                "email": "ada@example.com",
                "first_name": "Ada",
                "identities": [
                    {"kind": "email", "value": "ada@example.com"},
                    {"kind": "external_id", "value": "c-17"},
                ],
            }
        ],
        "next": None,
        "not_one": [],
    }
    named = [{"kind": "email", "value": "ADA@example.com"}, {"kind": "phone", "value": "1"}]
    found = await ask(identities=named, profile_ids=[shop.profile_id], fields=["external_id"])
    assert found == {"items": [{"external_id": "c-17"}], "next": None, "not_one": [1]}
    assert (await ask(segment="testers"))["items"] == []
    assert (await ask(segment="nope"))["code"] == "no-such-segment"
    assert (await ask(where="has_tag("))["code"] == "invalid"
    assert (await ask(where="true", fields=["shoe_size"]))["code"] == "invalid"
    assert (await ask())["code"] == "invalid"
