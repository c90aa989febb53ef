"""`links` in `kairos.yaml`: what the shape alone cannot tell."""

from __future__ import annotations

import re

from engine.language.diagnostics import Reporter, nearest
from engine.language.loader import Mapping, Node, text_of

PLACEHOLDERS = ("journey", "step", "template", "channel", "link")
"""What a value of `utm` may name in braces."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LOCAL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])([:/]|$)")


def check_links(node: Node | None, reporter: Reporter) -> None:
    """An address that cannot stand before `/r/CODE`, and names in braces that nothing fills in."""
    if not isinstance(node, Mapping):
        return
    base = node.get("base_url")
    text = text_of(base)
    if base is not None and text is not None and "${" not in text:
        if re.search(r"[?#]", text):
            reporter.error(
                "J336",
                base.mark,
                "links cannot begin with an address that has `?` or `#`",
                expected="an address such as `https://go.example.com`",
            )
        elif text.startswith("http://") and _LOCAL.match(text) is None:
            reporter.warning(
                "J336",
                base.mark,
                "without https everybody on the way can read and change links",
                hint="mail programs offer one-click unsubscribing for https addresses only",
            )
    utm = node.get("utm")
    for value in utm.values.values() if isinstance(utm, Mapping) else ():
        for name in _PLACEHOLDER.findall(text_of(value) or ""):
            if name not in PLACEHOLDERS:
                reporter.error(
                    "J335",
                    value.mark,
                    f"nothing fills in `{{{name[:40]}}}`",
                    expected=", ".join(f"`{{{each}}}`" for each in PLACEHOLDERS),
                    hint=nearest(name, PLACEHOLDERS),
                )
