"""The report at the end of the demo, in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.core.plan import Plan, Split
from engine.core.words import EXITS
from examples.running.differences import Difference
from examples.running.records import Record, Records

SHOWN_DIFFERENCES = 20


def journeys(records: Records, plans: dict[str, Plan], at: datetime) -> Group:
    """What each journey that somebody entered came to: as it stood at the logical instant `at`, and in the
    end."""
    entered = {record.key.journey for record in records.values()}
    return Group(*(_journey(plans[name], _of(records, name), at) for name in sorted(entered & plans.keys())))


def _of(records: Records, journey: str) -> list[Record]:
    return [record for record in records.values() if record.key.journey == journey]


def _journey(plan: Plan, records: Sequence[Record], at: datetime) -> Panel:
    waiting = sum(_waits(record, at) for record in records)
    converted = sum(record.converted_at is not None for record in records)
    sent = Counter(message.channel for record in records for message in record.messages)
    exits = Counter(record.exit or "still waiting" for record in records)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_row("entered", f"[bold]{len(records)}[/], of them {waiting} waiting on {at:%d %B}")
    table.add_row("messages", _counted(sent) or "none")
    table.add_row("exits", _counted(Counter({EXITS.get(name, name): n for name, n in exits.items()})))
    table.add_row("converted", _rate(converted, len(records)))
    for row in _tests(plan, records):
        table.add_row(*row)
    return Panel(table, title=f"[bold]{plan.journey}[/] · {plan.title}", title_align="left", expand=True)


def _waits(record: Record, at: datetime) -> bool:
    if datetime.fromisoformat(record.entered_at) > at:
        return False
    return record.ended_at is None or datetime.fromisoformat(record.ended_at) > at


def _tests(plan: Plan, records: Iterable[Record]) -> Iterator[tuple[str, str]]:
    treated = [record for record in records if not record.holdout]
    for step in plan.steps.values():
        if isinstance(step, Split):
            for variant in step.variants:
                took = [record for record in treated if record.variants.get(step.id) == variant.name]
                yield f"{step.id}: {variant.name}", _conversion(took)
    if plan.holdout:
        yield "holdout", _conversion([record for record in records if record.holdout])
        yield "everybody else", _conversion(treated)


def _conversion(records: Sequence[Record]) -> str:
    return _rate(sum(record.converted_at is not None for record in records), len(records))


def _rate(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f"  [dim]({100 * part / whole:.1f} %)[/]" if whole else "")


def _counted(counts: Counter[str]) -> str:
    return " · ".join(f"{name} [bold]{count}[/]" for name, count in counts.most_common())


def verdict(differences: Sequence[Difference], records: Records) -> RenderableType:
    """Whether the live run and the simulation agree, with what differs."""
    if not differences:
        lines = sum(len(record.trace) for record in records.values())
        sent = sum(len(record.messages) for record in records.values())
        return Text.from_markup(
            f"[bold green]✓ the same as kairos simulate says[/], compared one by one: "
            f"{len(records)} enrolments, {sent} messages, {lines} trace lines"
        )
    affected = len({difference.key for difference in differences})
    shown = [Text(f"  ≠ {difference}") for difference in differences[:SHOWN_DIFFERENCES]]
    more = len(differences) - len(shown)
    rest = [Text(f"  and {more} more differences")] if more > 0 else []
    head = f"✗ {affected} of {len(records)} enrolments differ from what kairos simulate says"
    return Group(Text(head, style="bold red"), *shown, *rest)
