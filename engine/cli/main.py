"""Entry point of `kairos`: registers the commands, turns what they raise into words, and leaves.

A command module has `register(app)`. Only the module of the command that runs is imported, so that
`kairos check` does not wait for the database's driver.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import typer

MODULES: dict[str, tuple[str, ...]] = {
    "init": ("init",),
    "check": ("check",),
    "schema": ("schema",),
    "test": ("test",),
    "simulate": ("simulate",),
    "preview": ("preview",),
    "plan": ("plan", "apply"),
    "journeys": ("journeys", "pause", "resume", "archive"),
    "diagram": ("diagram",),
    "explain": ("explain",),
    "enter": ("enter",),
    "crowds": ("crowds",),
    "segment": ("segment",),
    "rfm": ("rfm",),
    "tag": ("tag",),
    "recompute": ("recompute",),
    "importing": ("import",),
    "export": ("export",),
    "enrolments": ("enrolments", "cancel"),
    "find": ("find",),
    "identities": ("identities",),
    "consent": ("consent",),
    "erasure": ("export-person", "erase", "unsuppress"),
    "outbox": ("outbox",),
    "webhooks": ("webhooks",),
    "callbacks": ("callbacks",),
    "audiences": ("audiences",),
    "keys": ("keys",),
    "db": ("db",),
    "api": ("api",),
    "worker": ("worker",),
    "dev": ("dev",),
}
"""Module of `engine.cli` to the commands that it registers, in the order of the help."""

MISUSE = 2
INTERRUPTED = 130


def build_app(modules: Sequence[str] = tuple(MODULES)) -> typer.Typer:
    """The command line with the commands of these modules."""
    app = typer.Typer(
        name="kairos",
        help="Journeys for marketing at key moments: written in YAML, run durably.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # With a callback a single command keeps its name: `kairos check`, not `kairos`.
    app.callback()(_nothing)
    for module in modules:
        importlib.import_module(f"engine.cli.{module}").register(app)
    return app


def _nothing() -> None:
    """Journeys for marketing at key moments: written in YAML, run durably."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Never raises, and shows a traceback only if asked to."""
    wanted = next((module for module, names in MODULES.items() if arguments and arguments[0] in names), None)
    try:
        build_app([wanted] if wanted else tuple(MODULES))(args=list(arguments), prog_name="kairos")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `kairos check | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("KAIROS_TRACEBACK"):
            traceback.print_exc()
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        said = str(error).strip().split("\n")[0][:300]
        print(f"kairos: {type(error).__name__}: {said}", file=sys.stderr)
        print("kairos: this is a mistake of ours; KAIROS_TRACEBACK=1 shows where", file=sys.stderr)
        return MISUSE
    return 0


def main() -> NoReturn:
    """Run the command line of this process and end the process."""
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            code = code or 0
    # Temporal's SDK may crash while the interpreter takes itself down, which would spoil the exit code.
    os._exit(code)
