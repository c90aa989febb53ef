"""Where the Temporal server's program comes from: found on this machine, fetched, or built.

In this order: `TEMPORAL_ADDRESS` (a server that runs already); `temporal` on PATH; the copy built or
downloaded earlier; the SDK's own download; `go install`. A built copy is cached outside any checkout, in
`${XDG_CACHE_HOME:-~/.cache}/kairos/temporal/`, under a lock, by one atomic rename.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

CLI_VERSION = "1.5.1"
"""The last tag of the CLI that `go install` builds: later ones replace a module by a folder."""
GO_MODULE = f"github.com/temporalio/cli/cmd/temporal@v{CLI_VERSION}"
DOWNLOADS = "https://temporal.download/cli/default"
DOWNLOAD_TIMEOUT = 5.0
"""Seconds for the download site to answer; the file itself may take up to `DOWNLOAD_DEADLINE`."""
DOWNLOAD_DEADLINE = 300.0
BUILD_DEADLINE = 3600.0
OLDEST_GO = (1, 25)
FIRST_GO_WITH_TOOLCHAINS = (1, 21)

Say = Callable[[str], None]


class TemporalNotFound(Exception):
    """No way led to a Temporal server. The text lists every way and what came of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A server that runs already (`address`) or a program to start one with (`program`)."""

    source: str
    """Where it comes from, in words."""
    version: str
    address: str | None = None
    program: Path | None = None

    def __str__(self) -> str:
        return f"Temporal server {self.version} ({self.source})"


def say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kairos" / "temporal"


def find(say: Say = say_on_stderr) -> Found:
    """Find Temporal, fetching or building it if there is no other way.

    Blocks: a build takes minutes. Progress goes to `say`, a line at a time. Raises `TemporalNotFound`.
    """
    if address := os.environ.get("TEMPORAL_ADDRESS"):
        return Found(f"TEMPORAL_ADDRESS={address}", "of its own", address=address)
    tried = []
    for way in (_on_path, _cached, _download, _build):
        try:
            found = way(say)
        except _NoWay as no:
            tried.append(str(no))
        else:
            return found
    ways = "\n".join(f"  - {line}" for line in tried)
    raise TemporalNotFound(
        "No Temporal server was found, and none could be had. What was tried:\n"
        "  - TEMPORAL_ADDRESS is not set; set it to host:port of a server that runs already\n"
        f"{ways}\n"
        "Any one of these is enough. Temporal's own page: https://docs.temporal.io/cli#install"
    )


class _NoWay(Exception):
    """This way leads nowhere; the text says why and what would open it."""


def _on_path(say: Say) -> Found:
    program = shutil.which("temporal")
    if program is None:
        raise _NoWay("`temporal` is not on PATH; install Temporal's command line tool")
    return _checked(Path(program), f"{program}, on PATH")


def _cached(say: Say) -> Found:
    candidates = [(cache_folder() / CLI_VERSION / "temporal", "built earlier")]
    candidates += [(path, "downloaded earlier") for path in sorted(_download_folder().glob("temporal-sdk-*"))]
    problems = []
    for program, how in candidates:
        if program.is_file():
            try:
                return _checked(program, f"{program}, {how}")
            except _NoWay as no:
                problems.append(str(no))
    raise _NoWay("; ".join(problems) or f"no copy from an earlier run in {cache_folder()}")


def _download_folder() -> Path:
    return cache_folder() / "download"


def _download(say: Say) -> Found:
    try:
        httpx.get(
            DOWNLOADS,
            params={"arch": "amd64", "platform": "linux", "format": "tar.gz"},
            timeout=DOWNLOAD_TIMEOUT,
            follow_redirects=True,
        ).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise _NoWay(f"the SDK's download, {DOWNLOADS}, cannot be reached ({reason})") from None
    say(f"Downloading Temporal from {DOWNLOADS} ...")
    folder = _download_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # In a thread of its own: the caller may be inside an event loop.
    failure: list[BaseException] = []

    def fetch() -> None:
        try:
            asyncio.run(asyncio.wait_for(_fetch_by_sdk(folder), DOWNLOAD_DEADLINE))
        except (RuntimeError, OSError, TimeoutError) as error:
            failure.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join()
    programs = sorted(folder.glob("temporal-sdk-*"))
    if failure or not programs:
        raise _NoWay(f"the SDK's download failed: {failure[0] if failure else 'it left no file'}")
    return _checked(programs[-1], f"{programs[-1]}, downloaded now")


async def _fetch_by_sdk(folder: Path) -> None:
    # The SDK offers no download alone: it starts a server, which we stop.
    from temporalio.testing import WorkflowEnvironment

    environment = await WorkflowEnvironment.start_local(download_dest_dir=str(folder))
    await environment.shutdown()


def _build(say: Say) -> Found:
    go = shutil.which("go")
    if go is None:
        raise _NoWay(f"Go is not on PATH; with Go 1.25 or newer Temporal is built from {GO_MODULE}")
    _check_go(go)
    target = cache_folder() / CLI_VERSION / "temporal"
    with _build_lock(say):
        if not target.is_file():  # another process may have built it while we waited
            _go_install(go, target, say)
    return _checked(target, f"{target}, built now")


def _check_go(go: str) -> None:
    environment = _go_environment()
    said = _output([go, "env", "GOVERSION", "GOTOOLCHAIN"], environment).split("\n")
    match = re.match(r"go(\d+)\.(\d+)", said[0])
    if match is None:
        raise _NoWay(
            f"`{go} env GOVERSION` says {said[0]!r}, which is no version; Go 1.25 or newer is needed"
        )
    version = (int(match[1]), int(match[2]))
    may_fetch = version >= FIRST_GO_WITH_TOOLCHAINS and "local" not in said[1:2]
    if version < OLDEST_GO and not may_fetch:
        raise _NoWay(
            f"{go} is {said[0]}; building Temporal needs Go 1.25 or newer, or Go 1.21 or newer that may "
            "fetch its toolchain (GOTOOLCHAIN=auto)"
        )


def _go_install(go: str, target: Path, say: Say) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as bin_folder:
        say(
            f"Building Temporal {CLI_VERSION} with {go}.\n"
            "This happens once, and takes minutes and some GB of Go's own caches.\n"
            f"The program is kept in {target}"
        )
        command = [go, "install", "-v", GO_MODULE]
        process = subprocess.Popen(
            command,
            env=_go_environment() | {"GOBIN": bin_folder},
            cwd=bin_folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            last = _follow(process, say)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            detail = "\n      ".join(last)
            raise _NoWay(f"`{' '.join(command)}` failed:\n      {detail}")
        os.replace(Path(bin_folder) / "temporal", target)


def _follow(process: subprocess.Popen[str], say: Say) -> list[str]:
    """Report a build's progress until it ends. Returns the last lines that it printed."""
    assert process.stderr is not None
    counts = {"downloaded": 0, "compiled": 0}
    last: list[str] = []

    def read(lines: IO[str]) -> None:
        for line in lines:
            # `go: downloading MODULE VERSION`, then one bare package path for each that is compiled.
            counts["downloaded" if line.startswith("go: downloading") else "compiled"] += 1
            last.append(line.rstrip())
            del last[:-8]

    reader = threading.Thread(target=read, args=(process.stderr,), daemon=True)
    reader.start()
    begun = told = time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        now = time.monotonic()
        if now - begun > BUILD_DEADLINE:
            raise _NoWay(f"the build was given up after {BUILD_DEADLINE / 60:.0f} minutes")
        if now - told >= 5:
            told = now
            say(
                f"  building Temporal: {now - begun:.0f} s, {counts['downloaded']} modules downloaded, "
                f"{counts['compiled']} packages compiled"
            )
    reader.join(timeout=5)
    return last


def _go_environment() -> dict[str, str]:
    environment = dict(os.environ)
    # Set for the user's own work, these would change or break this build.
    for name in ("GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GO111MODULE", "GOBIN"):
        environment.pop(name, None)
    environment.setdefault("HOME", str(Path.home()))
    return environment


@contextmanager
def _build_lock(say: Say) -> Iterator[None]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "build.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is building Temporal; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _checked(program: Path, source: str) -> Found:
    """Make sure that this program starts, and read the server's version behind the tool's own.

    The tool prints 0.0.0-DEV for itself when it was built by `go install`.
    """
    said = _output([str(program), "--version"], dict(os.environ))
    match = re.search(r"Server (\d[\w.+-]*)", said)
    if match is None:
        raise _NoWay(f"{program} --version says {said!r}, without a server's version; it is not used")
    return Found(source, match[1], program=program)


def _output(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=True, errors="replace"
        )
    except subprocess.CalledProcessError as error:
        raise _NoWay(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NoWay(f"`{' '.join(command)}` cannot be run: {error}") from None
    return done.stdout.strip()
