"""The embedded PostgreSQL: shared by processes, robust to `kill -9`, quick to give a database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from engine.store import embedded
from engine.store.embedded import EmbeddedPostgres

pytestmark = pytest.mark.integration

FAST = {"fsync": "off"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="kairos-embedded-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "shared", settings=FAST)
    server.ensure()
    yield server
    server.release()
    server.stop("immediate")


async def _value(url: str, sql: str) -> object:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(sql))).scalar_one()
    finally:
        await engine.dispose()


async def test_url_leads_to_a_postgresql_18_in_utf8_and_utc(server: EmbeddedPostgres) -> None:
    url = server.create_database("plain")
    assert str(await _value(url, "SHOW server_version")).startswith("18.")
    assert await _value(url, "SHOW server_encoding") == "UTF8"
    assert await _value(url, "SHOW timezone") == "UTC"
    assert await _value(url, "SELECT current_database()") == "plain"


async def test_data_survives_kill_9_and_the_url_stays(server: EmbeddedPostgres) -> None:
    url = server.create_database("survivor")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE kept AS SELECT 7 AS n"))
    await engine.dispose()

    server.kill()
    assert not server.answers()
    server.ensure()

    assert server.url("survivor") == url
    assert await _value(url, "SELECT n FROM kept") == 7


async def test_restart_comes_back_with_the_same_url(server: EmbeddedPostgres) -> None:
    url = server.url("postgres")
    before = await _value(url, "SELECT pg_postmaster_start_time()::text")
    server.restart()
    assert await _value(url, "SELECT pg_postmaster_start_time()::text") != before


def test_pid_file_that_names_another_living_program_does_not_stop_the_start(
    server: EmbeddedPostgres,
) -> None:
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    server.kill()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    server.ensure()
    assert server.answers()


async def test_folder_with_a_long_path_and_spaces_gets_a_short_socket(folder: Path) -> None:
    server = EmbeddedPostgres(folder / f"it's {'long ' * 25}", settings=FAST)
    try:
        server.ensure()
        url = server.create_database('it\'s "odd" 名')
        assert await _value(url, "SELECT current_database()") == 'it\'s "odd" 名'
    finally:
        server.stop("immediate")
        server.release()


async def test_copy_of_a_template_holds_its_tables(server: EmbeddedPostgres) -> None:
    engine = create_async_engine(server.create_database("pattern"))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE thing AS SELECT 1 AS n"))
    await engine.dispose()
    assert await _value(server.create_database("copy", template="pattern"), "SELECT n FROM thing") == 1


def test_creating_a_database_twice_keeps_it_and_dropping_twice_is_no_error(server: EmbeddedPostgres) -> None:
    assert server.create_database("twice") == server.create_database("twice")
    server.drop_database("twice")
    server.drop_database("twice")
    assert not server.has_database("twice")


def test_several_processes_start_one_server_and_the_last_to_release_stops_it(folder: Path) -> None:
    home = folder / "many"
    script = textwrap.dedent(
        """
        import sys
        from engine.store.embedded import EmbeddedPostgres, ensure
        print(ensure("shared"), flush=True)
        sys.stdin.readline()
        print(EmbeddedPostgres().release(), flush=True)
        """
    )
    environment = {**os.environ, "KAIROS_HOME": str(home)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(3)
    ]
    try:
        urls = {process.stdout.readline() for process in processes if process.stdout}
        assert len(urls) == 1, "three processes, one server"
        # One is killed: its use of the server ends without a word from it.
        processes[0].kill()
        processes[0].wait(10)
        stopped = [process.communicate("\n", timeout=60)[0].strip() for process in processes[1:]]
        assert stopped == ["False", "True"]
        assert not EmbeddedPostgres(home).answers()
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
        EmbeddedPostgres(home).stop("immediate")


def test_start_that_fails_shows_the_end_of_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_DEADLINE", 1.0)
    server = EmbeddedPostgres(folder / "broken", settings={"shared_buffers": "nonsense"})
    with pytest.raises(embedded.EmbeddedPostgresError, match=r"did not start within[\s\S]*shared_buffers"):
        server.ensure()
    server.release()


def test_kairos_home_decides_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAIROS_HOME", str(tmp_path))
    assert embedded.data_folder() == tmp_path
    monkeypatch.delenv("KAIROS_HOME")
    assert embedded.data_folder() == Path.home() / ".local" / "share" / "kairos"
