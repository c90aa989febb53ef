"""Text → nodes that know their place. The only module that knows PyYAML.

Scalars are ours, not YAML 1.1's: of the plain ones only `true false null`, integers and decimals are
special and an empty one is null; all else, and everything in quotes, is text. Duplicate keys, anchors,
aliases, tags and second documents are mistakes. The tree is built from the parser's events without
recursion, and size and depth are bounded, so that no input costs more than its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.language.diagnostics import Mark, Reporter

MOST_CHARACTERS = 300_000
MOST_LEVELS = 64
LARGEST_NUMBER = 10**15
"""As in expressions: beyond it a number no longer is what was written."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+\Z")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "": None}


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `value` is text, a number, a boolean or None; `text` is as written, without quotes."""

    mark: Mark
    value: str | int | float | bool | None
    text: str
    plain: bool = True
    exact: bool = True
    """Whether column + offset finds a character of `text` again (one line, no escapes)."""
    spoiled: bool = False
    """A mistake of it is already reported; what its value would have been is not known."""

    def at(self, offset: int) -> Mark:
        """The place of the character `offset` (from 0) of the text; the scalar's own if that is not known."""
        if not self.exact:
            return self.mark
        return Mark(self.mark.line, self.mark.col + offset + (0 if self.plain else 1))


@dataclass(frozen=True, slots=True)
class Sequence:
    mark: Mark
    items: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in file order. A key given twice is here once, with its first value."""

    mark: Mark
    keys: dict[str, Scalar] = field(default_factory=dict)
    values: dict[str, Node] = field(default_factory=dict)

    def get(self, key: str) -> Node | None:
        return self.values.get(key)


Node = Scalar | Sequence | Mapping


def text_of(node: Node | None) -> str | None:
    """The text of a text scalar, None for anything else."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


def plain_data(node: Node) -> Any:
    """The node as plain JSON data."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    return {key: plain_data(value) for key, value in node.values.items()}


class _Stop(Exception):
    """The rest of the file makes no sense any more; the mistake is already reported."""


@dataclass(slots=True)
class _Open:
    """A collection under construction."""

    mark: Mark
    is_map: bool
    flow: bool
    items: list[Node] = field(default_factory=list)
    keys: dict[str, Scalar] = field(default_factory=dict)
    values: dict[str, Node] = field(default_factory=dict)
    key: Scalar | None = None
    torn: Scalar | None = None
    """The value that a comma tore apart, and whose pieces follow as keys."""


def load(path: str, text: str) -> tuple[Node | None, Reporter]:
    """The file's root node, None when it is empty or cannot be read at all, and what was found."""
    reporter = Reporter(path, text[:MOST_CHARACTERS])
    if len(text) > MOST_CHARACTERS:
        reporter.error(
            "J107",
            Mark(),
            f"the file is too large ({len(text):,} characters)",
            expected=f"at most {MOST_CHARACTERS:,} characters",
            hint="split it into several files",
        )
        return None, reporter
    # A byte order mark is what some editors leave behind; it carries no meaning.
    text = text.removeprefix("\ufeff")
    try:
        return _build(text, reporter), reporter
    except _Stop:
        return None, reporter
    except yaml.MarkedYAMLError as error:
        _syntax(error, text, reporter)
    except yaml.reader.ReaderError as error:
        _unreadable(error, text, reporter)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError: PyYAML turns escapes such as \UFFFFFFFF into characters without checking.
        reporter.error("J101", Mark(), f"this is not valid YAML: {error}")
    return None, reporter


def _build(text: str, reporter: Reporter) -> Node | None:
    stack: list[_Open] = []
    root: Node | None = None
    documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                reporter.error(
                    "J106",
                    mark,
                    "a second document begins here",
                    hint="one file holds one document: no `---`",
                )
                raise _Stop
        elif isinstance(event, yaml.AliasEvent):
            reporter.error(
                "J104",
                mark,
                f"alias `*{event.anchor}`",
                hint="write the value out: aliases are not used here",
            )
            root = _place(Scalar(mark, None, "", spoiled=True), stack, root, reporter)
        elif isinstance(event, yaml.ScalarEvent):
            _decoration(event, mark, reporter)
            root = _place(_scalar(event, mark, reporter), stack, root, reporter)
        elif isinstance(event, yaml.CollectionStartEvent):
            _decoration(event, mark, reporter)
            if len(stack) >= MOST_LEVELS:
                reporter.error(
                    "J108", mark, "this is nested too deeply", expected=f"at most {MOST_LEVELS} levels"
                )
                raise _Stop
            if stack and stack[-1].is_map and stack[-1].key is None:
                reporter.error("J110", mark, "a key must be plain text, not a list or mapping")
                raise _Stop
            stack.append(_Open(mark, isinstance(event, yaml.MappingStartEvent), bool(event.flow_style)))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = stack.pop()
            node: Node = (
                Mapping(done.mark, done.keys, done.values)
                if done.is_map
                else Sequence(done.mark, tuple(done.items))
            )
            root = _place(node, stack, root, reporter)
    return root


def _place(node: Node, stack: list[_Open], root: Node | None, reporter: Reporter) -> Node | None:
    if not stack:
        return node
    top = stack[-1]
    if not top.is_map:
        top.items.append(node)
    elif top.key is None:
        assert isinstance(node, Scalar)
        top.key = node
    else:
        key, top.key = top.key, None
        if top.torn is not None and isinstance(node, Scalar) and node.text == "":
            return root  # a piece of the expression that was torn apart, already reported
        top.torn = None
        if key.text in top.keys:
            first = top.keys[key.text].mark
            reporter.error(
                "J103", key.mark, f"`{key.text}` is given twice", hint=f"the first is on line {first.line}"
            )
            return root
        top.keys[key.text] = key
        top.values[key.text] = node
        if top.flow and isinstance(node, Scalar) and node.plain and _torn(node.text):
            top.torn = node
            top.values[key.text] = Scalar(node.mark, None, node.text, spoiled=True)
            _needs_quotes(node.mark, reporter)
    return root


def _decoration(event: Any, mark: Mark, reporter: Reporter) -> None:
    if event.anchor is not None:
        reporter.error(
            "J104",
            mark,
            f"anchor `&{event.anchor}`",
            hint="leave it out: anchors and aliases are not used here",
        )
    if event.tag is not None:
        reporter.error(
            "J105", mark, f"tag `{event.tag}`", hint="leave it out: the key says what the value is"
        )


def _scalar(event: Any, mark: Mark, reporter: Reporter) -> Scalar:
    text: str = event.value
    plain = event.style is None
    one_line = event.start_mark.line == event.end_mark.line
    width = event.end_mark.column - event.start_mark.column
    exact = one_line and width == len(text) + (0 if plain else 2)
    before = len(reporter.found)
    value = _resolve(text, mark, reporter) if plain else text
    return Scalar(mark, value, text, plain, exact, spoiled=len(reporter.found) > before)


def _resolve(text: str, mark: Mark, reporter: Reporter) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    whole, decimal = _INTEGER.match(text), _DECIMAL.match(text)
    if not whole and not decimal:
        return text
    # The length is looked at first: Python refuses to read integers of thousands of digits.
    if len(text.split(".")[0]) > 17 or abs(float(text)) > LARGEST_NUMBER:
        reporter.error(
            "J109",
            mark,
            "this number is too large to be kept exactly",
            expected="a number up to 1,000,000,000,000,000",
            hint="put it in quotes if it is an identifier and not an amount",
        )
        return None
    return int(text) if whole else float(text)


def _torn(text: str) -> bool:
    """Whether a bracket or quote is still open at the end of a plain scalar."""
    depth = 0
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
    return depth > 0


def _needs_quotes(mark: Mark, reporter: Reporter) -> None:
    reporter.error(
        "J102",
        mark,
        "this expression has a comma or bracket inside `{…}`, which YAML takes for its own",
        hint="put the whole expression in single quotes, or write the keys on lines of their own",
    )


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError, text: str, reporter: Reporter) -> None:
    found = error.problem_mark or error.context_mark
    mark = _mark(found) if found else Mark()
    problem = _in_words(error.problem or error.context or "unexpected text")
    line = reporter.line(mark.line) or ""
    context = error.context or ""
    if "flow" in context and ("got '['" in problem or _torn_before(line[: mark.col - 1])):
        if not any(d.code == "J102" and d.line == mark.line for d in reporter.found):
            _needs_quotes(_value_before(line, mark), reporter)
        return
    hint = None
    opened = _mark(error.context_mark) if "flow" in context and error.context_mark else None
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        problem, hint = "a tab where spaces are needed", "indent with spaces"
    elif "mapping values are not allowed" in problem:
        hint = "a text with `: ` in it needs quotes; if it is a key, look at its indentation"
    elif opened is not None and opened.line < mark.line:
        hint = f"a bracket that opens on line {opened.line} is not closed"
    elif "expected <block end>" in (error.problem or ""):
        hint = (
            "a value that begins with a quote ends with it: put the whole of it in the other kind of quotes; "
            "if it is a key, look at its indentation"
        )
    elif "cannot start any token" in problem:
        hint = "put the value in quotes"
    reporter.error("J101", mark, f"this is not valid YAML: {problem}", hint=hint)


def _in_words(problem: str) -> str:
    """PyYAML's sentence without its names of tokens."""
    for token, word in (
        ("'<scalar>'", "a value"),
        ("'<block mapping start>'", "a mapping"),
        ("'<block sequence start>'", "a list"),
        ("'<stream end>'", "the end of the file"),
        ("'<document start>'", "`---`"),
        ("<block end>", "the end of this value"),
        ("<document start>", "the end of the file"),
        ("<stream end>", "the end of the file"),
    ):
        problem = problem.replace(token, word)
    return problem


def _torn_before(line: str) -> bool:
    return line.count("(") > line.count(")")


def _value_before(line: str, mark: Mark) -> Mark:
    """The beginning of the value that the mark is in or behind: after the last `key: ` before it."""
    starts = [m.end() for m in re.finditer(r"[\w-]+:\s+", line[: mark.col - 1])]
    return Mark(mark.line, starts[-1] + 1) if starts else mark


def _unreadable(error: Any, text: str, reporter: Reporter) -> None:
    position = int(error.position) if isinstance(error.position, int) else 0
    before = text[:position]
    mark = Mark(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
    name = f"U+{ord(text[position]):04X}" if position < len(text) else "a character"
    reporter.error(
        "J107",
        mark,
        f"the character {name} cannot stand in a YAML file",
        hint="delete it, or save the file as UTF-8",
    )
