"""`kairos simulate`: a journey over past events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project
from engine.core.words import EXITS, reason_in_words
from engine.sdk import ActionMistake
from engine.simulator import JourneyReport, Report, Tally
from engine.simulator import simulate as simulate_stream


def simulate(
    journey: Annotated[str, typer.Argument(help="The journey's name.")],
    events: Annotated[
        Path, typer.Option("--events", help="JSON lines shaped as /v1/track and /v1/identify bodies.")
    ],
    profiles: Annotated[
        Path | None,
        typer.Option(
            "--profiles", help="JSON lines shaped as /v1/identify bodies, known before the first event."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", help="Stop at this instant (ISO 8601) instead of at the last end."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="The journey goes live at this instant; what came before is history.",
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--source", help="Source in event ids: that of a write key, to compare with a live run."
        ),
    ] = "simulate",
    project: Annotated[Path | None, typer.Option("--project", help="The project's folder.")] = None,
    format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Run a journey over past events and count who would have entered, been sent what, and how it ended.

    Nothing is rendered and nothing is sent. Exit code 2: it could not be run.
    """
    if format not in ("text", "json"):
        raise typer.BadParameter("expected text or json", param_hint="--format")
    end, begin = _instant(until, "--until"), _instant(since, "--since")
    try:
        found = check_folder(find_project(project))
        if journey not in found.plans:
            raise NoProject(_no_journey(journey, found.errors, found.plans))
        messages = [*_known(profiles, _lines(events)), *_lines(events)] if profiles else _lines(events)
        report = simulate_stream(found, [journey], messages, end, source, since=begin)
    except (NoProject, ActionMistake) as error:
        typer.echo(f"kairos simulate: {error}", err=True)
        raise typer.Exit(2) from None
    for bad in report.unreadable[:10]:
        typer.echo(f"warning: message {bad.place} left out: {bad.reason}", err=True)
    if len(report.unreadable) > 10:
        typer.echo(f"warning: {len(report.unreadable) - 10} more messages left out", err=True)
    if format == "json":
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        for line in report_lines(report):
            typer.echo(line)


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected an instant such as 2026-11-11T10:00Z", param_hint=option) from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _no_journey(name: str, errors: Any, plans: Any) -> str:
    of_it = [error for error in errors if error.path == f"journeys/{name}.yaml"]
    if of_it:
        return f"journeys/{name}.yaml has mistakes; `kairos check` shows them"
    return f"there is no journey `{name}`; there are: {', '.join(sorted(plans)) or 'none'}"


def _lines(path: Path) -> Iterator[object]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError:
                        raise NoProject(f"{path}:{number}: not JSON; every line is one message") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NoProject(f"{path}: {error}") from None


def _known(path: Path, events: Iterator[object]) -> Iterator[object]:
    """Profiles as `identify` messages at the instant of the first event, before it."""
    stamps = [event["timestamp"] for event in events if isinstance(event, dict) and "timestamp" in event]
    first = min(stamps, key=_sortable, default="1970-01-01T00:00:00Z")
    for number, profile in enumerate(_lines(path), start=1):
        if isinstance(profile, dict):
            yield {**profile, "type": "identify", "timestamp": first, "messageId": f"profile-{number}"}


def _sortable(stamp: object) -> datetime:
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# --- text -----------------------------------------------------------------------------------------------


def report_lines(report: Report) -> Iterator[str]:
    """The report in the terminal."""
    yield f"{report.messages} messages of {report.people} people"
    for journey in report.journeys.values():
        yield ""
        yield from _journey_lines(journey)


def _journey_lines(found: JourneyReport) -> Iterator[str]:
    share = _share(found.converted, found.entered)
    yield f"{found.journey}: {found.entered} entered, {found.converted} converted{share}"
    for reason, count in sorted(found.refused.items()):
        yield f"  {count} entries refused: {reason.replace('_', ' ')}"
    if found.live:
        yield f"  {found.live} still under way"
    yield from _table("steps begun", found.steps)
    yield from _table("messages", found.sent)
    for channel, hours in sorted(found.hours.items()):
        busy = "  ".join(f"{hour:02d}h {count}" for hour, count in enumerate(hours) if count)
        yield f"    {channel} by hour: {busy}"
    yield from _table("messages skipped", {reason_in_words(name): n for name, n in found.skipped.items()})
    yield from _table("exits", {EXITS.get(name, name): n for name, n in found.exits.items()})
    for split, variants in found.variants.items():
        yield f"  split {split}"
        for name, tally in variants.items():
            yield f"    {name}: {_tally(tally)}"
    if found.holdout.entered:
        yield f"  holdout: {_tally(found.holdout)}; everybody else: {_tally(found.treated)}"


def _table(title: str, counts: dict[str, int]) -> Iterator[str]:
    if counts:
        yield f"  {title}"
        width = max(map(len, counts))
        for name, count in counts.items():
            yield f"    {name:<{width}}  {count}"


def _tally(tally: Tally) -> str:
    return f"{tally.converted} of {tally.entered} converted{_share(tally.converted, tally.entered)}"


def _share(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.1f} %)" if whole else ""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("simulate")(simulate)
