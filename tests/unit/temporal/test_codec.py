"""Encrypted payloads: what is kept, who can read it, and what is said about a bad key."""

from __future__ import annotations

import base64

import pytest
from temporalio.converter import DataConverter

from engine.temporal.codec import (
    KeyMistake,
    UnreadablePayload,
    codec_from,
    data_converter,
)
from engine.temporal.payloads import EnrolmentInput

ONE = base64.b64encode(bytes(range(32))).decode()
TWO = base64.b64encode(bytes(range(32, 64))).decode()
GIVEN = EnrolmentInput("unpaid-cart", "d" * 64, "e1", "k" * 64, "t1", "2026-11-11T10:00:00+00:00")


def test_without_a_key_nothing_is_encrypted() -> None:
    assert data_converter({}) is DataConverter.default


async def test_a_payload_comes_back_and_its_text_is_not_in_what_is_kept() -> None:
    converter = data_converter({"KAIROS_PAYLOAD_KEY": ONE, "KAIROS_PAYLOAD_KEY_ID": "2026"})
    [kept] = await converter.encode([GIVEN])
    assert kept.metadata["encryption-key-id"] == b"2026"
    assert b"unpaid-cart" not in kept.SerializeToString()
    assert await converter.decode([kept], [EnrolmentInput]) == [GIVEN]


async def test_the_same_payload_never_looks_the_same_twice() -> None:
    converter = data_converter({"KAIROS_PAYLOAD_KEY": ONE})
    one, two = await converter.encode([GIVEN, GIVEN])
    assert one.data != two.data


async def test_what_was_written_before_the_key_is_read() -> None:
    [plain] = await DataConverter.default.encode([GIVEN])
    assert await data_converter({"KAIROS_PAYLOAD_KEY": ONE}).decode([plain], [EnrolmentInput]) == [GIVEN]


async def test_an_old_key_reads_and_the_new_one_writes() -> None:
    before = data_converter({"KAIROS_PAYLOAD_KEY": ONE, "KAIROS_PAYLOAD_KEY_ID": "old"})
    after = data_converter(
        {
            "KAIROS_PAYLOAD_KEY": TWO,
            "KAIROS_PAYLOAD_KEY_ID": "new",
            "KAIROS_PAYLOAD_OLD_KEYS": f"older={ONE}, old={ONE}",
        }
    )
    [kept] = await before.encode([GIVEN])
    assert await after.decode([kept], [EnrolmentInput]) == [GIVEN]
    [fresh] = await after.encode([GIVEN])
    assert fresh.metadata["encryption-key-id"] == b"new"


async def test_a_key_that_is_not_here_is_named() -> None:
    [kept] = await data_converter({"KAIROS_PAYLOAD_KEY": ONE, "KAIROS_PAYLOAD_KEY_ID": "gone"}).encode([1])
    with pytest.raises(UnreadablePayload, match="'gone'"):
        await data_converter({"KAIROS_PAYLOAD_KEY": TWO}).decode([kept], [int])


@pytest.mark.parametrize("place", [0, 20, -1])
async def test_a_changed_payload_is_refused(place: int) -> None:
    converter = data_converter({"KAIROS_PAYLOAD_KEY": ONE})
    [kept] = await converter.encode(["a text of some length"])
    data = bytearray(kept.data)
    data[place] ^= 1
    kept.data = bytes(data)
    with pytest.raises(UnreadablePayload, match="changed"):
        await converter.decode([kept], [str])


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"KAIROS_PAYLOAD_KEY": "not base64!"}, "KAIROS_PAYLOAD_KEY: expected 32 bytes in base64"),
        ({"KAIROS_PAYLOAD_KEY": "schlüssel"}, "this is not base64"),
        ({"KAIROS_PAYLOAD_KEY": base64.b64encode(b"short").decode()}, "got 5 bytes"),
        ({"KAIROS_PAYLOAD_OLD_KEYS": f"a={ONE}"}, "without KAIROS_PAYLOAD_KEY"),
        ({"KAIROS_PAYLOAD_KEY": ONE, "KAIROS_PAYLOAD_OLD_KEYS": TWO}, "OLD_KEYS: entry 1"),
        (
            {
                "KAIROS_PAYLOAD_KEY": ONE,
                "KAIROS_PAYLOAD_KEY_ID": "a",
                "KAIROS_PAYLOAD_OLD_KEYS": f"a={TWO}",
            },
            "every key needs its own",
        ),
    ],
)
def test_a_malformed_key_is_a_clear_error_that_does_not_quote_it(environ: dict[str, str], said: str) -> None:
    with pytest.raises(KeyMistake, match=said.replace("(", "\\(")) as raised:
        codec_from(environ)
    assert not any(
        value.partition("=")[2] in str(raised.value) for value in environ.values() if "=" in value[:3]
    )
