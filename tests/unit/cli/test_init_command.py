"""`kairos init`: what it makes works as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run


def test_a_new_project_passes_check_and_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "shop"
    assert run(["init", str(new)]) == 0
    assert run(["check", "--project", str(new)]) == 0
    assert run(["test", "--project", str(new), "--min-coverage", "100"]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_every_schema_that_the_editor_is_pointed_to_is_there(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path)]) == 0
    settings = json.loads((tmp_path / ".vscode/settings.json").read_text())
    for path in settings["yaml.schemas"]:
        assert json.loads((tmp_path / path).read_text())["$schema"]


def test_a_project_is_not_made_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kairos.yaml").write_text("version: 1\n")
    assert run(["init", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["kairos.yaml"]
    assert "is a project already" in capsys.readouterr().err


def test_a_readme_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    assert run(["init", str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_text() == "mine\n"
    assert (tmp_path / "kairos.yaml").exists()


def test_schemas_can_be_written_anew(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path)]) == 0
    schema = tmp_path / ".kairos/journey.schema.json"
    schema.write_text("old")
    assert run(["init", "--schemas", str(tmp_path)]) == 0
    assert schema.read_text() != "old"
