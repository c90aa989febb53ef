"""Which Temporal server commands talk to when nobody names one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.temporal.local import claim_file, claim_text, local_address

USUAL = "127.0.0.1:7233"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAIROS_HOME", str(tmp_path))
    (tmp_path / "temporal").mkdir()
    return tmp_path / "temporal"


@pytest.fixture
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the server of this folder."""
    words = [sys.executable, "-c", "import time; time.sleep(60)", str(folder / "temporal.db")]
    process = subprocess.Popen(words)
    yield process
    process.kill()
    process.wait(10)


def test_a_server_on_another_port_is_found(folder: Path, server: subprocess.Popen[bytes]) -> None:
    claim_file(folder).write_text(claim_text(server.pid, "127.0.0.1:23456"))
    assert local_address() == "127.0.0.1:23456"


def test_a_server_that_has_ended_is_not_waited_for(folder: Path, server: subprocess.Popen[bytes]) -> None:
    claim_file(folder).write_text(claim_text(server.pid, "127.0.0.1:23456"))
    server.kill()
    server.wait(10)
    assert local_address() == USUAL


def test_a_pid_that_is_another_programs_is_not_a_server(folder: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        claim_file(folder).write_text(claim_text(other.pid, "127.0.0.1:23456"))
        assert local_address() == USUAL
    finally:
        other.kill()
        other.wait(10)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x"}', '{"pid": 0}'])
def test_a_claim_that_says_nothing_leads_to_the_usual_port(folder: Path, text: str) -> None:
    claim_file(folder).write_text(text)
    assert local_address() == USUAL


def test_without_a_data_folder_it_is_the_usual_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_HOME", str(tmp_path / "nothing"))
    assert local_address() == USUAL
