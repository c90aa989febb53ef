"""Opening the database, and bringing it up to date.

The database is PostgreSQL 16 or newer: the one given, else `DATABASE_URL`, else the embedded one.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from engine.store import embedded, jsonb

OLDEST = 16
"""Oldest major version of PostgreSQL that Kairos runs on."""

_REPEATABLE = {"40001", "40P01"}  # serialization failure, deadlock
_ASKED_AFTER = 30.0  # seconds a connection may be idle before it is asked whether it still works
_MIGRATION_LOCK = 0x4B41_4952  # "KAIR"; one process migrates at a time

T = TypeVar("T")


class DatabaseError(Exception):
    """The database cannot be used. The message says what was expected and what to do."""


def async_url(url: str) -> str:
    """`url` for asyncpg: `postgres://` and `postgresql://` are taken, as hosting services write them."""
    for prefix in ("postgresql+asyncpg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+asyncpg://" + url[len(prefix) :]
    raise DatabaseError(
        "DATABASE_URL: expected an address that begins with postgresql://, "
        "for example postgresql://kairos:secret@db.example.com/kairos"
    )


def open_database(url: str | None = None, *, pool_size: int = 10) -> AsyncEngine:
    """The database given, else that of `DATABASE_URL`, else the embedded one, which is started if needed.

    Touches no other server than the embedded one: `check` says whether it can be used. A connection to a
    server older than PostgreSQL 16 raises `DatabaseError`.
    """
    engine = create_async_engine(
        async_url(url or os.environ.get("DATABASE_URL") or embedded.ensure()),
        pool_size=pool_size,
        max_overflow=pool_size,
        json_serializer=jsonb.dumps,
        json_deserializer=jsonb.loads,
        # Compiling to machine code costs more than our short statements take.
        connect_args={"server_settings": {"jit": "off", "timezone": "UTC"}},
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def refuse_old_servers(connection: Any, record: object) -> None:
        require_version(connection.driver_connection.get_server_version().major)

    _pass_over_broken(engine)
    return engine


def _pass_over_broken(engine: AsyncEngine) -> None:
    """PostgreSQL restarts under a running worker: connections that it closed are not handed out.

    SQLAlchemy's own `pool_pre_ping` takes three round trips before every transaction, a quarter of what a
    send costs. A server that ends closes its sockets, which costs nothing to see; only a connection that was
    idle for long is asked, since a network may have forgotten it.
    """

    @sa.event.listens_for(engine.sync_engine, "checkin")
    def put_back(connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @sa.event.listens_for(engine.sync_engine, "checkout")
    def look(connection: Any, record: Any, proxy: object) -> None:
        idle_since = record.info.get("idle_since")
        if connection.driver_connection.is_closed():
            raise sa.exc.DisconnectionError("the server has closed this connection")
        if idle_since is not None and time.monotonic() - idle_since > _ASKED_AFTER:
            try:
                connection.ping()
            except Exception as error:
                raise sa.exc.DisconnectionError("the server does not answer on this connection") from error


async def check(engine: AsyncEngine) -> None:
    """Raises `DatabaseError`, in words, if the database cannot be reached or is too old."""
    try:
        async with engine.connect():
            pass
    except (OSError, DBAPIError, asyncpg.PostgresError) as error:
        where = engine.url.render_as_string(hide_password=True)
        raise DatabaseError(
            f"PostgreSQL at {where} cannot be reached: {_cause(error)}. "
            "Check that it runs and that DATABASE_URL is right, or unset it to use the embedded one."
        ) from error


def is_outage(error: BaseException) -> bool:
    """Whether `error` says that the database is away for now: the same work may succeed later.

    Tables or columns that are not there count too (class 42): a migration is under way or was forgotten, and
    nothing that was to be written is to blame for it. asyncpg's own "internal" error is what a connection
    gives that was cut in the middle of an operation.
    """
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return error.connection_invalidated or state[:2] in ("08", "42", "53", "57")
    away = (OSError, PoolTimeout, asyncpg.InterfaceError, asyncpg.InternalClientError)
    refused = (
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InsufficientResourcesError,
    )
    return isinstance(error, (*away, *refused))


def require_version(major: int) -> None:
    """Raises `DatabaseError` for a version that is too old."""
    if major < OLDEST:
        raise DatabaseError(
            f"this is PostgreSQL {major}; Kairos needs {OLDEST} or newer. "
            "Upgrade the server, or unset DATABASE_URL to use the embedded one."
        )


def _cause(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return str(original).splitlines()[0] if str(original) else type(original).__name__


# --- migrations -----------------------------------------------------------------------------------------


def migrations() -> Config:
    """Alembic's configuration: the environment lives inside the package, there is no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", "engine.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """The newest revision that this version of Kairos knows."""
    head = ScriptDirectory.from_config(migrations()).get_current_head()
    assert head is not None
    return head


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Brings the database to `revision`. Safe to run from several processes at once."""

    def run(connection: Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with engine.begin() as connection:
        await connection.run_sync(run)


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision of the database; None if it was never migrated."""

    def read(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with engine.connect() as connection:
        return await connection.run_sync(read)


# --- transactions ---------------------------------------------------------------------------------------


async def in_transaction(
    engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]], *, tries: int = 5
) -> T:
    """Runs `work` in a transaction and commits; repeats it after a deadlock or serialization failure.

    `work` must therefore do nothing outside the database.
    """
    for attempt in range(1, tries + 1):
        try:
            async with engine.begin() as connection:
                return await work(connection)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _REPEATABLE or attempt == tries:
                raise
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")
