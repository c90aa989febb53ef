"""The pages of the codes: the wrong example gives that code, the right one does not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from channels.registry import examine, names
from engine.cli.check import content_checker
from engine.language.actions import ActionSignature
from engine.language.diagnostics import CODES
from engine.language.project import check_project
from tests.docs.pages import ROOT, blocks

PAGES = ROOT / "docs" / "errors"
ACTIONS = {"score": ActionSignature("score", {"points": ("number", True)})}
KAIROS = """\
policies: {gentle: {}}
consent: {purposes: [newsletter]}
audiences: {vip: {adapter: file_drop, settings: {folder: "${FOLDER}"}}}
"""
CATALOG = """\
events:
  a: {properties: {x: number, total: number, tier: text}}
  b: {properties: {x: number, total: number}}
  order.paid: {properties: {total: number, tier: text, x: number}}
profile:
  first_name: text
  tier: text
  orders_before: number
  orders: {type: number, computed: 'count("order.paid", "30d")'}
tags: [vip, {name: big-spender, where: 'count("order.paid", "30d") > 9'}]
segments: {engaged: has_tag("vip")}
stages: [{name: aware}, {name: repeat, where: has_tag("vip")}]
"""
BASE = {
    "kairos.yaml": KAIROS,
    "journeys/catalog.yaml": CATALOG,
    "journeys/b.yaml": "journey: b\ntrigger: {manual: true}\nsteps: []\n",
    "journeys/welcome.yaml": "journey: welcome\ntrigger: {manual: true}\nsteps: []\n",
    "templates/hello/sms.text.j2": "Hello",
    "templates/hello/email.subject.j2": "Hello",
    "templates/hello/gold/sms.text.j2": "Hello",
    "templates/_blocks/greeting.text.j2": "Hello",
    "templates/_files/menu.txt": "base64:SGVsbG8=",
}
J = "journeys/j.yaml"
HEAD = "journey: j\ntrigger: {event: order.paid}\n"
SENDS = HEAD + "steps:\n  - {id: hi, message: {template: hello, channels: [sms]}}\n"
SPLIT = "steps:\n  - id: offer\n    split:\n      variants:\n"
FRAMES: dict[str, tuple[str, str]] = {
    "top": (J, HEAD + "steps: []\n<>"),
    "trigger": (J, "journey: j\nsteps: []\n<>"),
    "where": (J, "journey: j\ntrigger:\n  event: a\n  <>\nsteps: []\n"),
    "event": (J, "journey: j\ntrigger:\n  <>\nsteps: []\n"),
    "list": (J, HEAD + "steps:\n  <>"),
    "step": (J, HEAD + "steps:\n  - id: s\n    <>"),
    "id": (J, HEAD + "steps:\n  - <>\n    stop: {}\n"),
    "wait": (J, HEAD + "steps:\n  - id: s\n    wait:\n      <>"),
    "message": (J, HEAD + "steps:\n  - id: s\n    message:\n      channels: [sms]\n      <>"),
    "channels": (J, HEAD + "steps:\n  - id: s\n    message:\n      template: hello\n      <>"),
    "update": (J, HEAD + "steps:\n  - id: s\n    update:\n      <>"),
    "case": (
        J,
        HEAD + "steps:\n  - {id: ask, webhook: {url: 'https://example.com', <saved>}}\n"
        "  - id: s\n    branch:\n      -\n        <>\n        steps: []\n",
    ),
    "weight": (
        J,
        HEAD + SPLIT + "        - name: coupon\n          steps: []\n          <>\n"
        "        - {name: rest, weight: <rest>, steps: []}\n",
    ),
    "welcome": ("journeys/welcome.yaml", "trigger: {manual: true}\nsteps: []\n<>"),
    "first": (J, "trigger: {event: order.paid}\n<>\nsteps: []\n"),
    "scenario": (
        "journeys/tests/j.test.yaml",
        "journey: j\nscenarios:\n  - name: one\n    expect: {}\n    <>",
    ),
    "expect": ("journeys/tests/j.test.yaml", "journey: j\nscenarios:\n  - name: one\n    expect:\n      <>"),
    "kairos": ("kairos.yaml", "<>"),
    "channel": ("kairos.yaml", "channels:\n  email:\n    <>"),
    "settings": ("kairos.yaml", "channels:\n  email:\n    adapter: smtp\n    settings:\n      <>"),
    "identities": ("kairos.yaml", "identities:\n  <>"),
    "policy": ("kairos.yaml", "policies:\n  gentle:\n    <>"),
    "catalog": ("journeys/catalog.yaml", "tags: [vip]\n<>"),
    "tags": ("journeys/catalog.yaml", "<>"),
    "text": ("templates/hello/sms.text.j2", "<>"),
    "json": ("templates/hello/wechat.json.j2", "<>"),
    "html": ("templates/hello/email.html.j2", "<>"),
    "attachments": ("templates/hello/attachments.yaml", "<>"),
    "variants": ("templates/hello/variants.yaml", "<>"),
}
WHERE = {
    "top": "J103 J104 J105 J205 J209 J310 J325",
    "trigger": "J102 J201 J223 J318 J408 J409 J508",
    "where": "J302 J304 J501 J502 J503 J504 J505 J506 J507 J510",
    "event": "J301",
    "list": "J202 J210 J211 J401 J402 J407",
    "step": "J203 J217 J307 J309 J316 J340 J410",
    "id": "J208",
    "wait": "J204 J206 J207 J405",
    "message": "J303",
    "channels": "J214 J306 J314",
    "update": "J305 J308 J311 J317 J326 J509",
    "case": "J315",
    "weight": "J218 J406",
    "welcome": "J212",
    "scenario": "J313",
    "expect": "J312",
    "kairos": "J213 J320 J335 J336",
    "channel": "J216 J330 J341 J342",
    "settings": "J215 J220",
    "identities": "J221 J222",
    "policy": "J702 J703 J704 J705 J706",
    "catalog": "J512 J513",
    "tags": "J319",
    "text": "J601 J602 J603 J607 J609 J620",
    "html": "J618 J619",
    "variants": "J608",
    "attachments": "J621",
    "json": "J606 J614",
}
FRAME_OF = {code: frame for frame, codes in WHERE.items() for code in codes.split()}
IN_WORDS = {
    "J101",
    "J106",
    "J107",
    "J108",
    "J109",
    "J110",
    "J219",
    "J403",
    "J404",
    "J511",
    "J604",
    "J605",
    "J610",
    "J611",
    "J612",
    "J613",
    "J615",
    "J616",
    "J617",
}
"""Their examples describe a file, or are a whole one: `tests/diagnostics` has cases of them."""


def found(code: str, example: str) -> set[str]:
    frame = FRAME_OF[code]
    path, text = FRAMES[frame]
    files = dict(BASE)
    if frame != "html":
        del files["templates/hello/email.subject.j2"]
    if frame != "variants":
        del files["templates/hello/gold/sms.text.j2"]
    if frame in ("scenario", "expect", "text", "json", "html", "variants"):
        files[J] = SENDS.replace("id: hi", "id: hello")
    if frame == "scenario":
        files[J] = HEAD + SPLIT + "        - {name: coupon, weight: 100, steps: []}\n"
    if code == "J318":  # what is entered, and who enters it
        files["journeys/k.yaml"] = (
            "journey: k\ntrigger: {manual: true}\nsteps: [{id: s, enter: {journey: j}}]\n"
        )
    example = example.replace("    ", "  ").rstrip("\n")
    indent = next((line[: line.index("<>")] for line in text.splitlines() if line.strip() == "<>"), "")
    shown = textwrap.indent(example, indent).removeprefix(indent) if indent.strip() == "" else example
    saved = "save_as: offer" if "save_as: offer" in example else "method: POST"
    rest = {"weight: 1": "99", "weight: 10": "90"}.get(example, "50")
    files[path] = text.replace("<>", shown).replace("<saved>", saved).replace("<rest>", rest)
    project = check_project(files, ACTIONS, content_checker, names(), examine)
    return {each.code for each in project.diagnostics}


def test_every_code_has_a_frame_or_a_reason() -> None:
    assert set(FRAME_OF) | IN_WORDS == set(CODES)
    assert not set(FRAME_OF) & IN_WORDS


@pytest.mark.parametrize("code", sorted(FRAME_OF))
def test_the_wrong_example_gives_the_code_and_the_right_one_does_not(code: str) -> None:
    wrong, right = blocks(Path(PAGES / f"{code}.md"))
    assert code in found(code, wrong.text), wrong.text
    assert not found(code, right.text) & {code, "J101", "J201"}, right.text
