from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.diagram.fitting import shortened, text_width, wrapped


@given(st.text(max_size=300), st.integers(60, 400))
def test_no_line_is_wider_than_the_box(text: str, width: int) -> None:
    assert all(text_width(line, 12) <= width for line in wrapped(text, width, 12))


@given(st.text(alphabet="abc /.茶", max_size=80))
def test_nothing_is_lost_while_there_are_lines_enough(text: str) -> None:
    lines = wrapped(text, 100, 12, most=1000)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_too_many_lines_end_in_an_ellipsis() -> None:
    lines = wrapped("word " * 100, 100, 12, most=3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")


def test_an_address_breaks_after_a_slash() -> None:
    assert wrapped("https://crm.example.com/hooks/cart", 150, 12)[0].endswith(("/", "."))


def test_chinese_breaks_between_any_two_characters() -> None:
    assert wrapped("未付款购物车提醒", 50, 12) == ["未付款购", "物车提醒"]


def test_what_fits_is_not_shortened() -> None:
    assert shortened("short", 100, 12) == "short"
