"""Variants of messages: which text a customer gets, by a condition. The first that holds counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Map
from dataclasses import dataclass

from engine.core.locales import canonical
from engine.language.diagnostics import Reporter
from engine.language.expressing import Place, check
from engine.language.expressions import Facts, holds
from engine.language.loader import Mapping, Node, Scalar, load, text_of
from engine.language.loader import Sequence as Items

_PATH = re.compile(r"templates/([^/_][^/]*)/variants\.yaml")
GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    where: str


Variants = Map[str, tuple[Variant, ...]]
"""By message, in the file's order."""


def message_with_variants(path: str) -> str | None:
    """The message whose variants a file names; None if it is no such file."""
    match = _PATH.fullmatch(path)
    return match[1] if match else None


def read_variants(files: Map[str, str]) -> dict[str, tuple[Variant, ...]]:
    """The variants of all messages; what is not well formed is left out."""
    found = {}
    for path, text in files.items():
        message = message_with_variants(path)
        if message is not None:
            found[message] = tuple(variants_in(load(path, text)[0]))
    return found


def variants_in(root: Node | None) -> Iterator[Variant]:
    """The variants of a file that is loaded."""
    for each in _entries(root):
        name, where = text_of(each.get("name")), text_of(each.get("where"))
        if name is not None and where is not None:
            yield Variant(name, where)


def names_of(variants: Variants) -> dict[str, tuple[str, ...]]:
    """Message to the names of its variants."""
    return {message: tuple(each.name for each in found) for message, found in variants.items()}


def holding(variants: Iterable[Variant], facts: Facts) -> tuple[str, ...]:
    """The names of those that hold for this customer, in order."""
    return tuple(each.name for each in variants if holds(each.where, facts))


def check_variants(root: Node | None, paths: Sequence[str], message: str, reporter: Reporter) -> None:
    """Names that are taken or cannot be, and variants without a template."""
    seen: set[str] = set()
    for each in _entries(root):
        node = each.get("name")
        name = text_of(node)
        if name is None or not isinstance(node, Scalar):
            continue
        folder = f"templates/{message}/{name}/"
        if name in seen:
            reporter.error("J319", node.mark, f"variant `{name}` is named twice")
        elif name == GENERIC:
            said = "`generic` is for those who are not to be written to personally: it has no condition"
            reporter.error("J608", node.mark, said, hint="give the variant another name")
        elif canonical(name) is not None:
            reporter.error("J608", node.mark, f"`{name}` reads as a locale", hint="give it a longer name")
        elif not any(path.startswith(folder) for path in paths):
            said = f"variant `{name}` has no template"
            reporter.error("J608", node.mark, said, hint=f"write {folder}<channel>.<part>.j2")
        seen.add(name)


def check_conditions(root: Node | None, place: Place, reporter: Reporter) -> None:
    """The conditions, as they are asked where the message stands."""
    for each in _entries(root):
        check(each.get("where"), place, reporter, condition=True)


def _entries(root: Node | None) -> Iterator[Mapping]:
    listed = root.get("variants") if isinstance(root, Mapping) else None
    for each in listed.items if isinstance(listed, Items) else ():
        if isinstance(each, Mapping):
            yield each
