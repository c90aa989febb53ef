"""Mistakes that show in a template before anybody gets it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Literal

from jinja2 import nodes
from jinja2.exceptions import TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.content import budget
from engine.content.errors import TemplateProblem
from engine.content.extent import path_of
from engine.content.parts import OWN, Folder, parts_of, template_path
from engine.content.scope import ROOTS, TemplateScope
from engine.content.sms import MOST_CHARACTERS

_EVENT = ("name", "id", "occurred_at")
_GIVEN = frozenset({"loop", "caller", "varargs", "kwargs", "range", "namespace"})
_LOOSE = frozenset({"object", "any", "list"})


def check_parts(
    message: str, channel: str, parts: Mapping[str, str], folder: Folder = OWN, known: Iterable[str] = ()
) -> list[TemplateProblem]:
    """Parts that the channel needs and are not there, and parts that it does not have."""
    rules = parts_of(channel)
    if not parts:
        wanted = (*rules.needed, *rules.either)[0] if rules else "text"
        path = template_path(message, channel, wanted)
        there = ", ".join(known)
        hint = f"`{message}` has templates for {there}" if there else f"write {path}"
        return [
            TemplateProblem(path, 1, 1, "missing-part", f"`{message}` has no {channel} template", hint=hint)
        ]
    if rules is None:
        return []
    missing = [part for part in rules.needed if part not in parts]
    if rules.either and not any(part in parts for part in rules.either):
        missing.append(rules.either[0])
    which = f"{folder.label} " if folder.label else ""
    problems = [
        TemplateProblem(
            template_path(message, channel, part, folder),
            1,
            1,
            "missing-part",
            f"the {which}{channel} template of `{message}` has no {part}",
            hint=f"write {template_path(message, channel, part, folder)}",
        )
        for part in missing
    ]
    for part, path in parts.items():
        if part not in rules.all:
            expected = ", ".join(rules.all)
            said = f"{channel} has no part `{part}`"
            problems.append(
                TemplateProblem(path, 1, 1, "unknown-part", said, expected, _near(part, rules.all))
            )
    return problems


def check_source(
    environment: ImmutableSandboxedEnvironment, path: str, source: str
) -> nodes.Template | TemplateProblem:
    """The syntax tree of one file, or why it has none."""
    if len(source) > budget.LONGEST_SOURCE:
        said = f"the template has {len(source):,} characters"
        return TemplateProblem(path, 1, 1, "too-long", said, f"at most {budget.LONGEST_SOURCE:,}")
    try:
        tree = environment.parse(source)
        environment.compile(source)
    except TemplateSyntaxError as error:
        message = error.message or "this is no Jinja2 template"
        return TemplateProblem(path, error.lineno, 1, "syntax", message, hint=_syntax_hint(message))
    except (TemplateError, RecursionError, MemoryError, ValueError, SyntaxError) as error:
        said = f"this template cannot be compiled ({type(error).__name__})"
        return TemplateProblem(path, 1, 1, "syntax", said, hint="make it simpler")
    return tree


def own_names(tree: nodes.Template) -> set[str]:
    """Names that a file gives itself: what is made of it can use them everywhere."""
    own = {macro.name for macro in tree.find_all(nodes.Macro)}
    own |= {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    if any(True for _ in tree.find_all(nodes.Block)):
        own.add("super")
    return own


def check_names(
    path: str, source: str, tree: nodes.Template, scope: TemplateScope, own: Iterable[str]
) -> Iterator[TemplateProblem]:
    """Names that mean nothing, and nulls, in one file. `own`: names given by all that it is made with."""
    return _Names(path, source, scope, own).problems(tree)


class _Names:
    def __init__(self, path: str, source: str, scope: TemplateScope, own: Iterable[str]) -> None:
        self.own = _GIVEN | set(own)
        self.path = path
        self.source = source
        self.scope = scope

    def problems(self, tree: nodes.Template) -> Iterator[TemplateProblem]:
        own = self.own
        inner = {id(node.node) for node in tree.find_all(nodes.Getattr)}
        inner |= {id(node.node) for node in tree.find_all(nodes.Getitem)}
        for name in tree.find_all(nodes.Name):
            if name.ctx == "load" and name.name not in own and name.name not in ROOTS:
                yield self._say(
                    name.lineno,
                    name.name,
                    "unknown-variable",
                    f"unknown name `{name.name}`",
                    ", ".join(ROOTS),
                    _near(name.name, ROOTS) or f"write profile.{name.name} or trigger.{name.name}",
                )
        for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
            if id(node) not in inner:
                root, names = path_of(node)
                if root in ROOTS and root not in own:
                    yield from self._property(node.lineno, root, names)
        for const in tree.find_all(nodes.Const):
            if const.value is None:
                yield self._say(
                    const.lineno,
                    "none",
                    "null",
                    "a literal null is never rendered",
                    hint="write another text, or test with `is defined`",
                )

    def _property(self, line: int, root: str, names: list[str]) -> Iterator[TemplateProblem]:
        known: Iterable[str] | None
        code, rest = "unknown-property", "declare it in journeys/catalog.yaml"
        match root:
            case "profile":
                known = self.scope.profile
            case "trigger" | "event":
                types = self.scope.trigger if root == "trigger" else self.scope.event
                if types is None:
                    said = f"`{root}` has no meaning where this message stands"
                    yield self._say(line, root, "unknown-variable", said)
                    return
                known = {*types, *_EVENT}
            case "answers":
                known, code = self.scope.answers, "null"
                rest = "no step saves it: give a step `save_as`"
            case "brand":
                known, rest = self.scope.brand, "add it to `brand` in kairos.yaml"
            case _:
                known = None
        if known is None or not names or names[0] in known:
            return
        listed = ", ".join(sorted(known)[:12]) or "nothing is declared"
        near = _near(names[0], known)
        said = f"unknown property `{root}.{names[0]}`"
        if code == "null":
            said = f"`{root}.{names[0]}` is always null"
        yield self._say(line, f"{root}.{names[0]}", code, said, listed, near or rest)

    def _say(
        self,
        line: int,
        word: str,
        code: str,
        message: str,
        expected: str | None = None,
        hint: str | None = None,
    ) -> TemplateProblem:
        return at_word(self.path, self.source, line, word, code, message, expected, hint)


def at_word(
    path: str,
    source: str,
    line: int,
    word: str,
    code: str,
    message: str,
    expected: str | None = None,
    hint: str | None = None,
    severity: Literal["error", "warning"] = "error",
) -> TemplateProblem:
    """Jinja2 knows lines only: the column is that of the word on it, or on the line just before."""
    lines = source.splitlines() or [""]
    for number in range(line, max(0, line - 1), -1):
        text = lines[number - 1] if number <= len(lines) else ""
        match = re.search(rf"(?<![\w.]){re.escape(word)}\b", text)
        if match:
            return TemplateProblem(path, number, match.start() + 1, code, message, expected, hint, severity)
    return TemplateProblem(path, line, 1, code, message, expected, hint, severity)


def _near(word: str, known: Iterable[str]) -> str | None:
    near = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None


def _syntax_hint(message: str) -> str | None:
    if "No filter named" in message or "No test named" in message:
        return "the list of filters and tests is in docs/reference"
    if "unexpected end of template" in message.lower() or "Unexpected end" in message:
        return "a tag or a `{{` is not closed"
    return None


# --- length and JSON --------------------------------------------------------------------------------------


def check_sms(path: str, tree: nodes.Template) -> list[TemplateProblem]:
    longest = _visible(tree.body)
    if longest <= MOST_CHARACTERS:
        return []
    said = f"the text has at least {longest} characters, values not counted"
    hint = "carriers refuse longer ones; every character counts 1"
    return [TemplateProblem(path, 1, 1, "too-long", said, f"at most {MOST_CHARACTERS}", hint)]


def _visible(body: Iterable[nodes.Node]) -> int:
    """Characters of the template's own text on its longest way; a loop counts once."""
    total = 0
    for node in body:
        match node:
            case nodes.Output():
                total += sum(len(n.data) for n in node.nodes if isinstance(n, nodes.TemplateData))
            case nodes.If():
                arms = [node.body, *(arm.body for arm in node.elif_), node.else_]
                total += max(_visible(arm) for arm in arms)
            case nodes.For():
                total += max(_visible(node.body), _visible(node.else_))
            case nodes.With() | nodes.FilterBlock() | nodes.Scope() | nodes.ScopedEvalContextModifier():
                total += _visible(node.body)
    return total


def check_json(environment: ImmutableSandboxedEnvironment, path: str, source: str) -> list[TemplateProblem]:
    """Parses the text around the values. Templates with blocks have no one skeleton and are not judged."""
    skeleton: list[str] = []
    for _, token, text in environment.lex(source):
        if token == "block_begin":
            return []
        if token == "data" or token == "raw_begin":
            skeleton.append(text if token == "data" else "")
        elif token == "variable_begin":
            skeleton.append("0")
        elif token == "whitespace":
            # Keeps lines where they are, should a value go over several.
            skeleton.append("\n" * text.count("\n"))
    try:
        json.loads("".join(skeleton))
    except json.JSONDecodeError as error:
        said = f"not JSON after rendering: {error.msg[0].lower()}{error.msg[1:]}"
        hint = 'a text stands in quotes, "{{ trigger.name }}", or goes through `tojson` without them'
        return [TemplateProblem(path, error.lineno, error.colno, "json", said, hint=hint)]
    except RecursionError:
        return [TemplateProblem(path, 1, 1, "json", "nested too deeply")]
    return []
