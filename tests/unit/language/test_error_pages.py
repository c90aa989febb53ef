"""Every code has a page, and every page a code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.language import expressing, templating
from engine.language.diagnostics import CODES

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "errors"


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert {path.stem for path in PAGES.glob("J*.md")} == set(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_page_names_its_code_and_shows_wrong_and_right(code: str) -> None:
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {code}: {CODES[code]}\n")
    assert "## Wrong" in text
    assert "## Right" in text


def test_only_listed_codes_are_reported() -> None:
    sources = (ROOT / "engine" / "language").glob("*.py")
    used = {
        code for path in sources for code in re.findall(r'"(J[0-9]{3})"', path.read_text(encoding="utf-8"))
    }
    assert used == set(CODES)
    assert set(expressing.CODES.values()) | set(templating.CODES.values()) <= set(CODES)
