"""`kairos test`: the scenarios of a project, on a virtual clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project, read_project
from engine.cli.trace_words import trace_lines
from engine.language.diagnostics import Diagnostic
from engine.language.listing import as_text
from engine.language.project import Project
from engine.sdk import ActionMistake
from engine.simulator import Coverage, Difference, Result, SuiteRun, run_suite

_SHARED = ("kairos.yaml", "journeys/catalog.yaml")


def run_scenarios(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Scenario files, folders or journeys; without any, all scenarios.", metavar="[PATHS]..."
        ),
    ] = None,
    min_coverage: Annotated[
        float,
        typer.Option(
            "--min-coverage", help="Fail if less of a journey is taken, in percent.", min=0, max=100
        ),
    ] = 0,
    explain: Annotated[
        str | None,
        typer.Option("--explain", help="Print the trace of the scenarios with this in their name."),
    ] = None,
    project: Annotated[Path | None, typer.Option("--project", help="The project's folder.")] = None,
    format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Run scenarios and show what differs, and which ways through the journeys they never take.

    Exit code 0: all as expected. 1: a scenario differs, or coverage is too low. 2: nothing could be run.
    """
    if format not in ("text", "json"):
        raise typer.BadParameter("expected text or json", param_hint="--format")
    try:
        root = find_project(project)
        checked = check_folder(root)
        chosen = _chosen(root, checked, paths) if paths else None
    except (NoProject, ActionMistake) as error:
        typer.echo(f"kairos test: {error}", err=True)
        raise typer.Exit(2) from None
    mistakes = _mistakes(checked, chosen)
    if mistakes:
        typer.echo(as_text(mistakes), err=True, nl=False)
        typer.echo(
            f"kairos test: {_counted(len(mistakes), 'mistake')} to correct first; see `kairos check`",
            err=True,
        )
        raise typer.Exit(2)
    suite = run_suite(checked, chosen)
    low = [covered for covered in suite.coverage if covered.percent < min_coverage]
    if format == "json":
        typer.echo(json.dumps(suite_json(suite), ensure_ascii=False, indent=2))
    else:
        _print(suite, explain)
        for covered in low:
            typer.echo(f"coverage of {covered.journey} is {covered.percent:.0f} %, below {min_coverage:g} %")
    raise typer.Exit(1 if suite.failed or low else 0)


def _chosen(root: Path, project: Project, paths: list[str]) -> list[str]:
    """Scenario files that `paths` mean: files, folders, journey files or names of journeys."""
    known = [
        path
        for path in read_project(root)
        if path.startswith("journeys/tests/") and path.endswith(".test.yaml")
    ]
    found: list[str] = []
    for given in paths:
        inside = _inside(root, given)
        stem = Path(given).name.removesuffix(".yaml").removesuffix(".test")
        matching = [
            path for path in known if path == inside or inside == "." or path.startswith(f"{inside}/")
        ]
        if not matching and not given.endswith(".test.yaml"):
            matching = [path for path in known if _journey_of(project, path) == stem]
        if not matching:
            raise NoProject(f"{given}: no scenarios there (they live in journeys/tests/<name>.test.yaml)")
        found += [path for path in matching if path not in found]
    return sorted(found)


def _inside(root: Path, given: str) -> str:
    for start in (Path.cwd(), root):
        path = (start / given).resolve()
        if path.exists() and path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return given


def _journey_of(project: Project, path: str) -> str:
    file = project.scenarios.get(path)
    return file.journey if file is not None else Path(path).name.removesuffix(".test.yaml")


def _mistakes(project: Project, chosen: list[str] | None) -> list[Diagnostic]:
    """The errors that keep the chosen scenarios from running; all errors where nothing was chosen."""
    errors = list(project.errors)
    if chosen is None:
        return errors
    journeys = {f"journeys/{_journey_of(project, path)}.yaml" for path in chosen}
    return [error for error in errors if error.path in {*_SHARED, *chosen, *journeys}]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- text -----------------------------------------------------------------------------------------------


def _print(suite: SuiteRun, explain: str | None) -> None:
    path = None
    for result in suite.results:
        if result.path != path:
            path = result.path
            typer.echo(path)
        typer.echo(f"  {'✓' if result.passed else '✗'} {result.run.scenario.name}")
        for difference in result.differences:
            _print_difference(result, difference)
        for warning in result.run.warnings:
            typer.echo(f"      warning: {warning}")
        if explain is not None and explain in result.run.scenario.name:
            for enrolment in result.run.enrolments:
                for line in trace_lines(result.run.plan, enrolment.trace, since=result.run.counts_from):
                    typer.echo(f"      {line}")
            if not result.run.enrolments:
                typer.echo("      never entered")
    if suite.results:
        typer.echo("")
    for covered in suite.coverage:
        _print_coverage(covered)
    count = _counted(len(suite.results), "scenario")
    typer.echo(f"{count}, {suite.failed} failed" if suite.failed else f"{count}, all as expected")


def _print_difference(result: Result, difference: Difference) -> None:
    typer.echo(
        f"      {difference.key}: expected {difference.expected}, got {difference.got}"
        f"   ({result.path}:{difference.line})"
    )
    if difference.table:
        rows = [("expected", "got", True), *difference.table]
        width = max(len(expected) for expected, _, _ in rows)
        for expected, got, fits in rows:
            typer.echo(f"      {' ' if fits else '≠'} {expected:<{width}}   {got}")
    for sentence in difference.because:
        typer.echo(f"        {sentence}")


def _print_coverage(covered: Coverage) -> None:
    typer.echo(f"{covered.journey}: {covered.percent:.0f} % taken ({covered.taken} of {covered.places})")
    if covered.steps_missed:
        typer.echo(f"  steps never begun: {', '.join(covered.steps_missed)}")
    for step, _, words in covered.arms_missed:
        typer.echo(f"  never taken: {step}: {words}")


# --- JSON -----------------------------------------------------------------------------------------------


def suite_json(suite: SuiteRun) -> dict[str, Any]:
    """The result of a suite as JSON data."""
    return {
        "passed": len(suite.results) - suite.failed,
        "failed": suite.failed,
        "scenarios": [_result_json(result) for result in suite.results],
        "coverage": [
            {
                "journey": covered.journey,
                "percent": round(covered.percent, 2),
                "taken": covered.taken,
                "places": covered.places,
                "steps_missed": list(covered.steps_missed),
                "arms_missed": [
                    {"step": step, "arm": arm, "words": words} for step, arm, words in covered.arms_missed
                ],
            }
            for covered in suite.coverage
        ],
    }


def _result_json(result: Result) -> dict[str, Any]:
    run = result.run
    return {
        "file": result.path,
        "line": run.scenario.mark.line,
        "journey": run.plan.journey,
        "name": run.scenario.name,
        "passed": result.passed,
        "warnings": run.warnings,
        "differences": [
            {
                "key": difference.key,
                "line": difference.line,
                "expected": difference.expected,
                "got": difference.got,
                "because": list(difference.because),
                "messages": [
                    {"expected": expected, "got": got, "fits": fits}
                    for expected, got, fits in difference.table
                ],
            }
            for difference in result.differences
        ],
        "entered": len(run.enrolments),
        "exits": [enrolment.state.exit for enrolment in run.enrolments],
        "messages": [
            {
                "at_seconds": (message.at - run.counts_from).total_seconds(),
                "step": message.step,
                "channel": message.channel,
                "template": message.template,
            }
            for message in run.messages
        ],
    }


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("test")(run_scenarios)
