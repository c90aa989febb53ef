"""All scenarios of a project, with what they cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.content.templates import TemplateSet
from engine.core.plan import Plan
from engine.language.catalogue import Catalogue
from engine.language.installation import Installation
from engine.language.scenarios import ScenarioFile
from engine.language.variants import names_of, read_variants
from engine.simulator.compare import Difference, compare
from engine.simulator.coverage import Coverage, coverage
from engine.simulator.scenario import ScenarioRun, run_scenario


class TestedProject(Protocol):
    """What a suite needs of a project (`engine.language.project.Project` has it)."""

    @property
    def plans(self) -> dict[str, Plan]: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def installation(self) -> Installation: ...
    @property
    def scenarios(self) -> dict[str, ScenarioFile]: ...
    @property
    def templates(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario: how it ran, and where it does not fit."""

    path: str
    run: ScenarioRun
    differences: list[Difference]

    @property
    def passed(self) -> bool:
        return not self.differences


@dataclass(frozen=True, slots=True)
class SuiteRun:
    results: list[Result]
    coverage: list[Coverage] = field(default_factory=list)
    """Of every journey that was asked for, by name."""

    @property
    def failed(self) -> int:
        return sum(not result.passed for result in self.results)


def run_suite(project: TestedProject, paths: Iterable[str] | None = None) -> SuiteRun:
    """Runs the scenarios of these files (None: of all), each rendering its messages.

    Without `paths` coverage counts every journey of the project, else the journeys of those files.
    """
    files = project.scenarios if paths is None else {path: project.scenarios[path] for path in paths}
    known = read_variants(project.templates)
    renderer = TemplateSet(project.templates, project.installation.locale, names_of(known))

    def render(
        message: str, channel: str, context: Mapping[str, Any], variants: Sequence[str]
    ) -> Mapping[str, str]:
        return renderer.render(message, channel, context, variants).parts

    results = [
        Result(path, run, compare(run, project.catalogue))
        for path, file in sorted(files.items())
        if file.journey in project.plans
        for run in (
            run_scenario(
                scenario,
                project.plans[file.journey],
                catalogue=project.catalogue,
                installation=project.installation,
                render=render,
                variants=known,
            )
            for scenario in file.scenarios
        )
    ]
    names = set(project.plans) if paths is None else {file.journey for file in files.values()}
    return SuiteRun(results, _covered(project.plans, sorted(names & set(project.plans)), results))


def _covered(plans: Mapping[str, Plan], names: Iterable[str], results: Iterable[Result]) -> list[Coverage]:
    traces: dict[str, list[ScenarioRun]] = {}
    for result in results:
        traces.setdefault(result.run.plan.journey, []).append(result.run)
    return [
        coverage(
            plans[name],
            (enrolment.trace for run in traces.get(name, ()) for enrolment in run.enrolments),
        )
        for name in names
    ]
