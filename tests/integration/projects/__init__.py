"""Projects that integration tests apply: path to text."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def project(name: str) -> dict[str, str]:
    """The files of `NAME/` beside this module."""
    root = _FOLDER / name
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


UNPAID_CART = project("unpaid_cart")
