"""The list of diagnostics as text, JSON and SARIF: the same list in each."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

from engine.language.diagnostics import CODES, Diagnostic

WIDEST = 160
DOCS = "https://github.com/kairos-journeys/kairos/blob/main/docs/errors"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_text(found: Sequence[Diagnostic]) -> str:
    """`file:line:col: error[J204]: what is wrong`, the source line, a caret, what was expected, a hint."""
    blocks = ["\n".join(_block(each)) for each in found]
    return "\n\n".join([*blocks, summary(found)]) + "\n"


def summary(found: Sequence[Diagnostic]) -> str:
    errors = sum(each.severity == "error" for each in found)
    warnings = len(found) - errors
    if not found:
        return "no mistakes"
    parts = [_count(errors, "mistake")] if errors else ["no mistakes"]
    return ", ".join([*parts, *([_count(warnings, "warning")] if warnings else [])])


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _block(each: Diagnostic) -> list[str]:
    place = f"{_safe(each.path)}:{each.line}:{each.col}"
    lines = [f"{place}: {each.severity}[{each.code}]: {_safe(each.message)}"]
    if each.source is not None and each.source.strip():
        shown, caret = _excerpt(each.source, each.col - 1)
        lines += [f"  {each.line:>4} | {shown}", f"       | {' ' * caret}^"]
    if each.expected is not None:
        lines.append(f"       = expected: {_safe(each.expected)}")
    if each.hint is not None:
        lines.append(f"       = hint: {_safe(each.hint)}")
    return lines


def _excerpt(source: str, offset: int) -> tuple[str, int]:
    """The part of a line around an offset, and the column of the caret under it."""
    start = max(0, offset - WIDEST // 2) if len(source) > WIDEST else 0
    part = _safe(source[start : start + WIDEST])
    before = part[: max(0, offset - start)]
    lead = "…" if start else ""
    tail = "…" if start + WIDEST < len(source) else ""
    return lead + part + tail, len(lead) + sum(map(_width, before))


def _width(character: str) -> int:
    # Chinese characters take two columns in a terminal; combining marks none.
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _safe(text: str) -> str:
    """One line without what could drive a terminal."""
    return "".join(
        " " if c == "\t" else c if c.isprintable() or c == " " else f"\\u{ord(c):04x}" for c in text
    )


def as_data(found: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Every diagnostic as JSON data; what is not there is left out."""
    keys = ("path", "line", "col", "severity", "code", "message", "expected", "hint")
    return [{key: value for key in keys if (value := getattr(each, key)) is not None} for each in found]


def as_json(found: Sequence[Diagnostic]) -> str:
    errors = sum(each.severity == "error" for each in found)
    data = {"errors": errors, "warnings": len(found) - errors, "diagnostics": as_data(found)}
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def as_sarif(found: Sequence[Diagnostic]) -> str:
    """SARIF 2.1.0 (OASIS), as code hosts and editors read it."""
    codes = sorted({each.code for each in found})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CODES.get(code, code)},
            "helpUri": f"{DOCS}/{code}.md",
        }
        for code in codes
    ]
    results = [
        {
            "ruleId": each.code,
            "ruleIndex": codes.index(each.code),
            "level": each.severity,
            "message": {"text": _sentence(each)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": each.path, "uriBaseId": "PROJECT"},
                        "region": {"startLine": each.line, "startColumn": each.col},
                    }
                }
            ],
        }
        for each in found
    ]
    run = {
        "tool": {"driver": {"name": "kairos", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    data = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _sentence(each: Diagnostic) -> str:
    parts = [each.message]
    if each.expected is not None:
        parts.append(f"Expected: {each.expected}")
    if each.hint is not None:
        parts.append(f"Hint: {each.hint}")
    return ". ".join(parts)
