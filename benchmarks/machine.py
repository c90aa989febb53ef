"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from engine.temporal.found import Found


def machine() -> list[str]:
    """Lines about this computer and what runs on it."""
    one, five, _ = os.getloadavg()
    return [
        f"CPU: {_cpu()}, {psutil.cpu_count()} cores",
        f"memory: {psutil.virtual_memory().total / 2**30:.0f} GiB",
        f"system: {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, temporalio {version('temporalio')}, "
        f"asyncpg {version('asyncpg')}, SQLAlchemy {version('sqlalchemy')}",
        f"commit {_commit()}",
        f"load before the run: {one:.1f} over 1 minute, {five:.1f} over 5 minutes",
    ]


def servers(found: Found, postgres: str) -> list[str]:
    """Lines about the servers and their settings."""
    return [
        f"Temporal server {found.version}: development server with a file, journal_mode=wal, synchronous=1, "
        "rate limits raised, UI on",
        postgres,
    ]


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    folder = Path(__file__).parent
    words = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
