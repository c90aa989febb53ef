"""Kairos as operators run it: one child process for each part, killed and started again by fault tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_DEADLINE = 60.0
STOP_DEADLINE = 30.0


class ProcessTrouble(Exception):
    """A child process did not do what was waited for; the text has the end of its log."""


@dataclass
class Child:
    """One child process. `ready` is the text of its log that says it works."""

    name: str
    command: Sequence[str]
    ready: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    process: subprocess.Popen[bytes] | None = None
    _read_from: int = 0

    def start(self, *, wait: bool = True) -> Child:
        """Starts it, and with `wait` returns once it says that it is ready."""
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
                start_new_session=True,
            )
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, seconds: float = START_DEADLINE) -> None:
        self.wait_for(self.ready, seconds)

    def wait_for(self, text: str, seconds: float = START_DEADLINE) -> None:
        """Returns once `text` stands in what it has said since its last start."""
        deadline = time.monotonic() + seconds
        while text not in self.said():
            if not self.runs():
                raise ProcessTrouble(f"{self.name} ended before it said {text!r}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessTrouble(
                    f"waited {seconds:.0f} s for {self.name} to say {text!r}:\n{self.tail()}"
                )
            time.sleep(0.05)

    def said(self) -> str:
        """What it has said since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode("utf-8", "replace")

    def tail(self) -> str:
        return "\n".join(self.said().splitlines()[-25:]) or "(it said nothing)"

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """`kill -9`: no goodbye, nothing put in order."""
        if self.process is not None and self.runs():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(STOP_DEADLINE)

    def stop(self) -> None:
        """Ends it in order, as an operator would; kills it if it does not listen."""
        if self.process is None or not self.runs():
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()

    def again(self, after: float = 0.0, *, wait: bool = True) -> Child:
        """`kill -9`, a pause, and a new start."""
        self.kill()
        time.sleep(after)
        return self.start(wait=wait)


@dataclass
class Processes:
    """The parts of one installation, on one database and one Temporal server."""

    folder: Path
    database_url: str
    temporal_address: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    children: dict[str, Child] = field(default_factory=dict)

    def router(self, name: str = "router") -> Child:
        return self._kairos(name, ["worker", "router"], "router: ready")

    def journeys(self, name: str = "journeys") -> Child:
        return self._kairos(name, ["worker", "journeys"], "journeys: ready")

    def send(self, *channels: str, name: str = "send") -> Child:
        words = [word for channel in channels for word in ("--channel", channel)]
        return self._kairos(name, ["worker", "send", *words], f"send {channels[-1]}: ready")

    def pool(self, name: str = "pool") -> Child:
        return self._kairos(name, ["worker", "pool"], "pool: ready")

    def api(self, port: int, name: str = "api") -> Child:
        return self._kairos(name, ["api", "--port", str(port)], "Kairos listens on")

    def program(self, name: str, words: Sequence[str], ready: str) -> Child:
        """Any Python module as a child, such as the sink."""
        return self._child(name, [sys.executable, "-u", "-m", *words], ready)

    def stop(self) -> None:
        for child in reversed(list(self.children.values())):
            child.stop()

    def _kairos(self, name: str, words: Sequence[str], ready: str) -> Child:
        code = "from engine.cli.main import main; main()"
        return self._child(name, [sys.executable, "-u", "-c", code, *words], ready)

    def _child(self, name: str, command: Sequence[str], ready: str) -> Child:
        environment = {
            "DATABASE_URL": self.database_url,
            "TEMPORAL_ADDRESS": self.temporal_address,
            "KAIROS_HOME": str(self.folder / "home"),
            **self.environment,
        }
        log = self.folder / f"{name}.log"
        child = self.children[name] = Child(name, command, ready, log, environment)
        return child


@contextmanager
def processes(
    folder: Path, database_url: str, temporal_address: str, **environment: str
) -> Iterator[Processes]:
    """Child processes that are all ended with the block, whatever happens in it."""
    running = Processes(folder, database_url, temporal_address, environment)
    try:
        yield running
    finally:
        for child in running.children.values():
            child.kill()
