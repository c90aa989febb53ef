"""E-mails at check time: the way out, size, the text part, where styles are written in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.content.assemble import Assembly
from engine.content.check import check_source
from engine.content.errors import TemplateProblem
from engine.content.extent import Extents
from engine.content.made import ENVIRONMENTS, Made
from engine.content.markup import MARK
from engine.content.scope import TemplateScope

_WAY_OUT = re.compile(r"\blinks\s*(\.\s*|\[\s*['\"])(unsubscribe|preferences)\b")
_JINJA = re.compile(r"\{[{%].*?[}%]\}", re.DOTALL)


def lint_email(
    assemblies: dict[str, Assembly], made: dict[str, Made], scope: TemplateScope
) -> Iterator[TemplateProblem]:
    """Of all parts of one e-mail, by their names."""
    rules = scope.rules
    bodies = [part for part in ("html", "text") if part in assemblies]
    if not bodies:
        return
    path = assemblies[bodies[0]].paths[0]
    without = [part for part in bodies if not _WAY_OUT.search(assemblies[part].source)]
    if rules.category == "marketing" and rules.real and without:
        said = f"a marketing e-mail tells the way out; its {' and '.join(without)} part does not"
        hint = "write `{{ links.unsubscribe }}` into it, or into the layout"
        yield TemplateProblem(
            assemblies[without[0]].paths[0], 1, 1, "no-way-out", said, hint=hint, severity="warning"
        )
    html = made.get("html")
    if html is None:
        return
    if html.why is not None:
        said = f"styles are written into each message by itself, which is slow: {html.why}"
        yield TemplateProblem(path, 1, 1, "styles", said, severity="warning")
    tree = check_source(ENVIRONMENTS["html"], path, html.source)
    if not isinstance(tree, TemplateProblem):
        size = len(Extents(tree, scope).sample(tree.body).text.encode()) / 1024
        if size > rules.html_kilobytes:
            said = f"the HTML has up to {size:,.0f} KB"
            expected = f"at most {rules.html_kilobytes} KB: Gmail shows no more of it"
            yield TemplateProblem(path, 1, 1, "html-size", said, expected, severity="warning")
    text = made.get("text")
    if "text" not in assemblies and text is not None and not _says_something(text):
        said = "the text part that is made of the HTML says nothing"
        hint = "give pictures an `alt`, or write the text part by hand"
        yield TemplateProblem(path, 1, 1, "no-text", said, hint=hint, severity="warning")


def _says_something(text: Made) -> bool:
    if text.from_html:
        return True
    return bool(_JINJA.sub("", MARK.sub("", text.source)).strip()) or "{{" in text.source
