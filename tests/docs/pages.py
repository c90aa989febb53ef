"""Reads the pages: what they tell a reader to write into files, to type, and what should be seen."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^( *)```(.*)$")
_PATH = re.compile(r"(?:#|\{#) (\S+\.(?:yaml|j2|py|jsonl|json))(?: #\})?$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `info` is what stands behind its backticks."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.split(" ")[0]

    @property
    def notes(self) -> list[str]:
        """What we write behind the language for the tests: `exit=1`, `live`, `server`."""
        return self.info.split(" ")[1:]

    @property
    def path(self) -> str | None:
        """The file that the block is to be written to: its first line is a comment that names it."""
        found = _PATH.match(self.text.partition("\n")[0])
        return found.group(1) if found else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    inside: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, lines = (number, fence.group(1), fence.group(2).strip()), []
        elif inside is not None and fence and not fence.group(2):
            start, indent, info = inside
            text = "\n".join(each.removeprefix(indent) for each in lines) + "\n"
            found.append(Block(page, start, info, text))
            inside = None
        elif inside is not None:
            lines.append(line)
    assert inside is None, f"{page}: a block is not closed"
    return found


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """(place, words) of every `kairos …` in the shell blocks of all pages and in `inline code`."""
    for page in PAGES:
        for block in blocks(page):
            if block.language in ("sh", "bash", "console"):
                for line in block.text.replace("\\\n", " ").splitlines():
                    for part in re.split(r"&&|\||;", line):
                        if part.strip().startswith("kairos "):
                            yield str(block), shlex.split(part, comments=True)
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`(kairos [^`]+)`", prose):
            for part in code.split("&&"):
                yield str(page.relative_to(ROOT)), shlex.split(part.replace("|", " "))


def looks_like(expected: str, got: str) -> bool:
    """Whether the output has what is shown. `…` stands for anything, also for whole lines."""
    pattern = ".*".join(re.escape(part) for part in _trimmed(expected).split("…"))
    return re.search(f"^{pattern}$", _trimmed(got), re.DOTALL | re.MULTILINE) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
