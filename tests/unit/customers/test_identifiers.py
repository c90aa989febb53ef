from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.customers.identifiers import Unusable, normalise
from engine.language.addresses import KINDS


@pytest.mark.parametrize(
    "given",
    [
        "+8613800138000",
        "+86 (138) 0013-8000",
        "0086 138 0013 8000",
        "138 0013 8000",
        "138-0013-8000",
        "０１３８００１３８０００",
        "１３８００１３８０００",
        "tel:+86-138-0013-8000",
        " 13800138000\u200b",
        13800138000,
    ],
)
def test_a_phone_number_of_any_shape_is_one_number(given: Any) -> None:
    assert normalise("phone", given, "CN") == "+8613800138000"


@pytest.mark.parametrize(
    ("given", "region", "why"),
    [
        ("13900139000", None, "country code"),
        ("12345", "CN", "no phone number of CN"),
        ("00000000000", "CN", "placeholder"),
        ("+8611111111111", "CN", "one digit, repeated"),
        ("+12025550100;ext=5", None, "switchboard"),
        ("+999123456789", None, "country code"),
        ("call me", "CN", "it is no number"),
        ("+861", "CN", "too short"),
        ("1" * 10_000, "CN", "10000 characters"),
        ("", "CN", "nothing"),
        (True, "CN", "expected text"),
        (1.5, "CN", "expected text"),
        (["+8613800138000"], "CN", "expected text"),
        ("unknown", "CN", "placeholder"),
    ],
)
def test_what_is_no_phone_number_is_refused_in_words_without_the_value(
    given: Any, region: str | None, why: str
) -> None:
    with pytest.raises(Unusable, match=why) as caught:
        normalise("phone", given, region)
    assert len(str(given)) < 6 or str(given) not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("Ida@Example.COM", "ida@example.com"),
        ("mailto:ida@example.com", "ida@example.com"),
        (" ida+tea@example.com ", "ida+tea@example.com"),
        ("idä@bücher.example", "idä@xn--bcher-kva.example"),
        ("ida\u0308@example.com", "idä@example.com"),
        ("王小明@例子.中国", "王小明@xn--fsqu00a.xn--fiqs8s"),
        ("IDA@例子。中国", "ida@xn--fsqu00a.xn--fiqs8s"),
        ("ida@example.com.", "ida@example.com"),
    ],
)
def test_an_email_address_is_one_address_however_it_is_written(given: str, found: str) -> None:
    assert normalise("email", given) == found


@pytest.mark.parametrize(
    "given",
    [
        "ida",
        "@example.com",
        "ida@",
        "ida@localhost",
        "ida@@example.com",
        "a b@example.com",
        "Ida <ida@example.com>",
        ".ida@example.com",
        "i..da@example.com",
        "ida@exa mple.com",
        "ida@-example.com",
        "i\u202eda@example.com",
        "i\u200bda@example.com",
        "x" * 65 + "@example.com",
        "ida\x00@example.com",
        "ida@" + "x" * 64 + ".com",
        "undefined",
    ],
)
def test_what_is_no_email_address_is_refused(given: str) -> None:
    with pytest.raises(Unusable):
        normalise("email", given)


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        ("member_number", " vip 00 12 ", "VIP0012"),
        ("member_number", "ＶＩＰ００１２", "VIP0012"),
        ("member_number", 17, "17"),
        ("wechat", "oABC-1", "oABC-1"),
        ("wechat", "wx12/oABC", "wx12/oABC"),
        ("wechat", {"app_id": "wx12", "open_id": "oABC"}, "wx12/oABC"),
        ("wechat", {"openId": "oABC"}, "oABC"),
        ("wechat_unionid", "oUnion", "oUnion"),
        ("wecom", "wmEAAA", "wmEAAA"),
        ("alipay", "2088102104794936", "2088102104794936"),
        ("alipay_open_id", {"appId": "2021", "openId": "0x"}, "2021/0x"),
        ("taobao_nick", "cntaobaoＴea小店", "tea小店"),
        ("jd_pin", "%E8%8C%B6_1", "茶_1"),
        ("device_id", "{6D92078A-8246-4BA4-AE5B-76104861E7DC}", "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
        ("anonymous_id", "As-It-Comes", "As-It-Comes"),
        ("loyalty_card", "As It Comes", "As It Comes"),
    ],
)
def test_each_kind_has_its_own_shape(kind: str, given: Any, found: str) -> None:
    assert normalise(kind, given) == found


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("device_id", "00000000-0000-0000-0000-000000000000"),
        ("wechat", "two words"),
        ("wechat", "a/b/c"),
        ("wechat", {"app_id": "wx12"}),
        ("wechat_unionid", {"open_id": "x"}),
        ("member_number", "null"),
        ("jd_pin", "x" * 300),
        ("loyalty_card", "a\x07b"),
    ],
)
def test_what_has_no_shape_of_its_kind_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(Unusable):
        normalise(kind, given)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["app_id", "open_id"]), inner)
    ),
)


@given(
    st.sampled_from(KINDS),
    ANYTHING | st.text("+0123456789 -()x.extE") | st.emails(),
    st.sampled_from([None, "CN", "US", "DE"]),
)
def test_a_shape_stays_as_it_is_and_everything_else_is_refused(
    kind: str, value: Any, region: str | None
) -> None:
    try:
        found = normalise(kind, value, region)
    except Unusable:
        return
    assert normalise(kind, found, region) == found
    assert normalise(kind, found, None) == found
