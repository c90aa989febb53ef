"""A plan as SVG: it reads from top to bottom as the file does, arms side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from engine.core import describe
from engine.core.plan import Branch, Effect, Message, Plan, Split, Step, Stop
from engine.diagram.fitting import shortened, wrapped
from engine.diagram.outline import Item, Limb, outline

BOX = 232
START = 340
GAP = 28
COLUMN_GAP = 24
LINE = 16
PAD = 10
TITLE, BODY, LABEL = 13, 12, 11
"""Sizes of text, px."""

_COLOURS = {
    "message": ("#e8f1fd", "#2463b4"),
    "wait": ("#fff6e0", "#a86b00"),
    "split": ("#f1eafb", "#6b3fb0"),
    "branch": ("#f1eafb", "#6b3fb0"),
    "effect": ("#e6f6ee", "#1c7a4b"),
    "stop": ("#fbe9e9", "#b03030"),
    "start": ("#1d2939", "#1d2939"),
}
_FONT = "ui-sans-serif, system-ui, 'Segoe UI', 'Noto Sans', 'Noto Sans CJK SC', sans-serif"


@dataclass(frozen=True, slots=True)
class Block:
    """A laid-out part: its size, where its line runs in and out, and its elements at (0, 0)."""

    width: float
    height: float
    middle: float
    parts: tuple[str, ...]
    ends: bool = False

    def at(self, x: float, y: float) -> str:
        return f'<g transform="translate({x:g},{y:g})">{"".join(self.parts)}</g>'


def svg(plan: Plan) -> str:
    """A complete SVG document."""
    start = _box("start", plan.title or plan.journey, _start_lines(plan), width=START)
    body = _column([start, *(_block(item) for item in outline(plan))])
    height = body.height + (0 if body.ends else GAP + 24)
    parts = [body.at(20, 20)]
    if not body.ends:
        x, y = 20 + body.middle, 20 + body.height
        parts.append(_line(x, y, x, y + GAP))
        parts.append(f'<circle cx="{x:g}" cy="{y + GAP + 7:g}" r="7" fill="#1d2939"/>')
    width = body.width + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height + 40:g}" '
        f'viewBox="0 0 {width:g} {height + 40:g}" font-family="{escape(_FONT, {chr(34): "&quot;"})}" '
        f'role="img" aria-label="{escape(plan.journey)}">'
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#667085"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _start_lines(plan: Plan) -> list[str]:
    """How one enters, and what ends or concerns the journey as a whole: a paragraph each."""
    said = ["enters " + describe.trigger(plan.trigger)]
    facts = describe.facts(plan)
    said += [f"{name} {facts[name]}" for name in ("goal", "exits when") if facts[name]]
    if plan.holdout:
        said.append(f"holdout {facts['holdout']}")
    return [line for text in said for line in wrapped(text, START - 2 * PAD, BODY)]


def _block(item: Item) -> Block:
    head = _box(_kind(item.step), item.step.id, _words(item.step))
    return _with_limbs(head, item.limbs) if item.limbs else _ended(head, item.ends)


def _ended(block: Block, ends: bool) -> Block:
    return Block(block.width, block.height, block.middle, block.parts, ends)


def _kind(step: Step) -> str:
    match step:
        case Message():
            return "message"
        case Split():
            return "split"
        case Branch():
            return "branch"
        case Effect():
            return "effect"
        case Stop():
            return "stop"
    return "wait"


def _words(step: Step) -> list[str]:
    match step:
        case Split():
            return _wrapped("splits by enrolment" if step.by == "enrolment" else "splits")
        case Branch():
            return _wrapped("branches")
    return _wrapped("; ".join([describe.step(step), *describe.options(step)]))


def _wrapped(text: str) -> list[str]:
    return wrapped(text, BOX - 2 * PAD, BODY)


def _box(kind: str, title: str, lines: Sequence[str], width: float = BOX) -> Block:
    fill, stroke = _COLOURS[kind]
    height = PAD * 2 + LINE * (1 + len(lines))
    ink, soft = ("#ffffff", "#d0d5dd") if kind == "start" else ("#1d2939", "#475467")
    radius = 14 if kind in ("start", "stop") else 6
    parts = [
        f'<rect width="{width}" height="{height}" rx="{radius}" fill="{fill}" stroke="{stroke}"/>',
        _label(PAD, PAD + 12, shortened(title, width - 2 * PAD, TITLE, bold=True), TITLE, ink, bold=True),
    ]
    parts += [_label(PAD, PAD + 12 + LINE * (n + 1), line, BODY, soft) for n, line in enumerate(lines)]
    return Block(width, height, width / 2, tuple(parts))


def _label(
    x: float, y: float, text: str, size: int, colour: str, bold: bool = False, middle: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="middle"' if middle else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{weight}{anchor}>{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, arrow: bool = True) -> str:
    end = ' marker-end="url(#a)"' if arrow else ""
    across = "" if x1 == x2 else f"V{(y1 + y2) / 2:g}H{x2:g}"
    path = f"M{x1:g} {y1:g}{across}V{y2:g}"
    return f'<path d="{path}" fill="none" stroke="#667085"{end}/>'


def _column(blocks: Iterable[Block]) -> Block:
    """Blocks below one another on one line."""
    found = list(blocks)
    middle = max(block.middle for block in found)
    width = middle + max(block.width - block.middle for block in found)
    parts: list[str] = []
    y: float = 0
    for number, block in enumerate(found):
        parts.append(block.at(middle - block.middle, y))
        y += block.height
        if number + 1 < len(found):
            if not block.ends:
                parts.append(_line(middle, y, middle, y + GAP))
            y += GAP
    return Block(width, y, middle, tuple(parts), found[-1].ends)


def _with_limbs(head: Block, limbs: Sequence[Limb]) -> Block:
    """A step with its arms side by side below it, joined again at the bottom."""
    columns = [_limb(limb) for limb in limbs]
    width = sum(c.width for c in columns) + COLUMN_GAP * (len(columns) - 1)
    lefts, x = [], 0.0
    for column in columns:
        lefts.append(x)
        x += column.width + COLUMN_GAP
    middle = (lefts[0] + columns[0].middle + lefts[-1] + columns[-1].middle) / 2
    shift = max(0.0, head.middle - middle)  # a narrow set of arms below a wide head
    middle += shift
    top = head.height + GAP
    tallest = max(column.height for column in columns)
    ends = all(column.ends for column in columns)
    height = top + tallest + (0 if ends else GAP)
    parts = [head.at(middle - head.middle, 0)]
    for left, column in zip(lefts, columns, strict=True):
        at = left + shift + column.middle
        parts.append(_line(middle, head.height, at, top))
        parts.append(column.at(left + shift, top))
        if not column.ends:
            bottom = top + column.height
            parts.append(_line(at, bottom, at, top + tallest + GAP / 2, arrow=False))
            if at != middle:
                parts.append(_line_across(at, middle, top + tallest + GAP / 2))
    if not ends:
        parts.append(_line(middle, top + tallest + GAP / 2, middle, height, arrow=False))
    total = max(width + shift, middle - head.middle + head.width)
    return Block(total, height, middle, tuple(parts), ends)


def _line_across(x1: float, x2: float, y: float) -> str:
    return f'<path d="M{x1:g} {y:g}H{x2:g}" fill="none" stroke="#667085"/>'


def _limb(limb: Limb) -> Block:
    lines = wrapped(limb.label, BOX - 2 * PAD, LABEL, most=3, bold=True)
    height = LINE * len(lines) + 8
    label = Block(
        BOX,
        height,
        BOX / 2,
        (
            f'<rect width="{BOX}" height="{height}" rx="{height / 2:g}" fill="#f2f4f7"/>',
            *(
                _label(BOX / 2, LINE * (n + 1), line, LABEL, "#344054", bold=True, middle=True)
                for n, line in enumerate(lines)
            ),
        ),
    )
    return _column([label, *(_block(item) for item in limb.items)])
