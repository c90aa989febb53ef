"""A template with its layout and its blocks put in: one source, resolved before anything is rendered.

`{% extends "name" %}` is a file of `_layouts`, `{% include "name" %}` one of `_blocks`, both for the same
part and in the template's own language where there is one. Names are literal, so that what a message is made
of can be seen without a customer: it is checked, has its style sheets inlined, is compiled and named by its
digest as a whole. A block's and an included file's own variables stay inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment
from jinja2.exceptions import TemplateSyntaxError

from engine.content import budget
from engine.content.errors import TemplateProblem
from engine.content.parts import BLOCKS, LAYOUTS
from engine.content.pieces import Piece, pieces_of

_SPECIAL = ("extends", "include", "block")
DEEPEST = 20
"""Files inside each other."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """`paths` are the files that it is made of, its own first. With problems it cannot be rendered."""

    source: str
    paths: tuple[str, ...]
    problems: tuple[TemplateProblem, ...] = ()

    @property
    def shared(self) -> tuple[str, ...]:
        return self.paths[1:]


@dataclass(slots=True)
class _Block:
    name: str
    nodes: list[_Node] = field(default_factory=list)


_Node = Piece | _Block
_Chain = tuple[list[_Node], ...]
"""A block's contents, the most derived first."""


class _Wrong(Exception):
    def __init__(self, problem: TemplateProblem) -> None:
        self.problem = problem


def assemble(
    environment: Environment, files: Mapping[str, str], path: str, part: str, locales: Sequence[str]
) -> Assembly:
    """The template at `path`. `locales`: where layouts and blocks are looked for, in this order."""
    source = files[path]
    if not any(word in source for word in _SPECIAL):
        return Assembly(source, (path,))
    builder = _Builder(environment, files, part, locales)
    try:
        text = "".join(builder.whole(path, {}, ()))
    except _Wrong as wrong:
        return Assembly(source, tuple(builder.paths), (wrong.problem,))
    except TemplateSyntaxError:
        return Assembly(source, tuple(builder.paths) or (path,))  # the check of each file says it better
    return Assembly(text, tuple(builder.paths))


class _Builder:
    def __init__(
        self, environment: Environment, files: Mapping[str, str], part: str, locales: Sequence[str]
    ) -> None:
        self.environment = environment
        self.files = files
        self.part = part
        self.locales = locales
        self.paths: dict[str, None] = {}
        self.room = budget.LONGEST_ASSEMBLED

    def whole(self, path: str, over: dict[str, _Chain], stack: tuple[str, ...]) -> Iterator[str]:
        """The file with what it extends and includes; `over` are blocks of those that extend it."""
        if len(self.files[path]) > budget.LONGEST_SOURCE:
            raise _Wrong(TemplateProblem(path, 1, 1, "too-long", "the template is too long"))
        self.paths[path] = None
        nodes = list(self.nodes(path))
        first = next((node for node in nodes if not _blank(node)), None)
        if isinstance(first, Piece) and first.tag == "extends":
            parent = self.find(LAYOUTS, "layout", path, first, (*stack, path))
            mine = {block.name: (block.nodes,) for block in _blocks(nodes)}
            yield from _kept(nodes)
            merged = {name: over.get(name, ()) + mine.get(name, ()) for name in (*over, *mine)}
            yield from self.whole(parent, merged, (*stack, path))
        else:
            yield from self.written(path, nodes, over, (), (*stack, path))

    def written(
        self,
        path: str,
        nodes: Sequence[_Node],
        over: Mapping[str, _Chain],
        above: _Chain,
        stack: tuple[str, ...],
    ) -> Iterator[str]:
        """`above` is what `super()` means here."""
        for node in nodes:
            if isinstance(node, _Block):
                # Inside of itself a block is its own: a name that comes again there ends.
                chain = (*over.get(node.name, ()), node.nodes)
                inner = {name: each for name, each in over.items() if name != node.name}
                yield from _apart(list(self.written(path, chain[0], inner, chain[1:], stack)))
            elif node.tag == "extends":
                said = "`extends` is the first thing in a template, once, and under no condition"
                raise _Wrong(self.problem(path, node, said))
            elif node.tag == "include":
                found = self.find(BLOCKS, "block", path, node, stack)
                self.spend(path, len(node.text))
                yield from _apart(list(self.whole(found, {}, stack)))
            elif node.kind == "value" and [text for _, text in node.words] == ["super", "(", ")"]:
                if above:
                    yield from self.written(path, above[0], over, above[1:], stack)
            else:
                self.spend(path, len(node.text))
                yield node.text

    def spend(self, path: str, characters: int) -> None:
        self.room -= characters
        if self.room < 0:
            said = f"with all its blocks it has more than {budget.LONGEST_ASSEMBLED:,} characters"
            raise _Wrong(TemplateProblem(path, 1, 1, "too-long", said))

    def nodes(self, path: str) -> Iterator[_Node]:
        open_: list[_Block] = []
        for piece in pieces_of(self.environment, self.files[path]):
            if piece.tag == "block" and len(piece.words) > 1:
                open_.append(_Block(piece.words[1][1]))
                continue
            done: _Node = piece
            if piece.tag == "endblock" and open_:
                done = open_.pop()
            if open_:
                open_[-1].nodes.append(done)
            else:
                yield done

    def find(self, folder: str, what: str, path: str, tag: Piece, stack: Sequence[str]) -> str:
        """The file that a tag names, in the best language that there is."""
        if len(tag.words) != 2 or tag.words[1][0] != "string":
            said = f"a {what} is named in quotes, and nothing else"
            raise _Wrong(self.problem(path, tag, said, f'{{% {tag.tag} "name" %}}'))
        name = tag.words[1][1][1:-1]
        ending = f"{name}.{self.part}.j2"
        candidates = [*(f"{folder}{locale}/{ending}" for locale in self.locales), folder + ending]
        found = next((each for each in candidates if each in self.files), None)
        if found is None:
            known = sorted(
                each.removeprefix(folder).removesuffix(f".{self.part}.j2")
                for each in self.files
                if each.startswith(folder) and each.endswith(f".{self.part}.j2")
            )
            said = f"there is no {what} `{name[:60]}` for the part {self.part}"
            raise _Wrong(self.problem(path, tag, said, ", ".join(known) or None, f"write {folder}{ending}"))
        if found in stack or len(stack) > DEEPEST:
            way = " → ".join(each.rpartition("/")[2] for each in (*stack[-3:], found))
            said = f"it ends in itself: {way}" if found in stack else "files inside each other without end"
            raise _Wrong(self.problem(path, tag, said))
        return found

    def problem(
        self, path: str, piece: Piece, said: str, expected: str | None = None, hint: str | None = None
    ) -> TemplateProblem:
        lines = self.files[path].splitlines()
        text = lines[piece.line - 1] if piece.line <= len(lines) else ""
        column = text.find(piece.tag or "") + 1
        return TemplateProblem(path, piece.line, max(1, column), "layout", said, expected, hint)


def _blank(node: _Node) -> bool:
    return isinstance(node, Piece) and (
        node.kind == "comment" or (node.kind == "data" and not node.text.strip())
    )


def _blocks(nodes: Sequence[_Node]) -> Iterator[_Block]:
    for node in nodes:
        if isinstance(node, _Block):
            yield node
            yield from _blocks(node.nodes)


def _kept(nodes: Sequence[_Node]) -> Iterator[str]:
    """What a template that extends says outside its blocks: variables and macros count, text does not."""
    ends: list[str] = []
    for node in nodes:
        if not isinstance(node, Piece) or node.tag in ("extends", "include"):
            continue
        if node.tag == "macro" or (node.tag == "set" and ("operator", "=") not in node.words):
            ends.append(f"end{node.tag}")
        if ends or node.kind == "tag":
            yield node.text
        if ends and node.tag == ends[-1]:
            ends.pop()


def _apart(texts: list[str]) -> list[str]:
    """With its variables kept inside, where it sets any."""
    if any(text.startswith("{%") and "set" in text for text in texts):
        return ["{% with %}", *texts, "{% endwith %}"]
    return texts


def text_outside_blocks(environment: Environment, path: str, source: str) -> TemplateProblem | None:
    """A template that extends a layout shows only its blocks: the first text that nobody would see."""
    if "extends" not in source:
        return None
    extends, depth = False, 0
    for piece in pieces_of(environment, source):
        extends = extends or piece.tag == "extends"
        if piece.tag in ("block", "macro") or (piece.tag == "set" and ("operator", "=") not in piece.words):
            depth += 1
        elif piece.tag in ("endblock", "endmacro", "endset"):
            depth -= 1
        elif extends and depth == 0 and piece.kind in ("data", "value", "raw") and piece.text.strip():
            before = piece.text[: len(piece.text) - len(piece.text.lstrip())]
            line = piece.line + before.count("\n")
            said = "text outside the blocks of a template that extends a layout is never shown"
            return TemplateProblem(
                path, line, 1, "layout", said, severity="warning", hint="put it into a block"
            )
    return None
