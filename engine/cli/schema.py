"""`kairos schema`: JSON Schema for editors."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from engine.language.editor_schema import editor_schema


class File(StrEnum):
    """Kinds of files that there is a schema for."""

    journey = "journey"
    catalog = "catalog"
    kairos = "kairos"
    scenarios = "scenarios"


def schema(
    file: Annotated[File, typer.Argument(help="Which kind of file.")] = File.journey,
) -> None:
    """Print the JSON Schema of journeys, or of another kind of file, for editors."""
    typer.echo(json.dumps(editor_schema(file.value), ensure_ascii=False, indent=2))


def register(app: typer.Typer) -> None:
    app.command("schema")(schema)
