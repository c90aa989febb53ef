"""Findings as Markdown: `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.findings import Finding

HEAD = """\
# Performance

Written by `make bench`; run it to get your own machine's figures. A comparison measures us and a named
baseline in turns in the same run, and tells the median of the ratios of all pairs with its interval (order
statistics of the median, no assumption about the distribution). A target counts as met if the interval
reaches it. Rates differ from machine to machine; ratios less so.
"""


def page(machine: Sequence[str], findings: Iterable[tuple[str, Sequence[Finding]]], took: float) -> str:
    """The whole page. `findings` are (title of the benchmark, what it found)."""
    listed = [(title, list(found)) for title, found in findings]
    lines = [HEAD, "## The machine", "", *(f"- {line}" for line in machine)]
    lines += [f"- this run took {took / 60:.0f} minutes", "", "## Results", ""]
    lines += ["| what | baseline | measured | wanted | |", "|---|---|---|---|---|"]
    for _, found in listed:
        lines += [_row(one) for one in found]
    for title, found in listed:
        notes = [note for one in found for note in one.notes]
        pairs = [(one.what, one.pairs) for one in found if one.pairs]
        if not notes and not pairs:
            continue
        lines += ["", f"## {title}", "", *(f"- {note}" for note in notes)]
        lines += [f"- pairs, {what}: {', '.join(numbers)}" for what, numbers in pairs]
    return "\n".join(lines) + "\n"


def _row(one: Finding) -> str:
    cells = (one.what, one.baseline, one.value, one.target or "", one.verdict)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def terminal(found: Finding) -> list[str]:
    """The same for people who watch the run."""
    wanted = f"   wanted: {found.target}: {found.verdict}" if found.target else ""
    lines = [f"{found.what}: {found.value}{wanted}"]
    if found.baseline:
        lines.append(f"    against {found.baseline}")
    return [*lines, *(f"    {note}" for note in found.notes)]
