"""`kairos preview`: a message as customers would get it, and a test of it to oneself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project
from engine.content import Rules, TemplateSet
from engine.content.shown import NotThere, Preview, Wanted, shown
from engine.language.loader import load, plain_data
from engine.language.project import Project
from engine.language.variants import names_of, read_variants
from engine.sdk import ActionMistake
from engine.simulator.content_rules import rules_of
from engine.simulator.preview import preview as render_preview

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

FILES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Shown:
    """The message for one customer. `whom` says who that is, None for the profile of a file."""

    previews: list[Preview]
    whom: str | None = None
    note: str | None = None


def preview(
    message: Annotated[str, typer.Argument(help="The message's name: its folder under templates/.")],
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            help="YAML or JSON: a profile as in scenarios, with `trigger` if it is used. Or a customer of "
            "the database: any identifier, KIND:VALUE, or a profile id.",
        ),
    ] = None,
    segment: Annotated[
        str | None, typer.Option("--segment", help="Customers of the database who are in this segment.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many of the segment.")] = 3,
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel.")] = None,
    locale: Annotated[
        str | None, typer.Option("--locale", help="As if the customer's language were this.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="This variant, whatever its condition says; or generic.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the HTML of the e-mail into this file.")
    ] = None,
    send_to: Annotated[
        str | None,
        typer.Option("--send-to", help="Send it to this address, marked [Test], through --channel."),
    ] = None,
    project: Annotated[Path | None, typer.Option("--project", help="The project's folder.")] = None,
    format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Render a message for a customer, on every channel that it has.

    Exit code 1: it cannot be rendered for this customer, or the test was not accepted. 2: there is no such
    message, profile or project.
    """
    if format not in ("text", "json"):
        raise typer.BadParameter("expected text or json", param_hint="--format")
    if (profile is None) == (segment is None):
        raise typer.BadParameter(
            "say for whom: a file or a customer (`--profile ann`), or `--segment NAME`; one of them",
            param_hint="--profile",
        )
    if send_to is not None and (channel is None or segment is not None):
        raise typer.BadParameter("a test goes out for one --profile by one --channel", param_hint="--send-to")
    wanted = Wanted(channel, locale, variant)
    try:
        checked = check_folder(find_project(project))
        told = _sought(checked, message, wanted, profile, segment, limit)
    except (NoProject, ActionMistake, NotThere) as error:
        typer.echo(f"kairos preview: {error}", err=True)
        raise typer.Exit(2) from None
    if format == "json":
        typer.echo(json.dumps(_data(told, segment is not None), ensure_ascii=False, indent=2))
    else:
        for place, each in enumerate(told):
            for line in _lines(each):
                typer.echo(line)
            if place + 1 < len(told):
                typer.echo("")
    if html is not None:
        _write(html, told)
    failed = any(each.problem for one in told for each in one.previews)
    if send_to is not None and not failed:
        failed = not _send(checked, message, told[0].previews[0], send_to)
    raise typer.Exit(1 if failed or not told else 0)


def _sought(
    project: Project, message: str, wanted: Wanted, profile: str | None, segment: str | None, limit: int
) -> list[Shown]:
    variants = read_variants(project.templates)
    templates = TemplateSet(project.templates, project.installation.locale, names_of(variants))
    rules = {each: rules_of(project.installation, each)[0] for each in templates.channels(message)}
    if profile is None or not (Path(profile).is_file() or profile.endswith(FILES)):
        return _of_database(project, message, wanted, rules, profile, segment, limit)
    found = render_preview(
        templates,
        message,
        _profile(Path(profile)),
        datetime.now(UTC),
        catalogue=project.catalogue,
        installation=project.installation,
        wanted=wanted,
        variants=variants,
        rules=rules,
    )
    return [Shown(found)]


def _of_database(
    project: Project,
    message: str,
    wanted: Wanted,
    rules: Mapping[str, Rules],
    customer: str | None,
    segment: str | None,
    limit: int,
) -> list[Shown]:
    """The folder's templates for customers of the database."""
    from engine.cli.lookup import one_profile
    from engine.cli.segment import group_of
    from engine.cli.session import on_database
    from engine.customers import segments
    from engine.delivery.live_project import live_project
    from engine.delivery.previewing import seen_by
    from engine.store import clock

    found = live_project(project.templates, project.catalogue, project.installation)

    async def work(database: AsyncEngine) -> list[Shown]:
        async with database.connect() as connection:
            now = (await clock.load(connection)).now()
            if segment is not None:
                group = await group_of(connection, segment, None)
                people = await segments.preview(connection, group, now, limit)
            else:
                people = [await one_profile(connection, customer or "")]
            seen = await seen_by(connection, found, [person.id for person in people], message, now)
        return [
            Shown(
                shown(found.templates, message, each.context, each.variants, wanted, rules),
                person.external_id or person.id,
                each.note,
            )
            for person, each in zip(people, seen, strict=True)
        ]

    return on_database("preview", work)


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


def _data(told: list[Shown], several: bool) -> Any:
    if not several and told and told[0].whom is None:
        return [asdict(each) for each in told[0].previews]
    return [
        {"customer": each.whom, "note": each.note, "messages": [asdict(found) for found in each.previews]}
        for each in told
    ]


def _lines(found: Shown) -> Iterator[str]:
    if found.whom is not None:
        yield f"for {found.whom} ({found.note})"
    for each in found.previews:
        about = ", ".join(filter(None, (each.variant and f"as {each.variant}", each.sms, each.size)))
        yield f"{each.channel}" + (f" ({about})" if about else "")
        if each.problem is not None:
            yield f"  cannot be rendered: {each.problem}"
        for part, text in each.parts.items():
            yield f"  {part}:"
            for line in text.splitlines() or [""]:
                yield f"    {line}"


def _write(path: Path, told: list[Shown]) -> None:
    written = [each.parts["html"] for one in told for each in one.previews if "html" in each.parts]
    if not written:
        typer.echo("kairos preview: the message has no HTML", err=True)
        raise typer.Exit(2)
    try:
        path.write_text(written[0], encoding="utf-8")
    except OSError as error:
        typer.echo(f"kairos preview: {path}: {error.strerror}", err=True)
        raise typer.Exit(2) from None


def _send(project: Project, message: str, found: Preview, address: str) -> bool:
    """Whether the provider took the test."""
    from channels.errors import ConfigurationError
    from channels.receipt import Accepted
    from engine.cli.session import CommandError, on_database
    from engine.delivery.live_project import live_project
    from workers.trial import send_trial

    async def work(database: AsyncEngine) -> bool:
        try:
            live = live_project(project.templates, project.catalogue, project.installation)
            outcome = await send_trial(database, live, message, found, address)
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        if isinstance(outcome, Accepted):
            channel = project.installation.channel(found.channel)
            adapter = "one of its providers" if channel.routes else channel.adapter
            typer.echo(f"sent to {address} by {adapter}", err=True)
            return True
        typer.echo(f"not sent: {outcome}", err=True)
        return False

    return on_database("preview", work)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("preview")(preview)
