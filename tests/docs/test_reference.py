"""What the pages say of the language is what the language is."""

from __future__ import annotations

import pytest

from engine.language.diagnostics import CODES
from engine.language.reference import filled, pages
from engine.language.schema import TRIGGER, VERBS, WAIT
from engine.language.schema_folder import EXITS, SKIP_REASONS
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", pages())
def test_the_tables_are_those_of_the_definition(name: str) -> None:
    page = (FOLDER / name).read_text(encoding="utf-8")
    assert filled(page, pages()[name]) == page, "run .venv/bin/python scripts/reference.py"


def test_every_step_and_trigger_has_a_heading() -> None:
    text = (FOLDER / "journey.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"\n### `{verb}`\n" in text
    for form in WAIT.forms:
        assert f"`wait: {{{form}: …}}`" in text
    for trigger in TRIGGER.forms:
        assert f"\n## `trigger: {{{trigger}: …}}`\n" in text


def test_exits_and_skip_reasons_are_listed() -> None:
    text = (FOLDER / "scenarios.md").read_text(encoding="utf-8")
    assert " ".join(EXITS) in text
    assert " ".join(SKIP_REASONS) in text


def test_the_index_of_codes_lists_each_with_its_meaning() -> None:
    text = (ROOT / "docs" / "errors" / "README.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        f"- [{code}]({code}.md): {meaning}" for code, meaning in sorted(CODES.items())
    ]


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="generated"):
        filled("# Nothing here", "tables")
