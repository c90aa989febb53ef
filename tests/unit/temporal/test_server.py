"""Where Temporal's program comes from, and how its server is run."""

from __future__ import annotations

import asyncio
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from engine.temporal import found, server

FAKE_TEMPORAL = '#!/bin/sh\necho "temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)"\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache, an empty PATH but for `bin`, and no download site."""

    def unreachable(*_: object, **__: object) -> httpx.Response:
        raise httpx.ConnectError("no route to host")

    monkeypatch.setattr(httpx, "get", unreachable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    return tmp_path


def fake_go(folder: Path, install: str, version: str = "go1.26.8", toolchain: str = "auto") -> None:
    program(
        folder / "bin" / "go",
        f'#!/bin/sh\nif [ "$1" = env ]; then echo {version}; echo {toolchain}; exit 0; fi\n{install}\n',
    )


BUILDS = f"""echo go: downloading x v1 >&2
echo some/package >&2
cat > $GOBIN/temporal <<'END'
{FAKE_TEMPORAL}END
chmod +x $GOBIN/temporal"""


def quiet(_: str) -> None:
    pass


def test_address_of_a_running_server_comes_first(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(nothing / "bin" / "temporal", FAKE_TEMPORAL)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
    assert found.find(quiet).address == "temporal.example:7233"


def test_program_on_path_comes_before_the_copy_built_earlier(nothing: Path) -> None:
    built = program(found.cache_folder() / found.CLI_VERSION / "temporal", FAKE_TEMPORAL)
    assert found.find(quiet).program == built
    on_path = program(nothing / "bin" / "temporal", FAKE_TEMPORAL)
    result = found.find(quiet)
    assert result.program == on_path
    assert str(result) == f"Temporal server 1.29.1 ({on_path}, on PATH)"


def test_copy_built_earlier_comes_before_a_build(nothing: Path) -> None:
    fake_go(nothing, "exit 9")
    program(found.cache_folder() / found.CLI_VERSION / "temporal", FAKE_TEMPORAL)
    assert "built earlier" in found.find(quiet).source


def test_copy_downloaded_earlier_is_used(nothing: Path) -> None:
    program(found.cache_folder() / "download" / "temporal-sdk-python-1.35.0", FAKE_TEMPORAL)
    assert "downloaded earlier" in found.find(quiet).source


def test_program_that_does_not_run_is_passed_over(nothing: Path) -> None:
    program(nothing / "bin" / "temporal", "#!/bin/sh\nexit 3\n")
    built = program(found.cache_folder() / found.CLI_VERSION / "temporal", FAKE_TEMPORAL)
    assert found.find(quiet).program == built


def test_download_is_taken_before_a_build_and_kept(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reachable(*_: object, **__: object) -> httpx.Response:
        return httpx.Response(200, request=httpx.Request("GET", found.DOWNLOADS))

    async def fetch(folder: Path) -> None:
        program(folder / "temporal-sdk-python-1.35.0", FAKE_TEMPORAL)

    monkeypatch.setattr(httpx, "get", reachable)
    monkeypatch.setattr(found, "_fetch_by_sdk", fetch)
    fake_go(nothing, "exit 9")
    assert "downloaded now" in found.find(quiet).source
    assert "downloaded earlier" in found.find(quiet).source


def test_download_that_breaks_off_leads_on_to_the_build(
    nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reachable(*_: object, **__: object) -> httpx.Response:
        return httpx.Response(200, request=httpx.Request("GET", found.DOWNLOADS))

    async def fetch(folder: Path) -> None:
        raise RuntimeError("connection reset")

    monkeypatch.setattr(httpx, "get", reachable)
    monkeypatch.setattr(found, "_fetch_by_sdk", fetch)
    with pytest.raises(found.TemporalNotFound, match="download failed: connection reset"):
        found.find(quiet)
    fake_go(nothing, BUILDS)
    assert "built now" in found.find(quiet).source


def test_build_is_kept_for_the_next_start(nothing: Path) -> None:
    fake_go(nothing, BUILDS)
    said: list[str] = []
    result = found.find(said.append)
    assert "built now" in result.source
    assert "Building Temporal" in said[0]
    assert "built earlier" in found.find(quiet).source
    left = {path.name for path in (found.cache_folder() / found.CLI_VERSION).iterdir()}
    assert left == {"temporal"}, "nothing of the build stays behind"


def test_two_processes_build_once(nothing: Path) -> None:
    fake_go(nothing, f"echo x >> {nothing}/builds; sleep 0.5; {BUILDS}")
    threads = [threading.Thread(target=found.find, args=(quiet,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (nothing / "builds").read_text() == "x\n"


def test_build_that_fails_leaves_nothing_and_shows_its_last_lines(nothing: Path) -> None:
    fake_go(nothing, "echo go: module lookup disabled >&2; exit 1")
    with pytest.raises(found.TemporalNotFound, match="module lookup disabled"):
        found.find(quiet)
    assert list((found.cache_folder() / found.CLI_VERSION).iterdir()) == []


@pytest.mark.parametrize(
    ("version", "toolchain", "builds"),
    [
        ("go1.25.0", "local", True),
        ("go1.21.3", "auto", True),
        ("go1.24.9", "local", False),
        ("go1.19.2", "", False),
    ],
)
def test_go_is_used_only_if_new_enough_or_able_to_fetch_a_newer(
    nothing: Path, version: str, toolchain: str, builds: bool
) -> None:
    fake_go(nothing, BUILDS, version, f'"{toolchain}"')
    if builds:
        assert "built now" in found.find(quiet).source
    else:
        with pytest.raises(found.TemporalNotFound, match=rf"is {version}; building Temporal needs Go 1\.25"):
            found.find(quiet)


def test_machine_with_no_way_hears_of_them_all(nothing: Path) -> None:
    with pytest.raises(found.TemporalNotFound) as error:
        found.find(quiet)
    for way in ("TEMPORAL_ADDRESS", "on PATH", "earlier run", "temporal.download", "Go is not on PATH"):
        assert way in str(error.value)


def test_wanted_port_is_given_if_free_and_another_if_not() -> None:
    free = server.port_near(0)
    assert server.port_near(free) == free
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free))
        listener.listen()
        assert server.port_near(free) != free


@pytest.mark.integration
async def test_workflows_survive_kill_9_and_are_found_by_their_search_attribute(tmp_path: Path) -> None:
    running = await server.start_server(tmp_path)
    try:
        client = await Client.connect(running.address)
        key = SearchAttributeKey.for_keyword("KairosJourney")
        await client.start_workflow(
            "anything",
            id="kept",
            task_queue="nobody",
            search_attributes=TypedSearchAttributes([SearchAttributePair(key, "unpaid-cart")]),
        )
        running.kill()
        await running.start_again()

        client = await Client.connect(running.address)
        async with asyncio.timeout(30):
            while not (await client.count_workflows("KairosJourney = 'unpaid-cart'")).count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        # Asked for again, they stay as they are.
        await server.add_search_attributes(client)
        assert running.ui_url is not None
        assert (await asyncio.to_thread(httpx.get, running.ui_url, follow_redirects=True)).status_code == 200
    finally:
        running.stop()


@pytest.mark.integration
async def test_second_server_on_one_folder_is_refused_and_an_orphan_is_ended(tmp_path: Path) -> None:
    first = await server.start_server(tmp_path)
    with pytest.raises(server.TemporalServerError, match="another process runs Temporal"):
        await server.start_server(tmp_path)
    # As if our process had been killed: its lock is gone, its server still runs.
    assert first._claim is not None
    assert first.process is not None
    first._claim.close()
    first._claim = None

    second = await server.start_server(tmp_path)
    try:
        assert first.process.wait(10) is not None
        assert second.process is not None
        assert second.process.poll() is None
    finally:
        second.stop()


@pytest.mark.integration
async def test_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    broken = program(tmp_path / "temporal", "#!/bin/sh\necho cannot open the database\nexit 4\n")
    with pytest.raises(server.TemporalServerError, match=r"with code 4[\s\S]*cannot open the database"):
        await server.start_server(tmp_path / "data", found=found.Found("test", "1.29.1", program=broken))
    # And its folder is free again.
    running = await server.start_server(tmp_path / "data")
    running.stop()


async def test_foreign_address_that_is_dead_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_DEADLINE", 2.0)
    port = server.port_near(0)
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(server.TemporalServerError, match=f"TEMPORAL_ADDRESS=127.0.0.1:{port}"):
        await server.start_server(None)
