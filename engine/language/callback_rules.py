"""`callback_secret` of a channel: it is in the address that a provider calls, and so never in a file."""

from __future__ import annotations

import re

from engine.language.diagnostics import Reporter
from engine.language.loader import Node, Scalar

SHORTEST = 16
"""Characters of the secret itself, where its value is known."""
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def check_callback_secret(node: Node | None, reporter: Reporter) -> None:
    """Reports a secret that is anything but one `${NAME}`."""
    if not isinstance(node, Scalar) or node.spoiled or not isinstance(node.value, str):
        return
    if not _REFERENCE.fullmatch(node.value):
        reporter.error(
            "J330",
            node.mark,
            "`callback_secret` is not taken from the environment",
            expected="`${NAME}` and nothing else",
            hint=f"give the variable a random value of at least {SHORTEST} letters and digits",
        )
