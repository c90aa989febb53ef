"""How many segments a text message takes.

Sources: 3GPP TS 23.038 (GSM 7-bit default alphabet: 160, 153 a part; its extension characters count 2; UCS-2:
70, 67 a part), and the mainland carriers' rule: 70, else 67 a part, every character counts 1 whatever it is
(help.aliyun.com/zh/sms/user-guide/message-rules).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MOST_CHARACTERS = 500
"""Of a body; carriers refuse longer ones."""

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("^{}\\[~]|€\f")

Encoding = Literal["gsm7", "ucs2", "mainland"]


@dataclass(frozen=True, slots=True)
class Segments:
    """`units` are characters (`mainland`), septets (`gsm7`) or UTF-16 code units (`ucs2`)."""

    encoding: Encoding
    units: int
    count: int


def sms_segments(text: str, mainland: bool = False) -> Segments:
    """The segments of `text`; an empty text takes none.

    `mainland` counts as carriers of mainland China do, signature and opt-out tail to be included by the
    caller. An extension character or a surrogate pair is never cut in two, so a part may stay short.
    """
    if mainland:
        return Segments("mainland", len(text), _count([1] * len(text), 70, 67))
    if all(c in _BASIC or c in _EXTENSION for c in text):
        sizes = [2 if c in _EXTENSION else 1 for c in text]
        return Segments("gsm7", sum(sizes), _count(sizes, 160, 153))
    sizes = [2 if ord(c) > 0xFFFF else 1 for c in text]
    return Segments("ucs2", sum(sizes), _count(sizes, 70, 67))


def _count(sizes: list[int], single: int, part: int) -> int:
    if sum(sizes) <= single:
        return 1 if sizes else 0
    count, room = 1, part
    for size in sizes:
        if size > room:
            count, room = count + 1, part
        room -= size
    return count
