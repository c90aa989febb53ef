"""Hostile files and hostile values: a clear error in bounded time and memory, and nobody else disturbed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from channels.testing.sink import FakeHttpSink
from engine.store import deliveries
from tests.integration.faults.trial import START, path_project, replay, track
from tests.integration.harness import kairos
from tests.integration.processes import ROOT

MEGABYTE = 1024 * 1024
MOST_MEMORY = 1_000 * MEGABYTE
DEADLINE = 60
"""Seconds. All of these take one or two; this is only where a test stops waiting for a hang."""

LOOP = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}\n"
DOUBLING = "{% set ns = namespace(t='x') %}{% for a in range(64) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}\n"
JOURNEY = "journey: big\ntrigger: {event: order.placed}\nsteps:\n  - {id: rest, wait: {for: 1h}}\n"

EXPRESSIONS = {
    "sum": "1" + " + 1" * 2_500 + " > 0",
    "brackets": "(" * 5_000 + "1" + ")" * 5_000,
    "nots": "not " * 2_500 + "true",
}
FILES = {
    "one-line": JOURNEY + "description: " + "very long " * 5_000_000,
    "many-steps": JOURNEY + "".join(f"  - {{id: s{n}, wait: {{for: 1h}}}}\n" for n in range(200_000)),
    "brackets": JOURNEY + "description: " + "[" * 200_000,
    "aliases": JOURNEY + "description: &a [" + "x, " * 50 + "]\nmore: [*a, *a, *a]\n",
}


def check(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`kairos check` with a bound on its memory."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

    return subprocess.run(
        [sys.executable, "-c", "from engine.cli.main import main; main()", "check", "--project", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=bounded,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    assert "mistake of ours" not in text
    assert len(text) < 20_000, "the report itself is enormous"
    return text


def test_expressions_of_10_000_characters_are_clear_mistakes(tmp_path: Path) -> None:
    files = path_project("http://127.0.0.1:9")
    for name, text in EXPRESSIONS.items():
        journey = files["journeys/path.yaml"].replace("journey: path", f"journey: {name}")
        assert "where: trigger.total >= 100" in journey
        files[f"journeys/{name}.yaml"] = journey.replace("where: trigger.total >= 100", f"where: {text}")
    done = check(tmp_path, files)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = said(done).splitlines()
    for name in EXPRESSIONS:
        assert [line for line in lines if f"journeys/{name}.yaml:" in line and "error[J5" in line], name


def test_enormous_files_are_clear_mistakes(tmp_path: Path) -> None:
    files = {f"journeys/{name}.yaml": text for name, text in FILES.items()}
    done = check(tmp_path, path_project("http://127.0.0.1:9") | files)
    assert done.returncode == 1, done.stdout[-500:] + done.stderr[-500:]
    lines = said(done).splitlines()
    for name in files:
        assert [line for line in lines if f"{name}:" in line and "error[J" in line], name


async def test_templates_that_do_not_end_skip_their_messages_and_hold_up_nobody(
    database_url: str, temporal_address: str
) -> None:
    """Whether they end depends on the customer: no check can see it, rendering must stop by itself."""
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        hostile = "{% if trigger.total == 100 %}" + LOOP + "{% elif trigger.total == 150 %}" + DOUBLING
        files["templates/note/webhook.json.j2"] = (
            hostile + "{% endif %}" + files["templates/note/webhook.json.j2"]
        )
        messages = [
            track(f"c{n}", "order.placed", timedelta(0), f"m{n}", order_id=f"o{n}", total=50 + 50 * n)
            for n in range(3)
        ]
        async with kairos(database_url, temporal_address, start=START, speed=14_400, files=files) as running:
            await replay(running, messages)
            ended = await running.ended(3)
            async with running.database.connect() as connection:
                found = await deliveries.of_enrolments(connection, [e.id for e in ended])
        assert {e.exit for e in ended} == {"completed"}
        rows = {e.trigger["order_id"]: {(row.state, row.reason) for row in found[e.id]} for e in ended}
        assert rows == {
            "o0": {("accepted", None)},
            "o1": {("skipped", "render")},
            "o2": {("skipped", "render")},
        }
        # Three messages and a webhook step of the one, and only the webhook step of the others.
        assert len(sink.ledger.ids) == 4 + 1 + 1
