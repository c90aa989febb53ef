"""`webhooks` in `kairos.yaml`: what the shape alone cannot tell."""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.language.adapter_settings import written_out
from engine.language.addresses import KINDS
from engine.language.diagnostics import Reporter, nearest
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of

_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def check_webhooks(node: Node | None, reporter: Reporter, attributes: Collection[str]) -> None:
    """Names given twice, secrets that are written out, attributes that nobody declared."""
    seen: set[str] = set()
    for entry in _items(node):
        if not isinstance(entry, Mapping):
            continue
        name, secret = entry.get("name"), entry.get("secret")
        text = text_of(name)
        if name is not None and text is not None:
            if text in seen:
                reporter.error("J319", name.mark, f"webhook `{text}` is declared twice")
            seen.add(text)
        if isinstance(secret, Scalar) and secret.value and not _VARIABLE.search(str(secret.value)):
            written_out("secret", secret, reporter)
        _events(entry.get("events"), reporter)
        _include(entry, reporter, attributes)


def _events(node: Node | None, reporter: Reporter) -> None:
    seen: set[str] = set()
    for each in _items(node):
        name = text_of(each)
        if name is not None and name in seen:
            reporter.error("J319", each.mark, f"event `{name}` is listed twice")
        seen.add(name or "")


def _include(entry: Mapping, reporter: Reporter, attributes: Collection[str]) -> None:
    for each in _items(entry.get("include")):
        name = text_of(each)
        if name is None or name in attributes:
            continue
        reporter.error(
            "J308",
            each.mark,
            f"unknown attribute `{name[:60]}`",
            expected="an attribute of the catalogue",
            hint="addresses are not told; receivers can ask for them"
            if name in KINDS
            else nearest(name, attributes),
        )


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()
