"""The demos in small: real servers, real HTTP, every enrolment compared with the simulation."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder outside pytest's own, which the account that runs PostgreSQL may not walk."""
    folder = Path(tempfile.mkdtemp(prefix="kairos-demo-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def demo(home: Path, of: str = "shop", **options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"examples.{of}.demo"],
        cwd=ROOT,
        env={**os.environ, "KAIROS_HOME": str(home), "COLUMNS": "120", **options},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("driver", ["workflow", "pool"])
def test_three_days_of_may_come_out_as_simulated(home: Path, driver: str) -> None:
    running = demo(home, DEMO_DAYS="3", DEMO_HOURS="12", DEMO_GRACE="12", DRIVER=driver)
    said, _ = running.communicate(timeout=240)
    assert running.returncode == 0, said
    assert "the same as kairos simulate says" in said
    for journey in ("unpaid-cart", "welcome", "win-back"):
        assert f"{journey} · " in said


@pytest.mark.timeout(400)
def test_a_week_of_real_customers_comes_out_as_simulated(home: Path) -> None:
    running = demo(home, "cdnow", DEMO_DAYS="7", DEMO_HOURS="96", DEMO_GRACE="12")
    said, _ = running.communicate(timeout=380)
    assert running.returncode == 0, said
    assert "the same as kairos simulate says" in said
    assert "2,357 rows, 2,357 new customers" in said
    assert "Who bought again" in said
    for stage in ("lost", "repeat", "loyal", "nearing-dormancy"):
        assert stage in said.rpartition("stages: ")[2].partition("\n")[0]


@pytest.mark.timeout(300)
def test_what_providers_took_and_people_did_with_their_carts_is_on_record(home: Path) -> None:
    running = demo(home, "cart")
    said, _ = running.communicate(timeout=240)
    assert running.returncode == 0, said
    assert "what the providers took and the people did is what is on record" in said
    assert "handed over by sms" in said
    for deed in ("followed", "delivered", "bounced", "clicked", "scanned", "bought", "stopped"):
        assert f" {deed}" in said


@pytest.mark.timeout(300)
def test_ctrl_c_stops_everything_that_the_demo_started(home: Path) -> None:
    running = demo(home, DEMO_DAYS="3", DEMO_HOURS="1")
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line)
        if "pass in a second" in line:
            break
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 130, "".join(said) + rest
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(home) not in left


def test_an_unknown_driver_is_refused_in_words(home: Path) -> None:
    running = demo(home, DRIVER="magic")
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "there is no such driver" in " ".join(said.split())
    assert "Traceback" not in said
