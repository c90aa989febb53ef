"""Where this machine's own Temporal server listens: on other ports where its usual ones are taken."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Final

import psutil

from engine.store.embedded import data_folder

PORT: Final = 7233
FOLDER: Final = "temporal"
"""Of the server's database, log and claim, in the data folder."""


def claim_file(folder: Path) -> Path:
    """Held locked by the process that runs a server from this folder; its text is that of `claim_text`."""
    return folder / "temporal.lock"


def claim_text(pid: int, address: str) -> str:
    return json.dumps({"pid": pid, "address": address})


def running_server(folder: Path, claim: str) -> psutil.Process | None:
    """The server that a claim speaks of, if it runs; its pid may be another program's by now."""
    try:
        process = psutil.Process(int(_read(claim)["pid"]))
        mine = str(folder / "temporal.db") in shlex.join(process.cmdline())
    except (ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if mine else None


def local_address() -> str:
    """`host:port` of the server that runs from the data folder; the usual port if none does."""
    folder = data_folder() / FOLDER
    try:
        claim = claim_file(folder).read_text()
    except OSError:
        claim = ""
    if running_server(folder, claim) is not None:
        return str(_read(claim).get("address") or f"127.0.0.1:{PORT}")
    return f"127.0.0.1:{PORT}"


def _read(claim: str) -> dict[str, Any]:
    found = json.loads(claim)
    if not isinstance(found, dict):
        raise ValueError("not a claim")
    return found
