"""`file_drop` keeps to the port of audiences."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from channels.file_drop import FileDropAdapter
from channels.testing.audience_conformance import AudienceConformance, AudienceProvider


class Folder(AudienceProvider):
    """Reads the files as whoever picks them up does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self) -> Mapping[str, Any]:
        return {"folder": str(self.folder)}

    def hashes(self) -> set[str]:
        found: set[str] = set()
        for path in sorted(self.folder.glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    hashes = {value for name, value in row.items() if name != "operation" and value}
                    found = found | hashes if row["operation"] == "add" else found - hashes
        return found


class TestFileDrop(AudienceConformance[AudienceProvider]):
    adapter = FileDropAdapter
    wrong_settings = {"folder": {"folder": "/no/such/folder"}}  # noqa: RUF012

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AudienceProvider]:
        with tempfile.TemporaryDirectory() as folder:
            yield Folder(Path(folder))
