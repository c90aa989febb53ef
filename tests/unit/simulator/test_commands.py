"""`kairos test`, `simulate` and `preview` as people call them: exit codes and what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run
from tests.unit.simulator.test_history import cart, identify
from tests.unit.simulator.test_scenarios import CATALOGUE, JOURNEY, TEMPLATES

GOOD = """
journey: unpaid-cart
scenarios:
  - name: one text
    profile: {external_id: c1, phone: "+861", consents: [sms]}
    variant: {offer-test: plain}
    script: [{event: {name: cart.updated, cart_id: k1, total: 120}}]
    expect: {messages: [{at: 0s}, {at: 1d}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "kairos.yaml": "version: 1\n",
        "journeys/catalog.yaml": CATALOGUE,
        "journeys/unpaid-cart.yaml": JOURNEY,
        "journeys/tests/unpaid-cart.test.yaml": GOOD,
        **TEMPLATES,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def scenario(folder: Path, old: str, new: str) -> None:
    path = folder / "journeys/tests/unpaid-cart.test.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_scenarios_as_expected_exit_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "--project", str(folder)]) == 0
    assert "1 scenario, all as expected" in capsys.readouterr().out


def test_a_difference_exits_1_and_explains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(folder, "consents: [sms]", "consents: [email]")
    assert run(["test", "unpaid-cart", "--project", str(folder), "--explain", "one text"]) == 1
    out = capsys.readouterr().out
    assert "it was skipped because: no address for email, no consent for sms" in out
    assert "1d  `look`: nothing came within 1d" in out


def test_too_little_coverage_exits_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "--project", str(folder), "--min-coverage", "90"]) == 1
    assert "coverage of unpaid-cart is 60 %, below 90 %" in capsys.readouterr().out


def test_a_mistake_in_the_project_exits_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(folder, "variant: {offer-test: plain}", "varriant: {}")
    assert run(["test", "--project", str(folder)]) == 2
    assert "varriant" in capsys.readouterr().err


def test_a_path_without_scenarios_exits_2(folder: Path) -> None:
    assert run(["test", "nowhere", "--project", str(folder)]) == 2


def test_json_holds_every_scenario(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(folder, "at: 1d", "at: 2d")
    assert run(["test", "--project", str(folder), "--format", "json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["passed"], data["failed"]) == (0, 1)
    assert data["scenarios"][0]["differences"][0]["key"] == "messages"


def test_simulate_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = folder / "events.jsonl"
    lines = [identify(-5, phone="+861", consents=["sms"]), cart(0)]
    events.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    command = ["simulate", "unpaid-cart", "--events", str(events), "--project", str(folder)]
    assert run(command) == 0
    assert "unpaid-cart: 1 entered, 0 converted (0.0 %)" in capsys.readouterr().out
    assert run([*command, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["enrolments"][0]["exit"] == "completed"
    assert run(["simulate", "nope", *command[2:]]) == 2
    events.write_text("{", encoding="utf-8")
    assert run(command) == 2


def test_profiles_are_known_before_the_first_event(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, profiles = folder / "events.jsonl", folder / "profiles.jsonl"
    events.write_text(json.dumps(cart(0)), encoding="utf-8")
    profiles.write_text(json.dumps({"userId": "u1", "traits": {"tags": ["staff"]}}), encoding="utf-8")
    command = ["simulate", "unpaid-cart", "--events", str(events), "--project", str(folder)]
    assert run([*command, "--profiles", str(profiles)]) == 0
    assert "unpaid-cart: 0 entered" in capsys.readouterr().out


def test_preview_renders_or_says_why_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = folder / "c1.yaml"
    profile.write_text("external_id: c1\ntrigger: {name: cart.updated, total: 120}\n", encoding="utf-8")
    command = ["preview", "hello", "--profile", str(profile), "--project", str(folder), "--channel", "sms"]
    assert run(command) == 0
    assert "Your cart of 120" in capsys.readouterr().out
    profile.write_text("external_id: c1\n", encoding="utf-8")
    assert run(command) == 1
    assert "cannot be rendered" in capsys.readouterr().out
    assert run([*command[:-1], "wechat"]) == 2


def test_preview_shows_variants_locales_and_sizes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {
        "kairos.yaml": "content: {sms: {price: 0.05, currency: CNY}}\n",
        "templates/tea/variants.yaml": 'variants: [{name: gold, where: has_tag("staff")}]\n',
        "templates/tea/sms.text.j2": "For all",
        "templates/tea/gold/sms.text.j2": "For gold",
        "templates/tea/gold/de/sms.text.j2": "Für Gold",
        "templates/tea/generic/sms.text.j2": "Plain",
        "templates/tea/email.subject.j2": "Tea",
        "templates/tea/email.html.j2": "<p>Tea</p>",
        "c1.yaml": "external_id: c1\ntags: [staff]\n",
    }
    for name, text in more.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    command = ["preview", "tea", "--profile", str(folder / "c1.yaml"), "--project", str(folder)]

    assert run([*command, "--html", str(folder / "out.html")]) == 0
    out = capsys.readouterr().out
    assert "email (html 0.0 KB, text 0.0 KB)" in out
    assert "sms (as gold, 8 characters, 1 segment, 0.05 CNY)\n  text:\n    For gold" in out
    assert (folder / "out.html").read_text(encoding="utf-8") == "<p>Tea</p>"
    for option, text in (("--locale=de-AT", "Für Gold"), ("--variant=generic", "Plain")):
        assert run([*command, "--channel", "sms", option]) == 0
        assert text in capsys.readouterr().out
    for wrong in ("--variant=silver", "--locale=nowhere", "--channel=push"):
        assert run([*command, wrong]) == 2
    assert run([*command, "--send-to", "me@example.com"]) == 2
    assert run(["preview", "tea", "--project", str(folder)]) == 2
