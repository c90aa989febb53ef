"""A local Temporal server: started, watched, stopped, killed.

With a data folder it keeps its workflows in a SQLite file there (WAL, synchronous=1: what was acknowledged
survives `kill -9` of the server); without one they live in memory. The development server's rate limits are
those of one small host; they are raised so far that they never decide anything here.

`python -m engine.temporal.server ensure` finds or builds the program and prints what it found; `prepare`
registers the search attributes at TEMPORAL_ADDRESS.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from engine.temporal.found import Found, Say, TemporalNotFound, find, say_on_stderr
from engine.temporal.local import PORT, claim_file, claim_text, running_server

SEARCH_ATTRIBUTES = ("KairosJourney", "KairosVersion", "KairosCustomer")
"""All of type Keyword, set when a workflow starts and never after."""
NAMESPACE = "default"
UI_PORT = 8233
START_DEADLINE = 60.0
STOP_DEADLINE = 15.0

_PER_SECOND = 100_000
RAISED_LIMITS = (
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceRPS.visibility",
    "frontend.persistenceMaxQPS",
    "history.rps",
    "history.persistenceMaxQPS",
    "matching.rps",
    "matching.persistenceMaxQPS",
    "worker.persistenceMaxQPS",
)


class TemporalServerError(Exception):
    """The server did not do what was asked of it. The text says what was waited for, and where its log is."""


@dataclass(slots=True)
class RunningServer:
    """A Temporal server to talk to. `process` is None for one that somebody else runs."""

    address: str
    ui_url: str | None
    found: Found
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    _command: list[str] = field(default_factory=list, repr=False)
    _in_memory: bool = field(default=False, repr=False)
    _claim: IO[str] | None = field(default=None, repr=False)

    def stop(self) -> None:
        """End the server in order, and free its data folder. May be called twice."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._claim is not None:
            self._claim.close()
            self._claim = None
        if self._in_memory and self.log is not None:
            shutil.rmtree(self.log.parent, ignore_errors=True)

    def kill(self) -> None:
        """`kill -9`, for fault tests. `start_again` brings the server back."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(STOP_DEADLINE)

    async def start_again(self) -> None:
        """Start the same server on the same ports and data, after `kill` or after it ended by itself."""
        if self.process is None:
            raise TemporalServerError(f"{self.address} is not our server to start")
        if self.process.poll() is None:
            raise TemporalServerError(f"the server at {self.address} still runs; `kill` it first")
        await self._launch()

    async def _launch(self) -> None:
        for attempts_left in (2, 1, 0):
            self._spawn()
            try:
                await self._wait_until_ready()
            except TemporalServerError:
                # Its own inner ports are dealt out by the system, and may be gone when it opens them.
                if not attempts_left or "address already in use" not in self._tail():
                    self.kill()
                    raise
            except BaseException:
                self.kill()
                raise
            else:
                return

    def _spawn(self) -> None:
        assert self.log is not None
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must reach us alone, so that we stop it last.
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if self._claim is not None:
            self._claim.seek(0)
            self._claim.truncate()
            self._claim.write(claim_text(self.process.pid, self.address))
            self._claim.flush()

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        waited_for = "its port to open"
        while True:
            if self.process is not None and self.process.poll() is not None:
                raise TemporalServerError(
                    f"the Temporal server ended at once, with code {self.process.returncode}. "
                    f"The end of its log, {self.log}:\n{self._tail()}"
                )
            try:
                client = await asyncio.wait_for(Client.connect(self.address, namespace=NAMESPACE), 5)
                waited_for = f"namespace {NAMESPACE!r} and search attribute {SEARCH_ATTRIBUTES[0]}"
                # Answers only when the namespace is there and its search attributes can be used.
                await client.count_workflows(f"{SEARCH_ATTRIBUTES[0]} = 'none'")
                return
            except (RuntimeError, RPCError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise TemporalServerError(
                        f"the Temporal server at {self.address} was not ready within {START_DEADLINE:.0f} s: "
                        f"waited for {waited_for} ({error}). The end of its log, {self.log}:\n{self._tail()}"
                    ) from None
            await asyncio.sleep(0.1)

    def _tail(self) -> str:
        if self.log is None or not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


async def start_server(
    data_dir: Path | None,
    *,
    port: int = 0,
    ui_port: int = 0,
    found: Found | None = None,
    say: Say = say_on_stderr,
) -> RunningServer:
    """Find Temporal and start it; it is ready to use when this returns.

    Args:
        data_dir: Folder for its database and log; None keeps workflows in memory.
        port: Of gRPC; 0 takes a free one. See `port_near` for "this one if it is free".
        ui_port: Of the web interface; 0 takes a free one.
        found: What `find` returned, if it was called already.
        say: Takes lines of progress.

    With TEMPORAL_ADDRESS nothing is started: the search attributes are added there if they are missing.
    Raises `TemporalNotFound`, or `TemporalServerError` when the server does not come up, or when another
    living process runs one from the same folder. A server that a killed process left behind is ended first.
    """
    if found is None:
        found = await asyncio.to_thread(find, say)
    if found.address is not None:
        await _prepare_foreign(found.address)
        return RunningServer(found.address, os.environ.get("TEMPORAL_UI_URL"), found)
    assert found.program is not None
    server = _prepared(found, found.program, data_dir, port, ui_port)
    try:
        await server._launch()
    except BaseException:
        server.stop()
        raise
    return server


def _prepared(found: Found, program: Path, data_dir: Path | None, port: int, ui_port: int) -> RunningServer:
    claim = None if data_dir is None else _claim(data_dir)
    log_folder = data_dir or Path(tempfile.mkdtemp(prefix="kairos-temporal-"))
    port = port or port_near(0)
    while ui_port in (0, port):
        ui_port = port_near(0)
    return RunningServer(
        address=f"127.0.0.1:{port}",
        ui_url=f"http://127.0.0.1:{ui_port}",
        found=found,
        log=log_folder / "temporal.log",
        _command=[str(program), *_arguments(port, ui_port, data_dir)],
        _in_memory=data_dir is None,
        _claim=claim,
    )


def port_near(wanted: int) -> int:
    """`wanted` if nothing listens there, else any free port. 0 wants none in particular."""
    # Below the range from which systems deal out ports by themselves: the server takes several of those
    # while it starts, and would now and then take the very one that was found free for it.
    others = random.sample(range(20_000, 32_000), 50)
    for port in (wanted, *others) if wanted else others:
        with socket.socket() as probe:
            # As servers do: a port whose last connections are still fading counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise TemporalServerError("no free TCP port on 127.0.0.1 between 20000 and 32000")


def _arguments(port: int, ui_port: int, data_dir: Path | None) -> list[str]:
    words = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--ui-port", str(ui_port)]
    words += ["--log-level", "warn"]
    for name in SEARCH_ATTRIBUTES:
        words += ["--search-attribute", f"{name}=Keyword"]
    for name in RAISED_LIMITS:
        words += ["--dynamic-config-value", f"{name}={_PER_SECOND}"]
    if data_dir is not None:
        words += ["--db-filename", str(data_dir / "temporal.db")]
        words += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
    return words


def _claim(data_dir: Path) -> IO[str]:
    """Take the data folder for this process, ending a server that a killed one left behind."""
    data_dir.mkdir(parents=True, exist_ok=True)
    claim = claim_file(data_dir).open("a+")
    claim.seek(0)
    text = claim.read()
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        claim.close()
        raise TemporalServerError(
            f"another process runs Temporal from {data_dir} ({text or 'starting'}). "
            "Stop it, or set KAIROS_HOME to another folder."
        ) from None
    orphan = running_server(data_dir, text)
    if orphan is not None:
        with contextlib.suppress(psutil.Error):
            orphan.kill()
            orphan.wait(STOP_DEADLINE)
    return claim


async def _prepare_foreign(address: str) -> None:
    try:
        client = await asyncio.wait_for(Client.connect(address, namespace=NAMESPACE), START_DEADLINE)
        await add_search_attributes(client)
    except (RuntimeError, RPCError, TimeoutError) as error:
        raise TemporalServerError(f"TEMPORAL_ADDRESS={address} does not answer: {error}") from None


async def add_search_attributes(client: Client) -> None:
    """Register our search attributes in the client's namespace. Those that are there stay."""
    for name in SEARCH_ATTRIBUTES:
        request = AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD},
        )
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["ensure"]:
                print(find())
            case ["prepare"]:
                address = os.environ.get("TEMPORAL_ADDRESS", f"127.0.0.1:{PORT}")
                asyncio.run(_prepare_foreign(address))
                print(f"search attributes are there at {address}: {', '.join(SEARCH_ATTRIBUTES)}", flush=True)
                # Python's end can crash in the SDK and spoil the exit code.
                os._exit(0)
            case _:
                print("usage: python -m engine.temporal.server ensure|prepare", file=sys.stderr)
                return 2
    except (TemporalNotFound, TemporalServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
