"""The texts of a project folder → everything that is known of it, and every mistake in it."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from engine.core.plan import Plan
from engine.language.actions import ActionSignature
from engine.language.adapter_settings import SettingChecker
from engine.language.attachments import check_attachments, check_pictures, message_with_attachments
from engine.language.audience_rules import AudienceAdapters
from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.checker import anywhere, check_journey, enterable
from engine.language.compiler import compile_journey
from engine.language.conforming import conform
from engine.language.diagnostics import Diagnostic, Mark, Reporter, in_order
from engine.language.folder_rules import check_catalogue, check_cycles, check_installation, strays
from engine.language.installation import Installation, read_installation
from engine.language.loader import Mapping, Node, load
from engine.language.policy_rules import check_policies
from engine.language.scenario_rules import check_scenarios
from engine.language.scenarios import ScenarioFile, read_scenarios
from engine.language.schema import JOURNEY
from engine.language.schema_content import ATTACHMENTS, VARIANTS
from engine.language.schema_folder import CATALOGUE, INSTALLATION, SCENARIOS
from engine.language.shapes import Object
from engine.language.templating import ContentSetting, TemplateChecker, TemplateUse, check_templates
from engine.language.variants import check_conditions, check_variants, message_with_variants, variants_in
from engine.language.words import Words, template_channels

INSTALLATION_PATH = "kairos.yaml"
CATALOGUE_PATH = "journeys/catalog.yaml"


@dataclass(frozen=True, slots=True)
class Project:
    diagnostics: tuple[Diagnostic, ...]
    plans: dict[str, Plan]
    """Plans of the journeys that have no mistake, by name."""
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


def check_project(
    files: Map[str, str],
    actions: Map[str, ActionSignature] | None = None,
    template_checker: TemplateChecker | None = None,
    adapters: Collection[str] | None = None,
    setting_checker: SettingChecker | None = None,
    audience_adapters: AudienceAdapters | None = None,
) -> Project:
    """Check all files of a project in one go.

    `files` maps paths inside the project folder, with `/`, to their texts; what is not part of a project is
    passed over. Without `template_checker` templates are only looked for, not looked into; without `adapters`
    (the names of those installed) any adapter may be named; without `setting_checker` with any settings.
    `audience_adapters` are both of these for audiences.
    """
    setup_root, setup = _read(files, INSTALLATION_PATH, INSTALLATION)
    catalogue_root, catalogue_reporter = _read(files, CATALOGUE_PATH, CATALOGUE)
    installation, catalogue = read_installation(setup_root), read_catalogue(catalogue_root)
    templates = {path: text for path, text in files.items() if path.startswith("templates/")}
    reporters = [setup, catalogue_reporter]
    variants: dict[str, tuple[Node | None, Reporter]] = {}
    for path in sorted(templates):
        message = message_with_variants(path)
        if message is not None:
            root, reporter = _read(files, path, VARIANTS, needed=True)
            variants[message] = root, reporter
            reporters.append(reporter)
            check_variants(root, tuple(templates), message, reporter)

    pictures: list[Diagnostic] = []
    for path in sorted(templates):
        message = message_with_attachments(path)
        if message is not None:
            root, reporter = _read(files, path, ATTACHMENTS, needed=True)
            reporters.append(reporter)
            check_attachments(root, templates, reporter)
            pictures += check_pictures(message, root, templates)

    journeys: dict[str, tuple[Mapping, Reporter]] = {}
    for path in sorted(files):
        name = journey_name(path)
        if name is None:
            continue
        root, reporter = _read(files, path, JOURNEY, needed=True)
        reporters.append(reporter)
        if isinstance(root, Mapping):
            journeys[name] = root, reporter
    words = Words(
        catalogue,
        installation,
        template_channels(templates),
        {name: enterable(root) for name, (root, _) in journeys.items()},
        actions or {},
        variants,
    )
    if setup_root is not None:
        check_installation(
            setup_root, setup, adapters, setting_checker, words.catalogue.profile, audience_adapters
        )
        check_policies(setup_root, words, setup)
    if catalogue_root is not None:
        check_catalogue(catalogue_root, words, catalogue_reporter)
    uses: list[TemplateUse] = []
    for name, (root, reporter) in journeys.items():
        uses += check_journey(name, root, words, reporter)
    check_cycles(journeys, words)
    plans = {
        name: compile_journey(root, installation.time_zone)
        for name, (root, reporter) in journeys.items()
        if not reporter.failed
    }
    scenarios: dict[str, ScenarioFile] = {}
    for path in sorted(filter(is_scenario_file, files)):
        root, reporter = _read(files, path, SCENARIOS, needed=True)
        reporters.append(reporter)
        if isinstance(root, Mapping):
            check_scenarios(root, words, reporter)
            if not reporter.failed:
                scenarios[path] = read_scenarios(path, root, catalogue, installation.time_zone)
    for message in variants.keys() - {use.message for use in uses}:
        check_conditions(variants[message][0], anywhere(words), variants[message][1])
    found = [each for reporter in reporters for each in reporter.found]
    found += [*strays(files), *pictures]
    if template_checker is not None:
        names = {message: tuple(v.name for v in variants_in(root)) for message, (root, _) in variants.items()}
        setting = ContentSetting(installation, names)
        found += check_templates(templates, [*uses, *_unused(uses, words)], setting, template_checker)
    return Project(in_order(found), plans, catalogue, installation, scenarios, templates)


def _read(
    files: Map[str, str], path: str, shape: Object, needed: bool = False
) -> tuple[Node | None, Reporter]:
    """Load a file and hold it against its shape. `needed`: an empty file is a mistake."""
    if path not in files:
        return None, Reporter(path, "")
    root, reporter = load(path, files[path])
    if root is not None:
        conform(root, shape, path.rpartition("/")[2], reporter)
    elif needed and not reporter.found:
        reporter.error("J214", Mark(), "the file is empty", expected=shape.doc)
    return root, reporter


def _unused(uses: list[TemplateUse], words: Words) -> list[TemplateUse]:
    used = {(use.message, use.channel) for use in uses}
    return [
        TemplateUse(message, channel, named=False)
        for message, channels in sorted(words.templates.items())
        for channel in sorted(channels)
        if (message, channel) not in used
    ]
