"""docker-compose.yml holds to the Compose specification, and runs commands that exist.

Checked without Docker: the schema is the specification's own, the commands are looked up in the CLI.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from engine.cli.main import build_app

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
CHANNELS = {"email", "sms", "push", "wechat", "wecom", "alipay", "webhook", "miniprogram"}
ONE_SHOT = {"upgrade", "attributes"}


def test_file_holds_to_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests" / "vectors" / "compose-spec.json").read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(COMPOSE)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_schema_sees_a_mistake() -> None:
    schema = json.loads((ROOT / "tests" / "vectors" / "compose-spec.json").read_text(encoding="utf-8"))
    wrong = {**COMPOSE, "services": {"api": {"image": "x", "helthcheck": {}}}}
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(wrong))


def cli_knows(*words: str) -> bool:
    """Whether the CLI has this command with these options. `--help` is the last of them, so nothing runs."""
    app = build_app()
    return CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


@pytest.mark.parametrize("name", sorted(name for name in OURS if "entrypoint" not in OURS[name]))
def test_command_of_the_service_exists_in_the_cli(name: str) -> None:
    assert cli_knows(*OURS[name]["command"]), f"kairos {' '.join(OURS[name]['command'])}"


def test_command_or_option_that_does_not_exist_is_seen() -> None:
    assert not cli_knows("worker", "nobody")
    assert not cli_knows("worker", "router", "--no-such-option")


def test_every_channel_has_its_send_worker() -> None:
    served = {
        service["command"][3] for service in OURS.values() if service["command"][:2] == ["worker", "send"]
    }
    assert served == CHANNELS


def test_every_service_starts_again_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == ("on-failure:5" if name in ONE_SHOT else "unless-stopped"), name
        for needed, how in service.get("depends_on", {}).items():
            assert needed in SERVICES
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for the health of {needed}"


def test_no_secret_stands_in_the_file() -> None:
    values = re.findall(r"(?im)^\s*\w*(?:password|pwd|secret|token|key)\w*:\s*(\S.*)$", TEXT)
    assert values
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", value) for value in values), values
    credentials = re.findall(r"://[^:@\s]+:([^@\s].*?)@", TEXT)
    assert all(value.startswith("${") for value in credentials), credentials


def test_data_is_kept_in_named_volumes() -> None:
    assert "postgres:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]
    assert "postgres" in COMPOSE["volumes"]


def test_image_is_built_from_the_lock_and_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("RUN uv sync --locked") for line in lines)
    assert "USER kairos" in lines
    sources = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert [source for source in sources if not (ROOT / source).exists()] == []
