"""`kairos check` and `kairos schema`: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run

GOOD = "journey: a\ntrigger: {manual: true}\nsteps: []\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "journeys").mkdir()
    (tmp_path / "kairos.yaml").write_text("version: 1\n")
    (tmp_path / "journeys" / "a.yaml").write_text(GOOD)
    return tmp_path


def test_a_good_project_ends_with_zero(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--project", str(folder)]) == 0
    assert capsys.readouterr().out == "no mistakes\n"


def test_mistakes_end_with_one_and_are_the_same_in_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "journeys" / "b.yaml").write_text(GOOD)
    assert run(["check", "--project", str(folder), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in found["diagnostics"]] == ["J212"]


def test_paths_choose_whose_mistakes_are_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "journeys" / "b.yaml").write_text(GOOD)
    monkeypatch.chdir(folder / "journeys")
    assert run(["check", "a.yaml"]) == 0
    assert run(["check", "b.yaml"]) == 1
    assert run(["check", "nowhere.yaml"]) == 2


def test_no_project_is_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--project", str(tmp_path)]) == 2
    assert "kairos.yaml" in capsys.readouterr().err


def test_bytes_that_are_not_text_are_a_mistake_of_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "journeys" / "a.yaml").write_bytes(b"journey: \xff\n")
    assert run(["check", "--project", str(folder)]) == 1
    assert "journeys/a.yaml:1:10: error[J107]" in capsys.readouterr().out


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["journey"]["description"]


SMTP = """\
channels:
  email:
    adapter: smtp
    settings:
      host: ${SMTP_HOST}
      from: hello@example.com
      username: kairos
      password: ${SMTP_PASSWORD}
"""


def test_settings_from_the_environment_need_no_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SMTP_HOST", raising=False)
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    (folder / "kairos.yaml").write_text(SMTP)
    assert run(["check", "--project", str(folder)]) == 0
    assert capsys.readouterr().out == "no mistakes\n"


@pytest.mark.parametrize("command", ["check", "plan", "apply"])
def test_wrong_settings_of_an_adapter_are_mistakes_before_anything_starts(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kairos.yaml").write_text(SMTP.replace("from:", "form:") + "      tls: tsl\n")
    assert run([command, "--project", str(folder)]) == 1
    shown = "".join(capsys.readouterr())
    assert "kairos.yaml:6:7: error[J201]: unknown key `form` in `settings` of adapter `smtp`" in shown
    assert "did you mean `from`?" in shown
    assert "kairos.yaml:5:7: error[J202]: `from` is missing" in shown
    assert "kairos.yaml:9:12: error[J209]: `tsl` is not possible for `tls`" in shown


def test_settings_of_an_adapter_that_is_not_here_are_not_judged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kairos.yaml").write_text(
        "channels:\n"
        "  sms: {adapter: acme, settings: {region: cn}}\n"
        "  push: {adapter: 'acme:PushAdapter', settings: {region: cn}}\n"
    )
    assert run(["check", "--project", str(folder)]) == 0
    assert capsys.readouterr().out.count("warning[J320]") == 1
