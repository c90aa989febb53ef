"""Nothing that people use is undocumented: commands and their options, settings, variables, metrics."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from engine.api.metrics import Metrics
from engine.cli.main import MODULES, build_app
from engine.language.schema_folder import INSTALLATION
from engine.language.shapes import Object
from tests.docs.pages import PAGES, ROOT, shown_commands

DOCS = ROOT / "docs"
EVERYWHERE = {"--help", "--project", "--format"}
"""Options that the head of docs/cli.md explains once."""
VARIABLE = re.compile(r"(KAIROS|TEMPORAL|XDG)_[A-Z_]+|DATABASE_URL|POSTGRES_PASSWORD")


def commands() -> dict[str, Any]:
    """Every command by its full name, `keys create`."""
    root = typer.main.get_command(build_app())
    found: dict[str, Any] = {}

    def visit(command: Any, name: str) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found[name] = command
        else:
            for each in inner.values():
                visit(each, f"{name} {each.name}".strip())

    visit(root, "")
    return found


COMMANDS = commands()


def options(command: Any) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name[0] == "-"}


def test_modules_and_commands_agree() -> None:
    assert {name.split()[0] for name in COMMANDS} == {name for names in MODULES.values() for name in names}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_are_on_the_page_of_commands(name: str) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8") + (DOCS / "scenarios.md").read_text(encoding="utf-8")
    words = name.split()
    assert f"kairos {words[0]}" in text
    assert all(re.search(rf"\b{re.escape(word)}\b", text) for word in words)
    missing = {
        option
        for option in options(COMMANDS[name]) - EVERYWHERE
        if option.startswith("--") and not option.startswith("--no-") and option not in text
    }
    assert not missing, f"docs/cli.md does not name {sorted(missing)} of `kairos {name}`"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_explain_themselves(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    silent = [
        each.name
        for each in command.params
        if each.param_type_name == "option" and each.name != "help" and not each.help
    ]
    assert not silent


def test_every_command_line_in_the_docs_can_be_typed() -> None:
    """Commands and options that pages show exist, so that no page keeps an old name."""
    wrong = []
    for place, words in shown_commands():
        two = " ".join(words[1:3])
        name = two if two in COMMANDS else words[1]
        if words[1].isupper():
            continue
        if name not in COMMANDS:
            group = [each for each in COMMANDS if each.startswith(f"{words[1]} ")]
            if not group:
                wrong.append(f"{place}: no command `{' '.join(words)}`")
            continue
        for word in words:
            option = word.split("=")[0]
            if option.startswith("--") and option not in options(COMMANDS[name]) | {"--help"}:
                wrong.append(f"{place}: `kairos {name}` has no {option}")
    assert not wrong, "\n".join(wrong)


def settings(shape: object) -> Iterator[str]:
    if isinstance(shape, Object):
        for name, field in shape.fields.items():
            yield name
            yield from settings(field.shape)
    for inner in ("item", "value"):
        if hasattr(shape, inner):
            yield from settings(getattr(shape, inner))


def test_every_setting_of_the_installation_has_a_row() -> None:
    text = (DOCS / "reference" / "kairos-yaml.md").read_text(encoding="utf-8")
    names = set(settings(INSTALLATION))
    assert {"on_unknown", "quiet_hours", "phone_region"} <= names
    assert not {name for name in names if f"| `{name}` |" not in text}


def code_variables() -> set[str]:
    """Names of variables that our code or the compose file reads from the environment."""
    found: set[str] = set()
    for package in ("engine", "channels", "workers", "scripts"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and VARIABLE.fullmatch(text):
                    found.add(text)
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    found |= set(re.findall(r"\$\{([A-Z_]+)", compose))
    return found


def test_every_environment_variable_has_a_row() -> None:
    text = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE))
    read = code_variables()
    assert {"KAIROS_HOME", "DATABASE_URL", "TEMPORAL_ADDRESS", "KAIROS_LOG", "KAIROS_WEBHOOK_SECRET"} <= read
    assert read == rows


def test_every_metric_is_explained() -> None:
    text = (DOCS / "operators.md").read_text(encoding="utf-8")
    metrics = {family.name for family in Metrics()._registry.collect()}
    assert len(metrics) >= 8
    shown = set(re.findall(r"^\| `(kairos_\w+)` \|", text, re.MULTILINE))
    assert {name.removesuffix("_total") for name in shown} == metrics


def links(page: Path) -> Iterator[tuple[str, str]]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?:|mailto:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in links(page):
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}" if anchor else path)
    assert not broken


def test_every_page_is_in_the_index() -> None:
    reached: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        todo += [
            t
            for path, _ in links(page)
            if (t := (page.parent / path).resolve()).suffix == ".md" and t.exists()
        ]
    lost = {str(page.relative_to(ROOT)) for page in PAGES} - {str(p.relative_to(ROOT)) for p in reached}
    assert not lost
