"""`kairos preview`: a message as one customer would get it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project
from engine.content import TemplateSet
from engine.language.loader import load, plain_data
from engine.language.project import Project
from engine.sdk import ActionMistake
from engine.simulator.preview import Preview
from engine.simulator.preview import preview as render_preview


def preview(
    message: Annotated[str, typer.Argument(help="The message's name: its folder under templates/.")],
    profile: Annotated[
        Path,
        typer.Option(
            "--profile", help="YAML or JSON: a profile as in scenarios, with `trigger` if it is used."
        ),
    ],
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel.")] = None,
    project: Annotated[Path | None, typer.Option("--project", help="The project's folder.")] = None,
    format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Render a message for one customer, on every channel that it has.

    Exit code 1: it cannot be rendered for this customer. 2: there is no such message, profile or project.
    """
    if format not in ("text", "json"):
        raise typer.BadParameter("expected text or json", param_hint="--format")
    try:
        checked = check_folder(find_project(project))
        found = _preview(checked, message, channel, _profile(profile))
    except (NoProject, ActionMistake) as error:
        typer.echo(f"kairos preview: {error}", err=True)
        raise typer.Exit(2) from None
    if format == "json":
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
    else:
        for each in found:
            _print(each)
    raise typer.Exit(1 if any(each.problem for each in found) else 0)


def _preview(project: Project, message: str, channel: str | None, given: dict[str, Any]) -> list[Preview]:
    templates = TemplateSet(project.templates)
    try:
        return render_preview(
            templates,
            message,
            given,
            datetime.now(UTC),
            catalogue=project.catalogue,
            installation=project.installation,
            channel=channel,
        )
    except KeyError:
        known = templates.channels(message)
        if known:
            raise NoProject(f"`{message}` is not there for {channel}; it is for {', '.join(known)}") from None
        names = ", ".join(templates.messages()) or "none"
        raise NoProject(f"there is no message `{message}`; there are: {names}") from None


def _profile(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NoProject(f"{path}: {error}") from None
    if path.suffix == ".json":
        try:
            data = json.loads(text)
        except ValueError as error:
            raise NoProject(f"{path}: not JSON: {error}") from None
    else:
        root, reporter = load(str(path), text)
        if root is None or reporter.failed:
            first = reporter.found[0].message if reporter.found else "empty"
            raise NoProject(f"{path}: {first}")
        data = plain_data(root)
    if not isinstance(data, dict):
        raise NoProject(f"{path}: expected a mapping, as `profile` in scenarios")
    return data


def _print(found: Preview) -> None:
    typer.echo(f"{found.channel}" + (f" ({found.sms})" if found.sms else ""))
    if found.problem is not None:
        typer.echo(f"  cannot be rendered: {found.problem}")
    for part, text in found.parts.items():
        typer.echo(f"  {part}:")
        for line in text.splitlines() or [""]:
            typer.echo(f"    {line}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("preview")(preview)
