"""`callback_secret`: one reference to the environment, and never a word of the secret in the file."""

from __future__ import annotations

import pytest

from engine.language.installation import read_installation
from engine.language.loader import load
from engine.language.project import check_project


def codes(line: str) -> list[str]:
    files = {"kairos.yaml": f"channels:\n  wecom:\n    {line}\n", "journeys/catalog.yaml": "events: {}\n"}
    return [each.code for each in check_project(files).diagnostics]


@pytest.mark.parametrize(
    "value", ["spring-2026-0123456789", '"${ADDRESS}-1"', '"x${ADDRESS}"', '"${}"', '"$ADDRESS"', '"${1A}"']
)
def test_anything_but_one_reference_is_a_mistake(value: str) -> None:
    assert codes(f"callback_secret: {value}") == ["J330"]


def test_one_reference_is_right_and_stays_a_reference() -> None:
    assert codes("callback_secret: ${ADDRESS}") == []
    root, _ = load("kairos.yaml", "channels:\n  wecom: {callback_secret: '${ADDRESS}'}\n  sms: {}\n")
    installation = read_installation(root)
    assert [(name, own.callback_secret) for name, own in installation.called()] == [("wecom", "${ADDRESS}")]
    assert "ADDRESS" not in repr(installation)


def test_journeys_may_use_what_people_do_without_declaring_it() -> None:
    journey = """journey: hello
trigger:
  event: wechat.followed
  where: event.scene == "shop-8"
steps:
  - id: rest
    wait:
      for_event: wechat.messaged
      where: contains(event.text, "tea")
      up_to: 1d
"""
    files = {"journeys/catalog.yaml": "events: {}\n", "journeys/hello.yaml": journey}
    assert [each for each in check_project(files).diagnostics if each.severity == "error"] == []
    wrong = {**files, "journeys/hello.yaml": journey.replace("event.scene", "event.scenes")}
    assert "J302" in [each.code for each in check_project(wrong).diagnostics]
