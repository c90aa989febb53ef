"""A message's templates checked: what it is made of, whom it reaches, and every file with what it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from jinja2 import nodes

from engine.content.assemble import text_outside_blocks
from engine.content.check import (
    at_word,
    check_json,
    check_names,
    check_parts,
    check_sms,
    check_source,
    own_names,
)
from engine.content.environment import Environment
from engine.content.errors import RenderError, TemplateProblem
from engine.content.lint_email import lint_email
from engine.content.lint_json import lint_json
from engine.content.lint_nulls import may_be_missing
from engine.content.lint_sms import lint_sms
from engine.content.made import ENVIRONMENTS, kind_of
from engine.content.parts import (
    GENERIC,
    OWN,
    Folder,
    is_beside,
    message_of,
    shared_part,
    template_path,
)
from engine.content.scope import TemplateScope
from engine.content.templates import KEPT, TemplateSet
from engine.core.locales import fall_back

_IN_THE_WAY = frozenset({"syntax", "layout", "too-long"})
_SINGLE = {kind: Environment(kind, single=True) for kind in ENVIRONMENTS}


def check_message(
    templates: TemplateSet, message: str, channel: str, scope: TemplateScope
) -> list[TemplateProblem]:
    """All mistakes of one message on one channel, in order of file and line."""
    folders = templates.folders(message, channel)
    problems: dict[TemplateProblem, None] = {}
    if not any(folder.variant is None for folder in folders):
        found = check_parts(message, channel, {}, known=templates.channels(message))
        problems |= dict.fromkeys(found)
    problems |= dict.fromkeys(_left_over(templates, message, channel))
    for folder in folders:
        parts = templates.parts(message, channel, folder)
        problems |= dict.fromkeys(check_parts(message, channel, parts, folder))
        here = replace(scope, profile=KEPT) if folder.variant == GENERIC else scope
        told: list[TemplateProblem] = []
        for part, path in parts.items():
            told += check_part(templates, path, channel, part, here)
        problems |= dict.fromkeys(told)
        if channel == "email" and not any(problem.code in _IN_THE_WAY for problem in told):
            problems |= dict.fromkeys(_email(templates, message, folder, here))
    return sorted(problems, key=lambda p: (p.path, p.line, p.column))


def _email(
    templates: TemplateSet, message: str, folder: Folder, scope: TemplateScope
) -> Iterator[TemplateProblem]:
    assemblies = {
        part: templates.assembly(path) for part, path in templates.parts(message, "email", folder).items()
    }
    try:
        yield from lint_email(assemblies, templates.made(message, "email", folder), scope)
    except RenderError as error:
        path = next(iter(assemblies.values())).paths[0]
        yield TemplateProblem(path, 1, 1, "syntax", f"this cannot be made ready: {error.message}")


def check_part(
    templates: TemplateSet, path: str, channel: str, part: str, scope: TemplateScope
) -> Iterator[TemplateProblem]:
    """Mistakes of one part, in its own file and in those that it is made of."""
    kind = kind_of(part)
    assembly = templates.assembly(path)
    yield from assembly.problems
    trees: dict[str, nodes.Template] = {}
    for each in assembly.paths:
        found = tree_of(kind, each, templates.files[each])
        if isinstance(found, TemplateProblem):
            yield found
        else:
            trees[each] = found
    own = {name for tree in trees.values() for name in own_names(tree)}
    for each, tree in trees.items():
        yield from check_names(each, templates.files[each], tree, scope, own)
        for line, missing in may_be_missing(tree, scope):
            said = f"`{missing}` is missing for some customers: they would not get this message"
            hint = f"give it a default: `{{{{ {missing} | default('…') }}}}`"
            if missing.startswith("links."):
                said = f"`{missing}` is null without `links` in kairos.yaml: nobody would get this message"
                hint = "say there where links lead, `links: {base_url: …}`, or give it a default"
            source = templates.files[each]
            yield at_word(each, source, line, missing, "may-be-missing", said, hint=hint, severity="warning")
        if (unseen := text_outside_blocks(ENVIRONMENTS[kind], each, templates.files[each])) is not None:
            yield unseen
    if assembly.problems or len(trees) < len(assembly.paths):
        return
    whole = tree_of(kind, path, assembly.source, single=False)
    if isinstance(whole, TemplateProblem):
        yield replace(whole, line=1) if assembly.shared else whole
        return
    if channel == "sms" and part == "text":
        yield from check_sms(path, whole)
        yield from lint_sms(path, whole, scope)
    if part == "json":
        for problem in lint_json(path, channel, assembly.source, whole, scope):
            yield replace(problem, line=1) if assembly.shared else problem
        for problem in check_json(ENVIRONMENTS[kind], path, assembly.source):
            yield replace(problem, line=1, column=1) if assembly.shared else problem


@lru_cache(maxsize=1024)
def tree_of(kind: str, path: str, source: str, single: bool = True) -> nodes.Template | TemplateProblem:
    """The syntax tree of a source, or why it has none. `single`: of a file as it is written."""
    return check_source((_SINGLE if single else ENVIRONMENTS)[kind], path, source)


def _left_over(templates: TemplateSet, message: str, channel: str) -> Iterator[TemplateProblem]:
    """Each variant, and the message itself, has something for customers whose locale it has not."""
    folders = templates.folders(message, channel)
    for variant in sorted({folder.variant for folder in folders if folder.variant is None}, key=str):
        there = [folder.locale for folder in folders if folder.variant == variant]
        if None in there or any(locale in there for locale in fall_back(templates.locale)):
            continue
        first = Folder(variant, there[0])
        path = next(iter(templates.parts(message, channel, first).values()))
        said = f"`{message}` has its {channel} template in {', '.join(map(str, there))} alone"
        hint = f"write {template_path(message, channel, '….', OWN).replace('….', '…')} for everybody else"
        expected = f"one for {templates.locale}, or one that is in no locale's folder"
        yield TemplateProblem(path, 1, 1, "variant", said, expected, hint)


def check_paths(templates: TemplateSet) -> list[TemplateProblem]:
    """Files below `templates/` that are none of a message, variants of what is not there, and the syntax of
    layouts and blocks that nobody uses."""
    problems = []
    used = set()
    for message in templates.messages():
        for channel in templates.channels(message):
            for folder in templates.folders(message, channel):
                for path in templates.parts(message, channel, folder).values():
                    used |= set(templates.assembly(path).paths)
    for path in sorted(templates.files):
        if not path.startswith("templates/") or is_beside(path) or path in used:
            continue
        place, part = templates.place(path), shared_part(path)
        if place is not None:
            said = f"`{place.message}` has no {place.channel} template that this is a variant of"
            problems.append(TemplateProblem(path, 1, 1, "missing-part", said))
        elif part is not None:
            found = tree_of(kind_of(part), path, templates.files[path])
            if isinstance(found, TemplateProblem):
                problems.append(found)
        else:
            problems.append(_no_template(templates, path))
    return problems


def _no_template(templates: TemplateSet, path: str) -> TemplateProblem:
    expected = template_path("<message>", "<channel>", "<part>")
    hint = None
    message, inside = message_of(path), path.split("/")[2:-1]
    if message is not None and inside:
        variants = ", ".join(templates.variants.get(message, ())) or "none is named"
        hint = f"`{inside[0][:40]}` is no locale, and no variant of variants.yaml ({variants})"
    return TemplateProblem(path, 1, 1, "unknown-part", "this file is no template by its name", expected, hint)
