"""The meaning of tags and segments that are written as mappings: rules that keep tags, lists, histories."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from engine.language.diagnostics import Reporter
from engine.language.expressing import base_scope, report
from engine.language.expressions import (
    Definitions,
    ExpressionError,
    Problem,
    check,
    parse,
    places_used,
    texts_of,
    walk,
)
from engine.language.expressions.sql import NotInSql, Setting, condition
from engine.language.expressions.tree import Call, Constant
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.words import Words

_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def check_segment_forms(root: Mapping, reporter: Reporter) -> None:
    """A segment is an expression or a list, not both and not neither."""
    segments = root.get("segments")
    for name, node in segments.values.items() if isinstance(segments, Mapping) else ():
        if isinstance(node, Mapping) and ("where" in node.keys) == ("list" in node.keys):
            said = "both `where` and `list`" if "list" in node.keys else "neither `where` nor `list`"
            reporter.error(
                "J210",
                node.mark,
                f"the segment `{name}` has {said}",
                expected="one of `where`, `list`",
            )


def check_tags(root: Mapping, reporter: Reporter) -> None:
    """No tag is declared twice, and none has a rule and an end."""
    seen: set[str] = set()
    for name, node, about in _named(root):
        if isinstance(about, Mapping) and "where" in about.keys and "expires" in about.keys:
            reporter.error(
                "J217",
                about.keys["expires"].mark,
                f"`{name}` is kept by a rule: it goes when the rule no longer holds",
                hint="leave `expires` out, or `where`",
            )
        if name in seen:
            reporter.error("J319", node.mark, f"tag `{name}` is declared twice")
        seen.add(name)


def check_rules(root: Mapping, words: Words, definitions: Definitions, reporter: Reporter) -> None:
    """The rules of tags, where the catalogue's other definitions are in order.

    A rule cannot ask for a tag that a rule keeps: which of the two were worked out first would matter.
    """
    rules = words.catalogue.rules
    setting = Setting(words.catalogue, words.installation.time_zone)
    for name, node in _rules(root):
        try:
            tree = parse(node.value if isinstance(node.value, str) else "")
        except ExpressionError as error:
            report(error.problem(), node, reporter)
            continue
        problems = check(tree, base_scope(words), condition=True)
        asked = _asked(str(node.value), definitions)
        if taken := sorted(asked & rules.keys()):
            message = f"the rule of `{name}` asks for `{taken[0]}`, which a rule keeps too"
            problems.append(Problem(0, "nesting", message, "what is known of the customer besides"))
        elif "" in asked:
            message = f"the rule of `{name}` asks for a tag that only shows when it is asked"
            problems.append(Problem(0, "nesting", message, "a tag written out, such as `has_tag('staff')`"))
        for problem in problems:
            report(problem, node, reporter)
        if problems:
            continue
        try:
            condition(tree, setting, _ANY_DAY)
        except NotInSql as error:
            reporter.error("J513", node.at(error.offset), error.message)


def _named(root: Mapping) -> Iterator[tuple[str, Node, Node]]:
    tags = root.get("tags")
    for node in tags.items if isinstance(tags, Sequence) else ():
        found = node.get("name") if isinstance(node, Mapping) else node
        name = text_of(found)
        if name is not None and found is not None:
            yield name, found, node


def _rules(root: Mapping) -> Iterator[tuple[str, Scalar]]:
    tags = root.get("tags")
    for node in tags.items if isinstance(tags, Sequence) else ():
        if not isinstance(node, Mapping):
            continue
        name, where = text_of(node.get("name")), node.get("where")
        if name is not None and isinstance(where, Scalar) and isinstance(where.value, str):
            yield name, where


def _asked(text: str, definitions: Definitions) -> set[str]:
    """The tags that an expression asks for, through the definitions it uses; '' for one not written out."""
    found: set[str] = set()
    used = [each for place in places_used(text, definitions) for each in texts_of(place, definitions)]
    for each in (text, *used):
        for node in walk(parse(each)):
            if isinstance(node, Call) and node.function == "has_tag":
                [argument] = node.arguments
                found.add(str(argument.value) if isinstance(argument, Constant) else "")
    return found
