"""A project's templates: found by message and channel, checked, rendered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

from engine.content import budget
from engine.content.check import check_file, check_parts
from engine.content.environment import Environment
from engine.content.errors import RenderError, TemplateProblem
from engine.content.parts import part_of, template_path
from engine.content.scope import TemplateScope

_KEPT = {"locale": "text"}
"""What of a profile the generic variant sees, and its type."""
_ONE_LINE = frozenset({"subject", "title"})
"""Parts that become one line: a line break in a subject would begin a header of its own."""


@dataclass(slots=True)
class Rendered:
    """`parts` by name (`subject`, `text`, …). `digest` names the sources they were rendered from."""

    parts: dict[str, str]
    digest: str


class TemplateSet:
    """All templates of a project. `files` maps paths (`templates/<message>/<channel>.<part>.j2`) to text.

    Paths that are no template's are left alone; `check_paths` names them.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = dict(files)
        self._found: dict[tuple[str, str], dict[str, str]] = {}
        self._generic: dict[tuple[str, str], dict[str, str]] = {}
        for path in sorted(self._files):
            place = part_of(path)
            if place is not None:
                message, channel, part, generic = place
                found = self._generic if generic else self._found
                found.setdefault((message, channel), {})[part] = path
        self._environments = {kind: Environment(kind) for kind in ("html", "json", "text")}
        self._compiled: dict[str, Template] = {}
        self._digests: dict[tuple[str, str, bool], str] = {}

    def messages(self) -> tuple[str, ...]:
        """Names of all messages, sorted."""
        return tuple(sorted({message for message, _ in self._found}))

    def channels(self, message: str) -> tuple[str, ...]:
        """Channels for which `message` has any part, sorted."""
        return tuple(sorted(channel for name, channel in self._found if name == message))

    def parts(self, message: str, channel: str) -> tuple[str, ...]:
        """Names of the parts that are there, sorted."""
        return tuple(sorted(self._found.get((message, channel), ())))

    def source(self, message: str, channel: str, part: str) -> str:
        return self._files[self._found[message, channel][part]]

    def digest(self, message: str, channel: str, generic: bool = False) -> str:
        """SHA-256 over names and sources of all parts (of the generic variant), as hex."""
        known = self._digests.get((message, channel, generic))
        if known is None:
            parts = (self._generic if generic else self._found).get((message, channel), {})
            sources = [[part, self._files[path]] for part, path in sorted(parts.items())]
            known = sha256(json.dumps(sources).encode()).hexdigest()
            self._digests[message, channel, generic] = known
        return known

    def check(self, message: str, channel: str, scope: TemplateScope) -> list[TemplateProblem]:
        """All mistakes of one message on one channel, in order of file and line."""
        parts = self._found.get((message, channel), {})
        problems = check_parts(message, channel, parts, known=self.channels(message))
        for part, path in sorted(parts.items()):
            environment = self._environments[_kind(part)]
            problems.extend(check_file(environment, path, channel, part, self._files[path], scope))
        if generic := self._generic.get((message, channel)):
            problems += check_parts(message, channel, generic, generic=True)
            narrow = replace(scope, profile=_KEPT)
            for part, path in sorted(generic.items()):
                environment = self._environments[_kind(part)]
                problems.extend(check_file(environment, path, channel, part, self._files[path], narrow))
        return sorted(problems, key=lambda p: (p.path, p.line, p.column))

    def check_paths(self) -> list[TemplateProblem]:
        """Files below `templates/` whose name is not `<message>/<channel>.<part>.j2`, and generic variants of
        what is not there."""
        expected = template_path("<message>", "<channel>", "<part>")
        alone = [
            TemplateProblem(
                path, 1, 1, "missing-part", f"`{message}` has no {channel} template that this is a variant of"
            )
            for (message, channel), parts in sorted(self._generic.items())
            for path in parts.values()
            if (message, channel) not in self._found
        ]
        return alone + [
            TemplateProblem(path, 1, 1, "unknown-part", "this file is no template by its name", expected)
            for path in sorted(self._files)
            if path.startswith("templates/") and part_of(path) is None
        ]

    def render(self, message: str, channel: str, context: Mapping[str, Any]) -> Rendered:
        """The message for one customer.

        `context` has `profile trigger event answers now`, and `brand links` if there are; whatever is null
        counts as undefined. Text put into a JSON part is escaped to stand inside its quotes; `tojson` gives a
        whole value with its own. A `profile` whose `personalise` is false gets the generic variant if there
        is one, and shows nothing but its locale. Raises `RenderError`.
        """
        parts, generic = self._found.get((message, channel)), False
        profile = context.get("profile")
        if isinstance(profile, Mapping) and profile.get("personalise") is False:
            context = {**context, "profile": {name: profile[name] for name in _KEPT if name in profile}}
            generic = (message, channel) in self._generic
            parts = self._generic.get((message, channel), parts)
        if not parts:
            raise RenderError(f"there is no template {template_path(message, channel, '*')}")
        names: dict[str, Any] = {"brand": {}, "links": {}, "answers": {}, "profile": {}}
        names.update((name, value) for name, value in context.items() if value is not None)
        rendered = {part: self._render(part, path, names) for part, path in sorted(parts.items())}
        return Rendered(rendered, self.digest(message, channel, generic))

    def _render(self, part: str, path: str, names: dict[str, Any]) -> str:
        token = budget.current.set(budget.Budget())
        try:
            text = _written(self._template(part, path), names)
        except RenderError as error:
            raise RenderError(error.message, path) from None
        except UndefinedError as error:
            raise RenderError(f"{error.message} (null, without a default)", path) from None
        except SecurityError as error:
            raise RenderError(f"not offered in templates: {error.message}", path) from None
        except TemplateSyntaxError as error:
            raise RenderError(f"line {error.lineno}: {error.message}", path) from None
        except Exception as error:
            # Only the kind: the text of such errors quotes values of the customer.
            raise RenderError(f"{type(error).__name__} while rendering", path) from None
        finally:
            budget.current.reset(token)
        if part in _ONE_LINE:
            return " ".join(text.split())
        if part == "json":
            _must_parse(text, path)
        return text.strip() if part in ("text", "body", "json") else text

    def _template(self, part: str, path: str) -> Template:
        template = self._compiled.get(path)
        if template is None:
            source = self._files[path]
            if len(source) > budget.LONGEST_SOURCE:
                raise RenderError(f"the template is longer than {budget.LONGEST_SOURCE:,} characters")
            template = self._environments[_kind(part)].from_string(source)
            self._compiled[path] = template
        return template


def _kind(part: str) -> str:
    return part if part in ("html", "json") else "text"


def _written(template: Template, names: dict[str, Any]) -> str:
    pieces: list[str] = []
    room = budget.LONGEST_OUTPUT
    for piece in template.generate(names):
        room -= len(piece)
        if room < 0:
            raise RenderError(f"the message grows beyond {budget.LONGEST_OUTPUT:,} characters")
        pieces.append(piece)
    return "".join(pieces)


def _must_parse(text: str, path: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise RenderError("is not JSON after rendering", path) from None
