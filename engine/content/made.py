"""A part made ready: its template assembled and compiled, and what is still to be done to each message."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

from engine.content import budget
from engine.content.assemble import Assembly
from engine.content.environment import Environment
from engine.content.errors import RenderError
from engine.content.pieces import pieces_of
from engine.content.plain_text import text_of_html, text_template
from engine.content.styles import style_message, styled

_ONE_LINE: Final = frozenset({"subject", "title"})
"""Parts that become one line: a line break in a subject would begin a header of its own."""
_TOO_EMPTY: Final = re.compile(r"\n[ \t]*\n[ \t\n]*\n")


def kind_of(part: str) -> str:
    return part if part in ("html", "json") else "text"


ENVIRONMENTS: Final = {kind: Environment(kind) for kind in ("html", "json", "text")}


@dataclass(frozen=True, slots=True)
class Made:
    """`path` is the template's own file, `source` what is compiled. `why` says why styles are written into
    each message by itself; `from_html`: it is the text of a message's HTML. `squeezed`: of blank lines only
    one stays."""

    path: str
    part: str
    source: str
    template: Template
    why: str | None = None
    from_html: bool = False
    squeezed: bool = False

    def render(self, names: dict[str, Any]) -> str:
        """The part for one customer. Raises `RenderError`."""
        token = budget.current.set(budget.Budget())
        try:
            text = _written(self.template, names)
        except RenderError as error:
            raise RenderError(error.message, self.path) from None
        except UndefinedError as error:
            raise RenderError(f"{error.message} (null, without a default)", self.path) from None
        except SecurityError as error:
            raise RenderError(f"not offered in templates: {error.message}", self.path) from None
        except TemplateSyntaxError as error:
            raise RenderError(f"line {error.lineno}: {error.message}", self.path) from None
        except Exception as error:
            # Only the kind: the text of such errors quotes values of the customer.
            raise RenderError(f"{type(error).__name__} while rendering", self.path) from None
        finally:
            budget.current.reset(token)
        if self.why is not None:
            text = style_message(text)
        if self.from_html:
            return text_of_html(text)
        if self.part in _ONE_LINE:
            return " ".join(text.split())
        if self.part == "json":
            _must_parse(text, self.path)
        if self.squeezed:
            return _TOO_EMPTY.sub("\n\n", text.strip())
        return text.strip() if self.part in ("text", "body", "json") else text


def make(assembly: Assembly, part: str) -> Made:
    """A part as its template says it. Raises `RenderError` for what the check would have refused."""
    path = assembly.paths[0]
    source = _source(assembly)
    if part != "html":
        return Made(path, part, source, _compiled(source, part, path))
    found = styled(source, _pieces(source, path))
    return Made(path, part, found.source, _compiled(found.source, part, path), found.why)


def make_text(html: Assembly) -> Made:
    """The text part, of the HTML part's template."""
    path, source = html.paths[0], _source(html)
    text = text_template(_pieces(source, path))
    if text is not None:
        try:
            return Made(path, "text", text, _compiled(text, "text", path), squeezed=True)
        except RenderError:
            pass  # its blocks are whole only with the tags around them
    return Made(path, "text", source, _compiled(source, "html", path), from_html=True)


def _source(assembly: Assembly) -> str:
    if assembly.problems:
        raise RenderError(assembly.problems[0].message, assembly.problems[0].path)
    if len(assembly.source) > (budget.LONGEST_ASSEMBLED if assembly.shared else budget.LONGEST_SOURCE):
        raise RenderError(f"the template is longer than {budget.LONGEST_SOURCE:,} characters")
    return assembly.source


def _pieces(source: str, path: str) -> list[Any]:
    try:
        return list(pieces_of(ENVIRONMENTS["html"], source))
    except TemplateSyntaxError as error:
        raise RenderError(f"line {error.lineno}: {error.message}", path) from None


def _compiled(source: str, part: str, path: str) -> Template:
    try:
        return ENVIRONMENTS[kind_of(part)].from_string(source)
    except TemplateSyntaxError as error:
        raise RenderError(f"line {error.lineno}: {error.message}", path) from None
    except Exception as error:
        raise RenderError(f"{type(error).__name__} while rendering", path) from None


def _written(template: Template, names: dict[str, Any]) -> str:
    # As `Template.render` does; what it may write is bounded by the budget, piece by piece.
    text = "".join(template.root_render_func(template.new_context(names)))
    if len(text) > budget.LONGEST_OUTPUT:
        raise RenderError(f"the message grows beyond {budget.LONGEST_OUTPUT:,} characters")
    return text


def _must_parse(text: str, path: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise RenderError("is not JSON after rendering", path) from None
