"""`kairos import`, as somebody types it, with the files that people really have."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.cli.test_commands import Kairos, OnDatabase, kairos, on_database

__all__ = ["kairos", "on_database"]

CATALOGUE = """
events:
  order.paid: {also_called: [Paid], properties: {order_id: text, total: number}}
profile:
  first_name: {type: text, personal: true}
  points: number
  birthday: date
  vip_since: datetime
  newsletter: boolean
  orders: {type: number, computed: 'count("order.paid")'}
tags: [tea, vip]
segments:
  buyers: count("order.paid") > 0
  testers: {list: true}
"""
BUYING = """
journey: buying
trigger: {event: order.paid}
steps:
  - {id: rest, wait: {for: 1h}}
"""


def test_before_the_first_apply_nothing_is_imported(kairos: Kairos, folder: Path) -> None:
    (folder / "people.csv").write_text("会员号\nm-1\n", encoding="utf-8")
    said = kairos("import", "customers", str(folder / "people.csv"), code=2, text=True)
    assert "`kairos apply` first" in said


@pytest.fixture
def shop(kairos: Kairos, folder: Path) -> Kairos:
    (folder / "kairos.yaml").write_text("time_zone: Asia/Shanghai\nidentities: {phone_region: CN}\n")
    (folder / "journeys/catalog.yaml").write_text(CATALOGUE)
    for name in ("welcome", "called"):
        (folder / f"journeys/{name}.yaml").unlink()
    (folder / "journeys/buying.yaml").write_text(BUYING)
    kairos("apply", "--yes")
    return kairos


def rows(on_database: OnDatabase, query: str) -> list[tuple[Any, ...]]:
    async def work(database: AsyncEngine) -> list[tuple[Any, ...]]:
        async with database.connect() as connection:
            return [tuple(row) for row in await connection.execute(sa.text(query))]

    found: list[tuple[Any, ...]] = on_database(work)
    return found


def rejects(path: Path) -> list[tuple[str, str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [(row["line"], row["what"], row["reason"]) for row in csv.DictReader(file)]


CHINESE = (
    "会员号,手机号,邮箱,First Name,生日,标签,consent.sms\n"
    "m1,138 0013 8000,Ann@Example.com,安,1990/2/9,tea;vip,是\n"
    "m2,+86-139-0013-8001,,鲍勃,19911103,,否\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_customers_come_in_whatever_the_encoding(
    shop: Kairos, folder: Path, on_database: OnDatabase, encoding: str
) -> None:
    (folder / "people.csv").write_bytes(CHINESE.replace("生日", "birthday").encode(encoding))
    found = shop("import", "customers", "people.csv")
    assert (found["state"], found["counts"]["new"], found["rejects"]) == ("done", 2, None)
    people = rows(
        on_database, "SELECT addresses, attributes, tags FROM profiles ORDER BY attributes->>'birthday'"
    )
    assert people[0] == (
        {"member_number": "M1", "phone": "+8613800138000", "email": "ann@example.com"},
        {"first_name": "安", "birthday": "1990-02-09"},
        ["tea", "vip"],
    )
    assert people[1][0] == {"member_number": "M2", "phone": "+8613900138001"}
    assert rows(on_database, "SELECT channel, granted, source FROM consents ORDER BY granted") == [
        ("sms", False, "import"),
        ("sms", True, "import"),
    ]
    # A withdrawal ends what runs, so it is told; a consent given once is history.
    assert rows(on_database, "SELECT name, properties FROM events") == [
        ("consent.changed", {"channel": "sms", "granted": False})
    ]


def test_a_file_in_another_encoding_is_told_by_line_and_byte_and_nothing_is_in(
    shop: Kairos, folder: Path, on_database: OnDatabase
) -> None:
    (folder / "latin.csv").write_bytes(
        "email,first_name\na@example.com,Anna\nb@example.com,Müller\n".encode("cp1252")
    )
    said = shop("import", "customers", "latin.csv", code=2)
    assert "line 3, byte 52 of the file" in said
    assert "--encoding" in said
    assert rows(on_database, "SELECT count(*) FROM profiles") == [(0,)]
    assert "this is not gb18030" not in said
    wrong = shop("import", "customers", "latin.csv", "--encoding", "utf-16", code=2)
    assert "this is not utf-16" in wrong or "header" in wrong
    assert "no encoding `klingon`" in shop(
        "import", "customers", "latin.csv", "--encoding", "klingon", code=2
    )
    found = shop("import", "customers", "latin.csv", "--encoding", "cp1252")
    assert found["counts"]["new"] == 2
    assert ("Müller",) in rows(on_database, "SELECT attributes->>'first_name' FROM profiles")


def test_a_column_that_changes_its_type_half_way_is_left_out_line_by_line(
    shop: Kairos, folder: Path, on_database: OnDatabase
) -> None:
    lines = [f"c-{n},{n}" for n in range(5)] + [f"c-{n},lots" for n in range(5, 8)] + ["c-8,8.5"]
    (folder / "p.csv").write_text("customer_id,points\n" + "\n".join(lines) + "\n")
    found = shop("import", "customers", "p.csv")
    assert (found["counts"]["new"], found["counts"]["rejected"]) == (6, 3)
    reason = "points: expected a number, such as 12.5"
    assert rejects(folder / "p.rejects.csv") == [(str(n), "left out", reason) for n in (7, 8, 9)]
    assert rows(on_database, "SELECT attributes FROM profiles WHERE external_id = 'c-8'") == [
        ({"points": 8.5},)
    ]


def test_identifiers_of_every_shape(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    phones = [
        "13800138000",
        "+86 138-0013-8000",
        "(0086)13800138000",
        "１３８００１３８０００",
        "tel:+8613800138000",
    ]
    lines = [f'c-{n},"{phone}",' for n, phone in enumerate(phones)]
    lines += [
        "c-5,12345,",
        "c-6,13800138000 ext. 5,",
        "c-7,,üser@bücher.example",
        "c-8,,nobody@",
        f"{'x' * 10_000},,",
    ]
    lines += [",not a phone,", ",,"]
    (folder / "p.csv").write_text("customer_id,phone,email\n" + "\n".join(lines) + "\n")
    found = shop("import", "customers", "p.csv")
    told = {line: (what, reason) for line, what, reason in rejects(folder / "p.rejects.csv")}
    assert {line for line, (what, _) in told.items() if what == "left out"} == {"11", "12", "13"}
    assert {line for line, (what, _) in told.items() if what != "left out"} == {"7", "8", "10"}
    assert "10000 characters" in told["11"][1]
    assert "nobody can be told by it" in told["12"][1]
    assert found["counts"]["rejected"] == 3
    # One phone of five customers: they are not made one, the phone stays with the first.
    assert rows(on_database, "SELECT count(*) FROM identities WHERE value = '+8613800138000'") == [(1,)]
    assert rows(on_database, "SELECT value FROM identities WHERE kind = 'email'") == [
        ("üser@xn--bcher-kva.example",)
    ]
    kept = rows(on_database, "SELECT attributes FROM profiles WHERE external_id = 'c-5'")
    assert kept == [({"phone": "12345"},)], "it is kept as it came"
    assert "13800138000 ext" not in json.dumps(found)


def test_two_lines_about_one_person_come_to_one(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    (folder / "p.csv").write_text(
        "customer_id,phone,first_name,points\nc-1,13800138000,Ann,1\n,13800138000,Anna,\nc-1,,,3\n"
    )
    assert shop("import", "customers", "p.csv")["counts"]["new"] == 1
    assert rows(on_database, "SELECT external_id, attributes FROM profiles WHERE merged_into IS NULL") == [
        ("c-1", {"first_name": "Anna", "points": 3})
    ]


def test_the_same_file_again_says_so(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    (folder / "p.csv").write_text("customer_id,consent.sms\nc-1,yes\n")
    shop("import", "customers", "p.csv")
    assert "imported already" in shop("import", "customers", "p.csv", code=2)
    (folder / "copy.csv").write_bytes((folder / "p.csv").read_bytes())
    assert "imported already" in shop("import", "customers", "copy.csv", code=2)
    assert shop("import", "customers", "p.csv", "--again")["counts"]["new"] == 0
    assert rows(on_database, "SELECT count(*) FROM profiles") == [(1,)]


def test_a_dry_run_and_a_mapping_write_nothing(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    (folder / "p.csv").write_text("Cust,Points,Mystery\nc-1,7,x\nc-2,many,y\n")
    assert "no column identifies anybody" in shop("import", "customers", "p.csv", code=2)
    shop("import", "customers", "p.csv", "--write-mapping", "map.yaml", text=True)
    assert (folder / "map.yaml").read_text() == (
        'kind: customers\ncolumns:\n  "Points": "points"\n  "Cust": null\n  "Mystery": null\n'
    )
    (folder / "map.yaml").write_text("columns: {Cust: external_id, Points: points, Mystery: null}\n")
    found = shop("import", "customers", "p.csv", "--mapping", "map.yaml", "--dry-run")
    assert found["counts"] == {"rows": 2, "taken": 1, "rejected": 1, "odd": 0, "known": 0}
    assert found["rejects"][0]["line"] == 3
    assert rows(on_database, "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM profiles)") == [
        (0, 0)
    ]
    said = shop("import", "customers", "p.csv", "--mapping", "map.yaml", text=True)
    assert said.splitlines()[0] == "2 rows, 1 new customer"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("columns: {Nope: phone}", "no column `Nope`"),
        ("columns: {Cust: external_id, Points: external_id}", "two columns become `external_id`"),
        ("columns: {Cust: 7}", "expected what it becomes"),
        ("columns: 7", "expected `columns`"),
        ("columns: {Cust: external_id, Points: orders}", "is computed"),
        ("columns: {Cust: external_id, Cust: phone}", "map.yaml:1"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_said(shop: Kairos, folder: Path, text: str, said: str) -> None:
    (folder / "p.csv").write_text("Cust,Points\nc-1,7\n")
    (folder / "map.yaml").write_text(text + "\n")
    found = (
        shop("import", "customers", "p.csv", "--mapping", "map.yaml", code=1)["error"]
        if "computed" in said
        else shop("import", "customers", "p.csv", "--mapping", "map.yaml", code=2)
    )
    assert said in found


def test_json_lines_packed_and_parquet(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    lines = [
        {"external_id": 17, "tags": ["tea"], "points": 3, "consents": {"sms": True}},
        {"external_id": "c-2", "points": "x"},
        ["no object"],
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n{broken\n"
    (folder / "p.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    found = shop("import", "customers", "p.jsonl.gz")
    assert (found["counts"]["new"], found["counts"]["rejected"]) == (1, 3)
    assert [line for line, _, _ in rejects(folder / "p.rejects.csv")] == ["2", "3", "4"]
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    table = arrow.table({"member_no": ["m-1", None], "points": [1.5, 2.0], "phone": ["13800138000", None]})
    parquet.write_table(table, folder / "p.parquet")
    found = shop("import", "customers", "p.parquet")
    assert (found["counts"]["new"], found["counts"]["rejected"]) == (1, 1)
    assert rows(on_database, "SELECT attributes FROM profiles WHERE addresses ? 'member_number'") == [
        ({"points": 1.5},)
    ]


def test_a_broken_file_is_told(shop: Kairos, folder: Path) -> None:
    (folder / "p.csv").write_text('customer_id,first_name\nc-1,"never closed\n' + "c-2,x\n" * 300_000)
    assert "never closed" in shop("import", "customers", "p.csv", code=1)["error"]
    (folder / "cut.csv.gz").write_bytes(gzip.compress(b"customer_id\nc-1\n" * 100)[:-9])
    assert "cut short" in shop("import", "customers", "cut.csv.gz", code=2)
    (folder / "twice.csv").write_text("email,email\n")
    assert "two columns are called" in shop("import", "customers", "twice.csv", code=2)
    (folder / "empty.csv").write_text("")
    assert "header" in shop("import", "customers", "empty.csv", code=2)
    assert "No such file" in shop("import", "customers", "nothing.csv", code=2)
    (folder / "no.parquet").write_bytes(b"PAR1 but not really")
    assert "Parquet" in shop("import", "customers", "no.parquet", code=2)


def test_events_are_history_and_come_in_once(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    (folder / "orders.csv").write_text(
        "客户编号,下单时间,order_id,total,event\n"
        "c-1,1998-01-02 10:00,o-1,12.5,Paid\n"
        "c-1,2026/1/3,o-2,8,order.paid\n"
        "c-2,2026-01-04T10:00:00Z,o-3,lots,order.paid\n"
        "c-2,2099-01-04,o-4,1,order.paid\n"
        ",2026-01-04,o-5,1,order.paid\n"
    )
    found = shop("import", "events", "orders.csv", "--source", "till")
    assert (found["counts"]["new"], found["counts"]["rejected"]) == (2, 3)
    assert rows(
        on_database,
        "SELECT name, occurred_at::text, properties, source, routed_at IS NOT NULL FROM events "
        "ORDER BY occurred_at",
    ) == [
        ("order.paid", "1998-01-02 02:00:00+00", {"order_id": "o-1", "total": 12.5}, "till", True),
        ("order.paid", "2026-01-02 16:00:00+00", {"order_id": "o-2", "total": 8}, "till", True),
    ]
    assert shop("segment", "count", "buyers")["count"] == 1
    again = shop("import", "events", "orders.csv", "--source", "till", "--again")
    assert (again["counts"]["new"], again["counts"]["duplicates"]) == (0, 2)
    (folder / "more.csv").write_text("customer_id,date,order_id,total\nc-3,2026-02-01,o-9,1\n")
    assert "--event" in shop("import", "events", "more.csv", code=2)
    found = shop("import", "events", "more.csv", "--event", "order.paid", "--trigger")
    assert found["counts"]["new"] == 1
    assert rows(on_database, "SELECT count(*) FROM events WHERE routed_at IS NULL") == [(1,)]


def test_customers_go_out_and_come_in_again(shop: Kairos, folder: Path, on_database: OnDatabase) -> None:
    (folder / "p.csv").write_text(
        "customer_id,phone,first_name,points,tags\nc-1,13800138000,=1+1,3,tea;vip\nc-2,,安,4,\n",
        encoding="utf-8",
    )
    shop("import", "customers", "p.csv")
    said = shop("export", "--all", "--fields", "external_id,points,orders,tags", text=True)
    assert said.lstrip("\ufeff").splitlines()[0] == "external_id,points,orders,tags"
    assert set(said.splitlines()[1:]) == {"c-1,3,0,tea;vip", "c-2,4,0,"}
    assert "is personal" in shop("export", "--all", "--fields", "phone", code=2, text=True)
    assert "a segment" in shop("export", code=2, text=True)
    assert "no field `shoes`" in shop("export", "--all", "--fields", "shoes", code=2, text=True)
    shop("export", "--where", 'has_tag("vip")', "--personal", "-o", "out.csv", text=True)
    text = (folder / "out.csv").read_text(encoding="utf-8-sig")
    assert "'+8613800138000" in text, "a spreadsheet must not calculate with it"
    assert "'=1+1" in text
    found = shop("import", "customers", "out.csv")
    assert (found["counts"]["taken"], found["counts"]["new"], found["counts"]["odd"]) == (1, 0, 0)
    assert rows(on_database, "SELECT attributes->>'first_name' FROM profiles WHERE external_id = 'c-1'") == [
        ("=1+1",)
    ]
    shop("export", "testers", "-o", "none.jsonl", text=True)
    assert (folder / "none.jsonl").read_text() == ""


def test_webhooks_are_looked_at(shop: Kairos, folder: Path) -> None:
    assert shop("webhooks", "status", text=True).startswith("no webhooks")
    assert "no webhook `crm`" in shop("webhooks", "retry", "crm", code=2)
    (folder / "kairos.yaml").write_text(
        'webhooks: [{name: crm, url: "https://crm.example", secret: "${CRM}", events: [profile.changed]}]\n'
    )
    shop("apply", "--yes")
    (folder / "p.csv").write_text("customer_id,points\nc-1,3\n")
    shop("import", "customers", "p.csv")
    [found] = shop("webhooks", "status")
    assert (found["webhook"], found["waiting"], found["failed"]) == ("crm", 1, 0)
    assert shop("webhooks", "retry", "crm")["again"] == 0
    assert "crm" in shop("webhooks", "status", text=True)
