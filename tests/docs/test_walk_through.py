"""Does what the README and the tutorials say: writes files, types commands, compares what is seen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks, looks_like

DEADLINE = 120
"""Seconds for one block; the first command that needs PostgreSQL also makes its tables."""


@dataclass(slots=True)
class Reader:
    """Somebody who follows a page, in a folder and with a data folder of their own."""

    folder: Path
    home: Path
    address: str = ""
    key: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "KAIROS_HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUTF8": "1",
        }
        for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "KAIROS_LOG"):
            self.environment.pop(name, None)

    def type(self, block: Block) -> str:
        """Runs a block of the shell; what it printed. Where it leads to with `cd`, the next one begins."""
        text = block.text.replace("kairos_ingest_...", self.key)
        text = text.replace("http://127.0.0.1:8000", self.address) if self.address else text
        wanted = next((int(note[5:]) for note in block.notes if note.startswith("exit=")), 0)
        where = self.home / "where"
        strict = "" if wanted else "set -e\n"
        done = subprocess.run(
            ["bash", "-c", f"trap 'pwd > \"{where}\"' EXIT\n{strict}{text}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == wanted, f"{block}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.folder = Path(where.read_text().strip())
        return done.stdout

    @contextmanager
    def running(self, block: Block) -> Iterator[None]:
        """Keeps a block's command running, until Ctrl-C; says so when it is ready for the next."""
        log = self.home / "server.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                block.text.split(), cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
            try:
                until = time.monotonic() + DEADLINE
                while "Ctrl-C" not in log.read_text():
                    assert process.poll() is None, f"{block} ended\n{log.read_text()}"
                    assert time.monotonic() < until, f"{block} was not ready\n{log.read_text()}"
                    time.sleep(0.2)
                found = re.search(r"(http://\S+)/v1/track +write key (\S+)", log.read_text())
                assert found, log.read_text()
                self.address, self.key = found.groups()
                yield
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    code = process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
        assert code == 0, f"{block}: exit {code} after Ctrl-C\n{log.read_text()}"


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    return Reader(tmp_path / "work", tmp_path / "home")


def follow(reader: Reader, found: list[Block], live: bool = False) -> list[str]:
    """Does what the blocks say, in order; the places of the commands typed."""
    done = []
    for place, block in enumerate(found):
        if block.path is not None:
            path = reader.folder / block.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "sh" and ("live" in block.notes) == live and "server" not in block.notes:
            printed = reader.type(block)
            after = found[place + 1] if place + 1 < len(found) else None
            if after is not None and after.language == "text" and "shown" not in after.notes:
                assert looks_like(after.text, printed), (
                    f"{after} shows something else; printed is:\n{printed}"
                )
            done.append(str(block))
    return done


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["README.md", "docs/tutorial-marketers.md", "docs/tutorial-developers.md"])
def test_the_commands_of_a_page_do_what_it_says(page: str, reader: Reader) -> None:
    assert follow(reader, blocks(ROOT / page))
    drawn = reader.folder / "welcome.svg"
    if "marketers" in page:
        shown = ROOT / "docs" / "images" / "tutorial-welcome.svg"
        assert drawn.read_text() == shown.read_text(), f"the picture has changed: copy {drawn} to {shown}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tour_of_the_readme_ends_with_a_message(reader: Reader) -> None:
    found = blocks(ROOT / "README.md")
    server = next(place for place, block in enumerate(found) if "server" in block.notes)
    for block in found[:server]:
        if block.language == "sh" and ("init" in block.text or "cd " in block.text):
            reader.type(block)
    [sends] = [block for block in found[server:] if "live" in block.notes]
    with reader.running(found[server]):
        reader.type(sends)
        until = time.monotonic() + 30
        while not (
            seen := subprocess.run(
                ["kairos", "outbox"],
                cwd=reader.folder,
                env=reader.environment,
                capture_output=True,
                text=True,
            ).stdout
        ).count("ann@example.com"):
            assert time.monotonic() < until, f"no message within 30 s: {seen}"
            time.sleep(0.5)
