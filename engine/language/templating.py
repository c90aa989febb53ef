"""The door through which templates are checked: the language may not import the templates' package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Literal, Protocol

from engine.language.diagnostics import Diagnostic
from engine.language.installation import Installation

CODES = {
    "syntax": "J601",
    "unknown-variable": "J602",
    "unknown-property": "J602",
    "null": "J603",
    "too-long": "J604",
    "missing-part": "J605",
    "unknown-part": "J605",
    "json": "J606",
    "layout": "J607",
    "variant": "J608",
    "segments": "J609",
    "signature": "J610",
    "opt-out": "J611",
    "url-in-variable": "J612",
    "not-approved": "J613",
    "field": "J614",
    "advertising": "J615",
    "no-way-out": "J616",
    "html-size": "J617",
    "no-text": "J618",
    "styles": "J619",
    "may-be-missing": "J620",
}
_OF_NAMES = frozenset({"unknown-variable", "unknown-property", "null", "may-be-missing"})
_OF_CATEGORY = frozenset({"opt-out", "advertising", "no-way-out"})


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """A template on one channel, and what it may name where its message stands: properties to types.

    `named` is false for a template that no message uses: what it may name is not known.
    """

    message: str
    channel: str
    profile: Map[str, str] = field(default_factory=dict)
    trigger: Map[str, str] | None = None
    event: Map[str, str] | None = None
    answers: frozenset[str] = frozenset()
    brand: frozenset[str] = frozenset()
    named: bool = True
    category: str = "marketing"
    extents: Map[str, int] = field(default_factory=dict)
    """`profile.first_name` and the like, to the characters or items that they have at most."""
    certain: frozenset[str] = frozenset()
    """Those of them that are never null."""


@dataclass(frozen=True, slots=True)
class ContentSetting:
    """What templates are checked against beside their uses. `variants`: message to names."""

    installation: Installation = field(default_factory=Installation)
    variants: Map[str, tuple[str, ...]] = field(default_factory=dict)


class TemplateMistake(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def expected(self) -> str | None: ...
    @property
    def hint(self) -> str | None: ...
    @property
    def severity(self) -> Literal["error", "warning"]: ...


class TemplateChecker(Protocol):
    def __call__(
        self, files: Map[str, str], uses: Sequence[TemplateUse], setting: ContentSetting
    ) -> Iterable[tuple[TemplateUse | None, TemplateMistake]]:
        """Mistakes of each use; with None, those of files that are no template's."""


def check_templates(
    files: Map[str, str], uses: Sequence[TemplateUse], setting: ContentSetting, checker: TemplateChecker
) -> list[Diagnostic]:
    """All mistakes of the templates, each once however many messages use the template."""
    found: dict[Diagnostic, None] = {}
    for use, mistake in checker(files, uses, setting):
        if use is not None and not use.named and mistake.code in _OF_NAMES | _OF_CATEGORY:
            continue
        lines = files.get(mistake.path, "").split("\n")
        source = lines[mistake.line - 1] if 0 < mistake.line <= len(lines) and mistake.path in files else None
        diagnostic = Diagnostic(
            mistake.path,
            mistake.line,
            mistake.column,
            CODES.get(mistake.code, "J601"),
            mistake.message,
            mistake.severity,
            mistake.expected,
            mistake.hint,
            source,
        )
        found[diagnostic] = None
    return list(found)
