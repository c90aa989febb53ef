"""What the dormancy demo tells beside every demo's report."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from examples.running.records import Record, Records

JOURNEY = "nearing-dormancy"
_STAGES = sa.text("""
    SELECT coalesce(s.stage, 'aware') AS stage, count(*) AS customers
    FROM profiles p LEFT JOIN stages s ON s.profile_id = p.id
    WHERE p.merged_into IS NULL GROUP BY 1 ORDER BY 2 DESC
""")


async def stages(connection: AsyncConnection) -> str:
    """How many customers are in each stage."""
    found = (await connection.execute(_STAGES)).all()
    return "stages: " + ", ".join(f"{row.customers:,} {row.stage}" for row in found)


def reached(live: Records, at: datetime) -> RenderableType | None:
    """Who was reached before they went quiet, and who bought again within the goal's time."""
    found = [record for record in live.values() if record.key.journey == JOURNEY]
    written_to = [record for record in found if record.messages]
    held_out = [record for record in found if record.holdout]
    nobody = [record for record in found if not record.messages and not record.holdout]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_row("reached by a message", _bought(written_to))
    table.add_row("held out", _bought(held_out))
    table.add_row("not to be reached", _bought(nobody))
    for month in sorted({record.entered_at[:7] for record in found}):
        part = [record for record in written_to if record.entered_at.startswith(month)]
        table.add_row(f"reached in {month}", _bought(part))
    return Panel(table, title="[bold]Who bought again within two weeks[/]", title_align="left", expand=True)


def _bought(records: Iterable[Record]) -> str:
    known = list(records)
    again = sum(record.converted_at is not None for record in known)
    share = f"  [dim]({100 * again / len(known):.1f} %)[/]" if known else ""
    return f"{again} of {len(known)}{share}"
