"""Hashes of audiences, and calls that carry many people."""

from __future__ import annotations

import pytest

from channels import ConfigurationError
from channels.audiences import (
    AudienceAdapter,
    Member,
    create,
    examine,
    find,
    names,
    normal_email,
    phone_digits,
    sha256,
)
from channels.errors import Throttled
from channels.meta_audience import MOST
from channels.receipt import Accepted
from channels.testing.meta_audience import FakeMetaAudience
from channels.testing.tencent_ads import FakeTencentAds

META = {"audience_id": "1", "access_token": "${T}"}
TENCENT = {"account_id": 1, "audience_id": 2, "access_token": "${T}"}
ENVIRON = {"T": "a-token"}


def test_a_hash_is_that_of_the_provider_s_own_page() -> None:
    """Meta's page on customer file custom audiences hashes this address."""
    mary = "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79"
    assert sha256(normal_email(" Mary@Example.com\n")) == mary
    assert phone_digits("+1 (650) 555-1234") == "16505551234"


@pytest.mark.parametrize("number", ["+8613800000000", "+86 138 0000 0000", "13800000000", "008613800000000"])
def test_tencent_gets_eleven_digits_of_mainland_china(number: str) -> None:
    adapter = create("tencent_ads", "vip", TENCENT, ENVIRON)
    assert adapter.digests({"phone": number}) == {"phone": sha256("13800000000")}


@pytest.mark.parametrize("number", ["+16505551234", "16505551234567", "+861088888888", "+85291234567", ""])
def test_tencent_gets_no_other_number(number: str) -> None:
    assert create("tencent_ads", "vip", TENCENT, ENVIRON).digests({"phone": number}) == {}


def test_tencent_gets_md5_where_the_audience_was_begun_with_it() -> None:
    adapter = create("tencent_ads", "vip", {**TENCENT, "user_id_type": "HASH_MOBILE_PHONE"}, ENVIRON)
    assert adapter.digests({"phone": "+8613800000000"}) == {"phone": "5daad257487f1b493114181a22e37eb5"}


async def test_more_rows_than_a_call_may_carry_go_in_several_and_each_member_has_its_own_outcome() -> None:
    async with FakeMetaAudience("1", "a-token") as fake:
        adapter = create("meta_audience", "vip", {**META, "endpoint": fake.url}, ENVIRON)
        first = [Member(str(n), {"phone": [sha256(str(n))]}) for n in range(MOST - 1)]
        # Of two that were merged: its rows are the last of one call and the first of the next.
        both = Member("both", {"phone": [sha256("a"), sha256("b")]})
        last = Member("last", {"phone": [sha256("c")]})
        async with adapter:
            outcomes = await adapter.change([*first, both, last], [], 1)
            assert {type(outcome) for outcome in outcomes} == {Accepted}
            assert len(fake.members) == MOST + 2
            fake.trouble("throttle")
            worse = await adapter.change([], [*first, both, last], 2)
        kinds = [type(outcome) for outcome in worse]
        assert kinds == [Throttled] * MOST + [Accepted]


def test_adapters_are_found_by_name_or_class() -> None:
    assert {"file_drop", "meta_audience", "tencent_ads"} <= set(names())
    assert find("channels.file_drop:FileDropAdapter") is find("file_drop")
    with pytest.raises(ConfigurationError, match="did you mean 'meta_audience'"):
        find("meta_audienc")
    with pytest.raises(ConfigurationError, match=r"derived from channels\.AudienceAdapter"):
        find("channels.outbox:OutboxAdapter")


def test_settings_are_examined_without_the_environment() -> None:
    assert examine("meta_audience", "vip", META) == []
    assert [each.fault for each in examine("meta_audience", "vip", {"audience_id": "x"})] == [
        "missing",
        "refused",
    ]
    assert examine("not-here", "vip", {}) == []


async def test_tencent_s_file_says_each_number_once() -> None:
    async with FakeTencentAds(1, 2, "a-token") as fake:
        adapter: AudienceAdapter = create("tencent_ads", "vip", {**TENCENT, "endpoint": fake.url}, ENVIRON)
        async with adapter:
            same = [Member(key, {"phone": [sha256("13800000000")]}) for key in ("a", "b")]
            await adapter.change(same, [], 1)
        assert [len(lines) for _, lines in fake.files] == [1]
