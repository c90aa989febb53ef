"""What adapters for SMS share: approved templates, words that mean stop, numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import Rejected
from channels.receipt import Reason
from channels.sms import Approved, Templates, check_templates, e164, means_stop, number, words_of
from tests.unit.channels.calls import message


@pytest.mark.parametrize(
    "text",
    [
        "R",
        "r",
        "T",
        "td",
        "TD",
        "N",
        "n ",
        "退订",
        " 退订。",
        "0000",
        "Ｒ",
        "ｒ",
        "ＴＤ",
        "０００0",
        "T D",
        "R!",
    ],
)
def test_words_that_mean_stop_in_any_width_and_case(text: str) -> None:
    assert means_stop(text)


@pytest.mark.parametrize("text", ["", "No", "好的", "我想退订会员怎么办", "Thanks", "00000", "RR", "Right"])
def test_a_sentence_with_such_a_word_in_it_is_not_a_stop(text: str) -> None:
    assert not means_stop(text)


@pytest.mark.parametrize(
    ("spelled", "country", "expected"),
    [
        ("13800000000", "86", "+8613800000000"),
        ("8613800000000", "86", "+8613800000000"),
        ("+8613800000000", "86", "+8613800000000"),
        ("008613800000000", "86", "+8613800000000"),
        ("85298765432", "86", "+85298765432"),
        ("98765432", "852", "+85298765432"),
        ("nobody", "86", None),
        ("", "86", None),
    ],
)
def test_providers_spell_numbers_in_many_ways(spelled: str, country: str, expected: str | None) -> None:
    assert e164(spelled, country) == expected


@pytest.mark.parametrize("address", ["13800000000", "+86138", "+0138000000", "mei@example.net", ""])
def test_what_is_no_number_is_rejected_for_good(address: str) -> None:
    with pytest.raises(Rejected) as caught:
        number(address)
    assert caught.value.reason is Reason.ADDRESS_INVALID
    assert caught.value.permanent


def test_an_sms_needs_words() -> None:
    with pytest.raises(Rejected, match="part text"):
        words_of(message(parts={"text": "  "}))


def test_code_and_values_are_found_from_the_text() -> None:
    templates = Templates({"SMS_1": "{name}，您的{item}还在购物车里。拒收请回复R"}, "南寻茶馆")
    assert templates.fit("【南寻茶馆】梅，您的龙井还在购物车里。拒收请回复R") == (
        "SMS_1",
        {"name": "梅", "item": "龙井"},
    )


def test_the_most_definite_template_that_fits_is_used() -> None:
    templates = Templates({"ANY": "{words}", "CODE": "您的验证码是{code}"}, "茶")
    assert templates.fit("您的验证码是1234")[0] == "CODE"
    assert templates.fit("您好")[0] == "ANY"


@pytest.mark.parametrize("text", ["您的验证码1234", "您的验证码是1234吗", "1234", ""])
def test_a_text_that_fits_none_is_rejected(text: str) -> None:
    with pytest.raises(Rejected, match="approved template") as caught:
        Templates({"CODE": "您的验证码是{code}。"}, "茶").fit(text)
    assert caught.value.reason is Reason.CREDENTIALS


def test_a_variable_that_comes_twice_holds_one_value() -> None:
    twice = Approved.read("T", "{a}-{a}.")
    assert twice.fit("x-x.") == {"a": "x"}
    assert twice.fit("x-y.") is None


@pytest.mark.parametrize("text", ["{a}{b}", " "])
def test_a_template_that_cannot_be_one_is_a_mistake_in_the_settings(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_templates({"SMS_1": text})


PIECES = st.lists(st.text("ab ，.", min_size=1, max_size=4), min_size=1, max_size=5)


@given(PIECES, st.data())
def test_every_text_made_from_a_template_fits_it_and_makes_the_same_text(
    literals: list[str], data: st.DataObject
) -> None:
    names = [f"v{n}" for n in range(len(literals) - 1)]
    values = data.draw(st.lists(st.text("ab ，.", max_size=4), min_size=len(names), max_size=len(names)))
    text = literals[0] + "".join(v + lit for v, lit in zip(values, literals[1:], strict=True))
    template = Approved("T", tuple(literals), tuple(names))
    found = template.fit(text)
    assert found is not None
    assert literals[0] + "".join(found[n] + lit for n, lit in zip(names, literals[1:], strict=True)) == text
