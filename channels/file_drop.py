"""`file_drop`: changes of an audience as files in a folder, for every provider without an adapter.

One file a batch, `AUDIENCE-000000000017.csv`: `operation` (`add` or `remove`), then one column a kind with
the hash of that identifier. Files are to be read in the order of their names. A file appears whole under
its name, or not at all.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import DirectoryPath, Field

from channels.audiences import AudienceAdapter, Member, normal_email, phone_digits, sha256
from channels.errors import Unavailable
from channels.pacing import Outcome
from channels.port import Settings
from channels.receipt import Accepted


class FileDropSettings(Settings):
    folder: DirectoryPath = Field(description="Where the files go; it must be there")


class FileDropAdapter(AudienceAdapter):
    """Writes changes to a folder."""

    name = "file_drop"
    kinds = ("email", "phone", "external_id")
    batch = 100_000
    Settings = FileDropSettings
    settings: FileDropSettings

    def __init__(self, audience: str, settings: Any) -> None:
        super().__init__(audience, settings)

    def digests(self, identifiers: Mapping[str, str]) -> dict[str, str]:
        found = {}
        if "@" in (email := normal_email(identifiers.get("email", ""))):
            found["email"] = sha256(email)
        if phone := phone_digits(identifiers.get("phone", "")):
            found["phone"] = sha256(phone)
        if own := identifiers.get("external_id", "").strip():
            found["external_id"] = sha256(own)
        return found

    async def change(
        self, additions: Sequence[Member], removals: Sequence[Member], number: int
    ) -> Sequence[Outcome]:
        everybody = len(additions) + len(removals)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["operation", *(f"{kind}_sha256" for kind in self.kinds)])
        # Off before on: what two people share is on in the end.
        for operation, members in (("remove", removals), ("add", additions)):
            for member in members:
                columns = [member.digests.get(kind, ()) for kind in self.kinds]
                writer.writerows([operation, *row] for row in zip_longest(*columns, fillvalue=""))
        path = self.settings.folder / f"{self.audience}-{number:012}.csv"
        try:
            await asyncio.to_thread(_write, path, text.getvalue())
        except OSError as error:
            return [Unavailable(f"the file could not be written: {type(error).__name__}")] * everybody
        return [Accepted(path.name)] * everybody


def _write(path: Path, text: str) -> None:
    """The whole file under its name, or nothing, whatever happens meanwhile."""
    unfinished = path.with_name(f".{path.name}.part")
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
