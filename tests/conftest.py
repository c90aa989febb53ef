"""What all tests share: one embedded PostgreSQL and one Temporal a run, a fresh database a test.

Both servers live in a folder of their own (`KAIROS_HOME` of the run, which child processes inherit), start
when the first test asks for them and are stopped at the end.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from engine.store.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from engine.temporal.server import RunningServer

# No test asserts a time: these machines are noisy, and Hypothesis would count that as a failure.
settings.register_profile("kairos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kairos")

# Systems that journeys call run on this machine in tests.
os.environ["KAIROS_ALLOW_PRIVATE"] = "1"

# Data of tests is thrown away: losing it in a power cut is no loss, and no `fsync` is a good deal faster.
FAST_AND_LOOSE = {"fsync": "off", "full_page_writes": "off"}

EXIT_STATUS = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def kairos_home() -> Iterator[Path]:
    """The data folder of this run, set as `KAIROS_HOME`."""
    folder = Path(tempfile.mkdtemp(prefix="kairos-test-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAIROS_HOME", str(folder))
        patch.delenv("DATABASE_URL", raising=False)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(kairos_home: Path) -> Iterator[EmbeddedPostgres]:
    """The server of this run. A test that stops or kills it must start it again."""
    server = EmbeddedPostgres(kairos_home, settings=FAST_AND_LOOSE)
    server.ensure()
    yield server
    server.stop("immediate")


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """Name of a migrated database that is copied for each test: a copy takes 0.1 s, migrations more."""
    name = "template_kairos"
    url = postgres.create_database(name)
    database = importlib.import_module("engine.store.database")

    async def migrate() -> None:
        engine = database.open_database(url)
        try:
            await database.upgrade(engine)
        finally:
            await engine.dispose()

    # In a thread: a test's event loop may exist already in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, migrate()).result(timeout=120)
    return name


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres, migrated_template: str) -> Callable[[], str]:
    """Makes a fresh migrated database at each call and returns its URL."""

    def make() -> str:
        return postgres.create_database(f"test_{uuid.uuid4().hex}", template=migrated_template)

    return make


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, new_database: Callable[[], str]) -> Iterator[str]:
    """URL of a fresh migrated database, gone after the test."""
    url = new_database()
    yield url
    name = url.partition("@/")[2].partition("?")[0]
    if postgres.answers():
        postgres.drop_database(name)


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a fresh database without any table, gone after the test."""
    name = f"empty_{uuid.uuid4().hex}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def temporal(kairos_home: Path) -> Iterator[RunningServer]:
    """Temporal of this run, in memory, on free ports. Tests that stop a server start their own."""
    # Here, so that tests without Temporal need not wait for its import.
    from engine.temporal.server import start_server

    with ThreadPoolExecutor(1) as pool:
        server = pool.submit(asyncio.run, start_server(None)).result(timeout=1200)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def temporal_address(temporal: RunningServer) -> str:
    return temporal.address


def pytest_configure(config: pytest.Config) -> None:
    # A developer's own settings must not leak into the tests.
    for name in ("DATABASE_URL", "KAIROS_PROJECT"):
        os.environ.pop(name, None)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many generated enrolments were held against the simulator."""
    passed = terminalreporter.stats.get("passed", ())
    compared = [count for report in passed for name, count in report.user_properties if name == "compared"]
    if compared:
        terminalreporter.write_line(f"{sum(compared):,} generated enrolments ran as they were simulated")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # Temporal's SDK now and then crashes while Python ends, after all work is done, and then the exit code
    # lies (sdk-python issue 300). Everything is reported and written by now.
    if "temporalio.bridge.temporal_sdk_bridge" in sys.modules and EXIT_STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[EXIT_STATUS])
