"""The texts of a project folder → everything that is known of it, and every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from engine.core.plan import Plan
from engine.language.actions import ActionSignature
from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.checker import check_journey, enterable
from engine.language.compiler import compile_journey
from engine.language.diagnostics import Diagnostic, Reporter, in_order
from engine.language.installation import Installation, read_installation
from engine.language.loader import Mapping, Node, load
from engine.language.scenarios import ScenarioFile, read_scenarios
from engine.language.schema import JOURNEY
from engine.language.schema_folder import CATALOGUE, INSTALLATION, SCENARIOS
from engine.language.shapes import conform
from engine.language.words import Words, template_channels

INSTALLATION_PATH = "kairos.yaml"
CATALOGUE_PATH = "journeys/catalog.yaml"


@dataclass(frozen=True, slots=True)
class Project:
    diagnostics: tuple[Diagnostic, ...]
    plans: dict[str, Plan]
    """Plans of the journeys that have no mistake."""
    catalogue: Catalogue
    installation: Installation
    scenarios: dict[str, ScenarioFile] = field(default_factory=dict)
    """Path to scenarios, of the files that have no mistake."""
    templates: dict[str, str] = field(default_factory=dict)
    """Path to text."""

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity == "error")


def journey_name(path: str) -> str | None:
    """The name of the journey that a path holds, None if it holds none."""
    folder, _, name = path.rpartition("/")
    if folder != "journeys" or not name.endswith(".yaml") or path == CATALOGUE_PATH:
        return None
    return name.removesuffix(".yaml")


def is_scenario_file(path: str) -> bool:
    return path.startswith("journeys/tests/") and path.endswith(".test.yaml")


def check_project(files: Map[str, str], actions: Map[str, ActionSignature] | None = None) -> Project:
    """Check all files of a project in one go.

    `files` maps paths inside the project folder to their texts.
    """
    found: list[Diagnostic] = []

    def read(path: str) -> tuple[Node | None, Reporter]:
        return load(path, files[path]) if path in files else (None, Reporter(path, ""))

    setup_root, setup = read(INSTALLATION_PATH)
    if setup_root is not None:
        conform(setup_root, INSTALLATION, INSTALLATION_PATH, setup)
    installation = read_installation(setup_root)
    words_root, words_reporter = read(CATALOGUE_PATH)
    if words_root is not None:
        conform(words_root, CATALOGUE, CATALOGUE_PATH, words_reporter)
    catalogue = read_catalogue(words_root)
    templates = {path: text for path, text in files.items() if path.startswith("templates/")}

    journeys: dict[str, tuple[Mapping, Reporter]] = {}
    for path in sorted(files):
        name = journey_name(path)
        if name is None:
            continue
        root, reporter = read(path)
        if root is not None:
            conform(root, JOURNEY, "journey", reporter)
        if isinstance(root, Mapping):
            journeys[name] = root, reporter
        else:
            found += reporter.found
    words = Words(
        catalogue,
        installation,
        template_channels(templates),
        {name: enterable(root) for name, (root, _) in journeys.items()},
        actions or {},
    )
    plans: dict[str, Plan] = {}
    for name, (root, reporter) in journeys.items():
        check_journey(name, root, words, reporter)
        if not reporter.failed:
            plans[name] = compile_journey(root, installation.time_zone)
        found += reporter.found
    scenarios: dict[str, ScenarioFile] = {}
    for path in sorted(files):
        if not is_scenario_file(path):
            continue
        root, reporter = read(path)
        if root is not None and conform(root, SCENARIOS, "scenarios", reporter):
            assert isinstance(root, Mapping)
            if not reporter.failed:
                scenarios[path] = read_scenarios(path, root, catalogue, installation.time_zone)
        found += reporter.found
    found += setup.found + words_reporter.found
    return Project(in_order(found), plans, catalogue, installation, scenarios, templates)
