"""Which encoding a file has: told by its first bytes, or by what all of it can be read as; never guessed on.

UTF-8 and UTF-16 are told apart by marks and by NUL bytes. What is neither may be GB18030, which reads nearly
anything as something: it is believed only where what comes out are the common characters of GB 2312 and they
stand together, so that an `ü` of Western Europe is not taken for half of a character that nobody wrote.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

CHUNK: Final = 1 << 20
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMON: Final = 0.75
"""Share of the Chinese characters that must be of the first level of GB 2312, or its punctuation."""
_TOGETHER: Final = 0.5
"""Share of them that must stand beside another one."""
_RUNS: Final = re.compile(r"[^\x00-\x7f]+")


class Unreadable(ValueError):
    """Why a file cannot be read: where, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found by reading a file once. `digest` is that of its contents, unpacked."""

    digest: str
    encoding: str
    lines: int
    ended: bool = False
    """Whether the last line has an end: then nothing stands behind it."""


def survey(file: IO[bytes], encoding: str | None = None) -> Survey:
    """Reads all of a text file and tells its encoding, or finds the first byte that does not fit.

    Raises:
        Unreadable: it is not text in this encoding, or in any that can be told.
    """
    first = file.read(CHUNK)
    candidates = [_named(encoding)] if encoding else _candidates(first)
    digest = hashlib.sha256()
    readings = [_Reading(name) for name in candidates]
    chunk = first
    while chunk:
        digest.update(chunk)
        following = file.read(CHUNK)
        for reading in readings:
            reading.take(chunk, last=not following)
        chunk = following
    for reading in readings:
        if reading.believed:
            return Survey(digest.hexdigest(), reading.name, reading.lines, reading.ended)
    raise Unreadable(_complaint(readings, encoding))


def _named(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        raise Unreadable(f"there is no encoding `{encoding[:40]}`; try utf-8, utf-16 or gb18030") from None
    if not getattr(found, "_is_text_encoding", True):
        raise Unreadable(f"`{encoding[:40]}` is no encoding of text; try utf-8, utf-16 or gb18030")
    return "utf-8-sig" if found.name == "utf-8" else found.name


def _candidates(first: bytes) -> list[str]:
    for mark, name in _MARKS:
        if first.startswith(mark):
            return [name]
    sample = first[:4096]
    if b"\x00" in sample:
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        return ["utf-16-le" if odd > even else "utf-16-be"]
    return ["utf-8-sig", "gb18030"]


class _Reading:
    """One attempt to read the file, and where it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken: tuple[int, int] | None = None
        """Line and byte, both from 1, of the first byte that does not fit."""
        self._decoder = codecs.getincrementaldecoder(name)()
        self.lines = 1
        self.ended = False
        self._taken = 0
        self._double = self._common = self._together = 0

    @property
    def believed(self) -> bool:
        if self.broken is not None:
            return False
        if self.name != "gb18030" or self._double == 0:
            return True
        return self._common >= _COMMON * self._double and self._together >= _TOGETHER * self._double

    def take(self, chunk: bytes, *, last: bool) -> None:
        if self.broken is not None:
            return
        waiting = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(chunk, last)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(self.name, "ignore")
            at = self._taken - waiting + error.start + 1
            self.broken = (self.lines + before.count("\n"), at)
            return
        self._taken += len(chunk)
        self.lines += text.count("\n")
        if text:
            self.ended = text.endswith("\n")
        if self.name == "gb18030":
            self._weigh(text)

    def _weigh(self, text: str) -> None:
        for run in _RUNS.findall(text):
            self._double += len(run)
            self._together += len(run) if len(run) > 1 else 0
            self._common += sum(lead < 0xD8 for lead in run.encode("gb2312", "ignore")[::2])


def _complaint(readings: list[_Reading], encoding: str | None) -> str:
    line, byte = next((r.broken for r in readings if r.broken is not None), (1, 1))
    where = f"line {line}, byte {byte} of the file"
    if encoding:
        return f"{where}: this is not {encoding}; name the right one with --encoding. Nothing was imported"
    name = readings[0].name.removesuffix("-sig").upper()
    return (
        f"{where}: this is not {name}, and what else it is cannot be told; name it with --encoding, such as "
        "gb18030, big5 or cp1252. Nothing was imported"
    )


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file in pieces."""
    while chunk := file.read(CHUNK):
        yield chunk
