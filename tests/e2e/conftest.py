"""A real browser. Without Chromium these tests are skipped, and say so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)

Browse = Callable[[str], str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Opens an address in Chromium, lets it run for three seconds, and returns the page as it then is."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")

    def opened(address: str) -> str:
        done = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                f"--user-data-dir={tmp_path}",
                "--virtual-time-budget=3000",
                "--dump-dom",
                address,
            ],
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        return done.stdout

    return opened
