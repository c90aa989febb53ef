"""Encodings, headers and cells, without a database."""

from __future__ import annotations

import io
import random
import re
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest

from engine.customers import identifiers
from engine.customers.importing import cells, encodings
from engine.customers.importing.cells import Odd, guarded, unguarded
from engine.customers.importing.columns import guess, missing
from engine.customers.importing.encodings import Unreadable, survey
from engine.language.catalogue import Catalogue, Property

SHANGHAI = ZoneInfo("Asia/Shanghai")


# Encodings other than UTF-8 are told by the first piece, which is never as short as that.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("utf-8", size) for size in (1, 2, 3, 7, 1 << 20)),
        *(
            (name, size)
            for name in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030")
            for size in (7, 1 << 20)
        ),
    ],
)
def test_an_encoding_is_told_wherever_the_pieces_end(name: str, size: int) -> None:
    text = "name,city\n" + "张伟,上海\n" * 5
    with patch.object(encodings, "CHUNK", size):
        found = survey(io.BytesIO(text.encode(name)))
    assert text.encode(name).decode(found.encoding).removeprefix("\ufeff") == text
    assert found.lines == 7


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
def test_the_first_byte_that_does_not_fit_is_named(size: int) -> None:
    data = "name\n张伟\n".encode() + b"M\xfcller\n"
    with (
        patch.object(encodings, "CHUNK", size),
        pytest.raises(Unreadable, match=r"line 3, byte 14 of the file"),
    ):
        survey(io.BytesIO(data))


@pytest.mark.parametrize("text", ["Müller", "Ångström", "Élodie Lefèvre", "Größe", "GRÖßE"])
def test_western_text_is_never_taken_for_chinese(text: str) -> None:
    with pytest.raises(Unreadable, match="this is not UTF-8"):
        survey(io.BytesIO(f"name\n{text}\n".encode("latin-1")))


def test_headers_are_known_in_two_languages_whatever_their_spelling() -> None:
    catalogue = Catalogue(
        profile={"first_name": Property("text"), "orders": Property("number", computed="1")}
    )
    names = [
        "Customer ID",
        "手机号码",
        "E-Mail",
        "unionid",
        "FIRST NAME",
        "标签",
        "Orders",
        "Shoe size",
        "consent.sms",
    ]
    found = guess("customers", names, catalogue)
    assert [column.to for column in found.columns] == [
        "external_id", "phone", "email", "wechat_unionid", "first_name", "tags", "consent.sms",
    ]  # fmt: skip
    assert found.left_out == ("Orders", "Shoe size")
    events = guess("events", ["user_id", "下单时间", "order_id", "Total"], catalogue, "order.paid")
    assert [column.to for column in events.columns] == ["external_id", "occurred_at", "order_id", "Total"]
    assert missing(events) is None
    assert "--event" in (missing(guess("events", ["user_id", "date"], catalogue)) or "")


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("number", " 12 ", 12), ("number", "-1.5", -1.5), ("number", 3, 3),
        ("boolean", "是", True), ("boolean", "No", False), ("boolean", 1, True),
        ("date", "2026/1/2", "2026-01-02"), ("date", "20260102", "2026-01-02"),
        ("date", "2026年1月2日", "2026-01-02"),
        ("datetime", "2026-01-02 08:00", "2026-01-02T00:00:00+00:00"),
        ("datetime", "2026/1/2 8:30:00", "2026-01-02T00:30:00+00:00"),
        ("datetime", "2026-01-02T08:00Z", "2026-01-02T08:00:00+00:00"),
        ("datetime", "1767312000", "2026-01-02T00:00:00+00:00"),
        ("list", "a; b、c", ["a", "b", "c"]), ("list", '["a"]', ["a"]), ("object", '{"a": 1}', {"a": 1}),
        ("text", 17, "17"), (None, "017", "017"),
        (None, datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    ],
)  # fmt: skip
def test_cells_are_read_by_their_type(kind: str | None, cell: Any, value: Any) -> None:
    found = cells.reader(kind, SHANGHAI)(cell)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("number", "1,234"), ("number", "lots"), ("number", True), ("number", "1e999"),
        ("boolean", "perhaps"),
        ("date", "02/01/2026"), ("date", "2026-02-30"), ("datetime", "soon"), ("object", "[1]"),
        ("list", "[1"),
        ("text", [1]), (None, b"x"), (None, float("nan")),
    ],
)  # fmt: skip
def test_a_cell_of_another_type_is_refused_without_repeating_it(kind: str | None, cell: Any) -> None:
    with pytest.raises(Odd) as refused:
        cells.reader(kind, SHANGHAI)(cell)
    assert str(cell) not in str(refused.value)


def test_a_format_reads_other_dates() -> None:
    assert cells.reader("date", SHANGHAI, "%d.%m.%Y")("02.01.2026") == "2026-01-02"
    assert cells.reader("datetime", SHANGHAI, "%d.%m.%Y")("02.01.2026") == "2026-01-01T16:00:00+00:00"


def test_what_a_spreadsheet_would_calculate_is_guarded_and_comes_back() -> None:
    for cell in ("=1+1", "+86138", "-1", "@x", "\tx", "\rx"):
        assert guarded(cell) == f"'{cell}"
        assert unguarded(guarded(cell)) == cell
    assert (guarded("plain"), guarded(-1), unguarded("'twas")) == ("plain", -1, "'twas")


def test_the_quick_way_of_reading_mobile_numbers_says_what_the_slow_one_says() -> None:
    def read(text: str, region: str | None) -> str:
        try:
            return identifiers.phone(text, region)
        except identifiers.Unusable as why:
            return str(why)

    drawn = random.Random(7)
    for _ in range(300):
        own = "1" + drawn.choice("23456789") + "".join(drawn.choices("0123456789", k=9))
        for text in (own, f"+86{own}", f"+86 {own[:3]}-{own[3:7]} {own[7:]}", f"{own[:3]} {own[3:]}"):
            for region in ("CN", None, "US"):
                with patch.object(identifiers, "_MOBILE_CN", re.compile("(?!)")):
                    slow = read(text, region)
                assert read(text, region) == slow, (text, region)


def test_of_events_an_id_is_the_event_s_and_a_customer_id_the_customer_s() -> None:
    found = guess("events", ("id", "customer_id", "occurred_at", "total"), Catalogue())
    assert [(column.name, column.to) for column in found.columns] == [
        ("id", "message_id"),
        ("customer_id", "external_id"),
        ("occurred_at", "occurred_at"),
        ("total", "total"),
    ]
    customers = guess("customers", ("id", "phone"), Catalogue())
    assert customers.columns[0].to == "external_id"


@pytest.mark.parametrize(("text", "ended"), [("a\nb\n", True), ("a\nb", False)])
def test_whether_the_last_line_has_an_end_is_known(text: str, ended: bool) -> None:
    found = survey(io.BytesIO(text.encode()))
    assert found.ended is ended
    assert found.lines - found.ended == 2
