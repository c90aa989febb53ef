"""`kairos diagram`: a journey as a picture."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project
from engine.cli.session import ProjectOption, refuse
from engine.core.codec import plan_to_json
from engine.core.plan import Plan
from engine.diagram import mermaid, svg
from engine.sdk import ActionMistake


class Picture(StrEnum):
    """What is drawn: a picture, a Mermaid chart for documents, or the compiled plan as data."""

    svg = "svg"
    mermaid = "mermaid"
    json = "json"


def diagram(
    journey: Annotated[str, typer.Argument(help="The journey's name.")],
    format: Annotated[Picture | None, typer.Option(help="Else as the file's name says, else svg.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it, instead of stdout.")
    ] = None,
    project: ProjectOption = None,
) -> None:
    """Draw a journey as it stands in the folder."""
    try:
        found = check_folder(find_project(project))
    except (NoProject, ActionMistake) as error:
        refuse("diagram", error)
    plan = found.plans.get(journey)
    if plan is None:
        if any(error.path == f"journeys/{journey}.yaml" for error in found.errors):
            refuse("diagram", f"journeys/{journey}.yaml has mistakes; `kairos check` shows them")
        there = ", ".join(sorted(found.plans)) or "none"
        refuse("diagram", f"there is no journey `{journey}`; there are: {there}")
    text = drawn(plan, format or _by_name(output))
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        refuse("diagram", f"{output}: {error.strerror}")


def drawn(plan: Plan, picture: Picture) -> str:
    """The picture as text."""
    match picture:
        case Picture.svg:
            return svg(plan)
        case Picture.mermaid:
            return mermaid(plan)
        case Picture.json:
            return json.dumps(plan_to_json(plan), ensure_ascii=False, indent=2)


def _by_name(output: Path | None) -> Picture:
    endings = {".mmd": Picture.mermaid, ".mermaid": Picture.mermaid, ".json": Picture.json}
    return endings.get(output.suffix if output is not None else "", Picture.svg)


def register(app: typer.Typer) -> None:
    app.command("diagram")(diagram)
