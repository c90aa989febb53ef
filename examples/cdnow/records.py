"""The purchases as they lie in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = Path(__file__).parent / "data" / "cdnow_sample.txt"


@dataclass(frozen=True, slots=True)
class Purchase:
    """One line: `customer` is the id within the sample, `at` the day's beginning (the file has no times)."""

    customer: str
    at: datetime
    discs: int
    total: float


def purchases(file: Path = FILE) -> Iterator[Purchase]:
    """All purchases, in the order of the file: a customer's together, oldest first."""
    with file.open(encoding="ascii") as lines:
        for line in lines:
            _, customer, day, discs, total = line.split()
            at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            yield Purchase(customer, at, int(discs), float(total))
