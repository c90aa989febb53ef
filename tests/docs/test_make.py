"""`make` speaks in words, whatever the machine lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
PROMISED = {
    *(
        "help",
        "setup",
        "demo",
        "demo-dormancy",
        "demo-cart",
        "test",
        "test-slow",
        "check",
        "bench",
        "chaos",
        "format",
        "clean",
    )
}


def run(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    # Without MAKEFLAGS: under `make test` these would be children of that make.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        words,
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_promised_target_is_there_and_listed_by_help() -> None:
    assert set(TARGETS) == PROMISED
    listed = run("make", "help").stdout
    assert [target for target in PROMISED if not re.search(rf"make {target}\s", listed)] == []


def test_machine_without_python_is_told_which_one_is_needed() -> None:
    done = run("make", "PYTHON=", "setup")
    assert done.returncode != 0
    assert "Kairos needs Python 3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy with the set-up script alone, on a machine whose `uv` does what the test says."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.py", tmp_path / "scripts")
    return tmp_path


def fake_uv(checkout: Path, text: str) -> None:
    uv = checkout / "bin" / "uv"
    uv.write_text(f"#!/bin/sh\n{text}\n")
    uv.chmod(0o755)


def test_failed_sync_ends_in_words_and_a_code(checkout: Path) -> None:
    fake_uv(checkout, 'test "$1" = --version && exit 0\nexit 2')
    done = run(sys.executable, "scripts/setup.py", cwd=checkout, PATH=f"{checkout}/bin:/usr/bin:/bin")
    assert done.returncode == 1
    assert "error: the packages could not be installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_sync_takes_the_lock_as_it_is(checkout: Path) -> None:
    fake_uv(checkout, 'test "$1" = --version || echo "$@" > called')
    done = run(
        sys.executable,
        "scripts/setup.py",
        "--without-temporal",
        cwd=checkout,
        PATH=f"{checkout}/bin:/usr/bin:/bin",
    )
    assert done.returncode == 0, done.stderr
    assert (checkout / "called").read_text().startswith("sync --locked")


def test_machine_without_uv_and_pypi_is_told_what_to_do(checkout: Path) -> None:
    done = run(
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, 'scripts'); import setup; setup.quiet = lambda command: False; "
        "sys.exit(setup.main([]))",
        cwd=checkout,
        XDG_CACHE_HOME=str(checkout / "cache"),
    )
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_ci_runs_both_and_fails_if_either_fails(checkout: Path) -> None:
    (checkout / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", checkout / ".ci" / "run")
    for check, test, code in (("true", "true", 0), ("false", "true", 1), ("true", "false", 1)):
        (checkout / "Makefile").write_text(f"check:\n\t@{check}\ntest:\n\t@echo tested\n\t@{test}\n")
        done = run("bash", ".ci/run", cwd=checkout)
        assert (done.returncode, "tested" in done.stdout) == (code, True)
