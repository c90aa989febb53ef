"""The shipped library: `journeys/` and `templates/` at the top of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.check import check_folder
from engine.cli.main import run
from engine.content import TemplateSet
from engine.core.plan import Message

ROOT = Path(__file__).parents[3]
JOURNEYS = ("birthday", "nearing-dormancy", "new-follow", "unpaid-cart")


def test_the_library_has_no_mistake_and_no_warning() -> None:
    assert check_folder(ROOT).diagnostics == ()


def test_every_scenario_passes_and_every_path_is_taken() -> None:
    assert run(["test", "--project", str(ROOT), "--min-coverage", "100"]) == 0


@pytest.mark.parametrize("name", JOURNEYS)
def test_a_journey_says_how_to_copy_it(name: str) -> None:
    text = (ROOT / "journeys" / f"{name}.yaml").read_text()
    assert "# To copy: this file, " in text
    assert name in (ROOT / "docs" / "library.md").read_text()


@pytest.mark.parametrize("name", JOURNEYS)
def test_every_message_speaks_chinese_and_english(name: str) -> None:
    project = check_folder(ROOT)
    templates = TemplateSet(project.templates)
    brand = project.installation.brand
    trigger = {"cart_id": "k1", "total": 120, "item": "Longjing"}
    for step in project.plans[name].steps.values():
        if not isinstance(step, Message):
            continue
        for channel in step.channels:
            said = [
                templates.render(
                    step.template,
                    channel,
                    {"profile": {"locale": locale}, "trigger": trigger, "brand": brand},
                ).parts
                for locale in ("zh-CN", "en-GB")
            ]
            chinese, english = (" ".join(parts.values()) for parts in said)
            assert any("\u4e00" <= character <= "\u9fff" for character in chinese)
            assert not any("\u4e00" <= character <= "\u9fff" for character in english)
