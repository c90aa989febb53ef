"""The YAML and the programs that pages show are well formed, and the shortest journey works as it stands."""

from __future__ import annotations

import ast

import pytest

from engine.cli.check import content_checker
from engine.cli.init import project_files
from engine.language.listing import as_text
from engine.language.loader import load
from engine.language.project import check_project
from tests.docs.pages import PAGES, ROOT, Block, blocks

SHOWN = [
    block
    for page in PAGES
    if "errors" not in page.parts  # their wrong examples are wrong; test_error_examples has them
    for block in blocks(page)
]


@pytest.mark.parametrize("block", [each for each in SHOWN if each.language == "yaml"], ids=str)
def test_an_example_in_yaml_can_be_read(block: Block) -> None:
    _, reporter = load(str(block), block.text)
    assert not reporter.found, as_text(reporter.found)


@pytest.mark.parametrize("block", [each for each in SHOWN if each.language == "python"], ids=str)
def test_an_example_in_python_can_be_parsed(block: Block) -> None:
    ast.parse(block.text)


def test_the_shortest_journey_of_the_readme_works_in_a_new_project() -> None:
    [journey] = [each.text for each in blocks(ROOT / "README.md") if each.language == "yaml"]
    files = {path: text for path, text in project_files().items() if "/tests/" not in path}
    project = check_project(files | {"journeys/welcome.yaml": journey}, {}, content_checker)
    assert as_text(project.diagnostics) == "no mistakes\n"
    assert list(project.plans["welcome"].steps) == ["hello", "two-days", "help"]
