"""Text messages at check time: length at its longest, signature, the way out, approved texts.

Rules of mainland providers: the signature and the opt-out words are part of the text; a URL may not be the
value of a variable of an approved text (docs/channels/aliyun_sms.md, tencent_sms.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import nodes

from engine.content.errors import TemplateProblem
from engine.content.extent import Extents, path_of
from engine.content.scope import TemplateScope
from engine.content.sms import MOST_CHARACTERS, sms_segments

_SIGNATURE = re.compile(r"【([^】]*)】")
_WAY_OUT = re.compile(
    r"(拒收请?回复?\s*R|回复?\s*(TD?|N)\s*退订|退订回复?\s*(TD?|N|R))[。.！!]?\s*$", re.IGNORECASE
)
_VARIABLE = re.compile(r"\{[A-Za-z0-9_]+\}")
_URL = re.compile(r"https?://|www\.|\b[a-z0-9-]+\.(?:com|cn|net|top|shop)\b", re.IGNORECASE)
_LINKS = re.compile(r"(^|_)(url|link|href)s?$", re.IGNORECASE)
_MOST_WAYS = 64
_BEGIN, _END = "\ue000", "\ue001"
_MARK = re.compile(f"{_BEGIN}([0-9]+){_END}")


def lint_sms(path: str, tree: nodes.Template, scope: TemplateScope) -> Iterator[TemplateProblem]:
    """What carriers and providers will say to it, of a whole template."""
    yield from _length(path, tree, scope)
    ways = _ways(tree.body)
    if ways is not None and scope.rules.mainland:
        yield from _mainland(path, ways, scope)


def _length(path: str, tree: nodes.Template, scope: TemplateScope) -> Iterator[TemplateProblem]:
    rules = scope.rules
    longest = Extents(tree, scope).sample(tree.body)
    text = longest.text.strip()
    if rules.mainland and rules.signature and not text.startswith(rules.signature):
        text = rules.signature + text
    found = sms_segments(text, rules.mainland)
    values = "values at the length that is assumed" if longest.guessed else "values at their longest"
    hint = "say `longest` of its properties in the catalogue" if longest.guessed else None
    if len(text) > MOST_CHARACTERS and not longest.guessed:
        said = f"the text has up to {len(text)} characters, {values}"
        yield TemplateProblem(path, 1, 1, "too-long", said, f"at most {MOST_CHARACTERS}")
    elif found.count > rules.most_segments:
        said = f"the text takes up to {found.count} segments ({found.units} characters, {values})"
        if rules.price is not None:
            said += f": {found.count * rules.price:.4g} {rules.currency}".rstrip() + " a message"
        expected = f"at most {rules.most_segments}"
        yield TemplateProblem(path, 1, 1, "segments", said, expected, hint, "warning")


# --- ways through a template ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """One text that may come of it: values are marks, `values` what they show."""

    text: str = ""
    values: tuple[nodes.Expr, ...] = ()

    def plus(self, other: _Way) -> _Way:
        shifted = _MARK.sub(lambda m: f"{_BEGIN}{int(m[1]) + len(self.values)}{_END}", other.text)
        return _Way(self.text + shifted, self.values + other.values)


def _ways(body: Sequence[nodes.Node]) -> list[_Way] | None:
    """Every text that may come of it; None where there are loops or too many."""
    ways = [_Way()]
    for node in body:
        found: list[_Way] | None
        match node:
            case nodes.Output():
                found = [_output(node)]
            case nodes.If():
                found = []
                for arm in (node.body, *(each.body for each in node.elif_), node.else_):
                    inner = _ways(arm)
                    if inner is None:
                        return None
                    found += inner
            case nodes.With() | nodes.Scope():
                found = _ways(node.body)
            case nodes.Assign():
                continue
            case _:
                return None
        if found is None or len(ways) * len(found) > _MOST_WAYS:
            return None
        ways = [way.plus(other) for way in ways for other in found]
    return ways


def _output(node: nodes.Output) -> _Way:
    way = _Way()
    for each in node.nodes:
        if isinstance(each, nodes.TemplateData):
            way = way.plus(_Way(each.data))
        elif isinstance(each, nodes.Const):
            way = way.plus(_Way(str(each.value)))
        else:
            way = way.plus(_Way(f"{_BEGIN}0{_END}", (each,)))
    return way


# --- mainland ---------------------------------------------------------------------------------------------


def _mainland(path: str, ways: Sequence[_Way], scope: TemplateScope) -> Iterator[TemplateProblem]:
    rules = scope.rules
    for way in ways:
        text = way.text.strip()
        signature = _SIGNATURE.match(text)
        if signature is not None and rules.signature and signature[0] != rules.signature:
            said = f"the signature is {signature[0]}, the provider puts {rules.signature}"
            yield TemplateProblem(path, 1, 1, "signature", said, hint="leave it out, or change `sign_name`")
            return
    if rules.category == "marketing":
        for way in ways:
            if not _WAY_OUT.search(way.text.strip()):
                yield TemplateProblem(
                    path,
                    1,
                    1,
                    "opt-out",
                    "a marketing text ends with the words that tell the way out",
                    hint="end it with 拒收请回复R",
                )
                return
    if rules.approved:
        yield from _approved(path, ways, rules.approved, rules.signature or "")


def _approved(
    path: str, ways: Sequence[_Way], approved: Sequence[str], signature: str
) -> Iterator[TemplateProblem]:
    patterns = [
        re.compile("(.*?)".join(re.escape(piece) for piece in _VARIABLE.split(text.strip())), re.DOTALL)
        for text in sorted(approved, key=lambda text: -len(_VARIABLE.sub("", text)))
    ]
    for way in ways:
        text = way.text.strip().removeprefix(signature)
        match = next((found for found in (each.fullmatch(text) for each in patterns) if found), None)
        if match is None:
            said = "the text fits none of the provider's approved templates"
            hint = (
                "write one of `templates` in the channel's settings, word for word, values in its variables"
            )
            yield TemplateProblem(path, 1, 1, "not-approved", said, hint=hint)
            return
        for value in match.groups():
            if (shown := _address_in(value, way.values)) is not None:
                said = f"a variable of the approved text would hold {shown}"
                hint = "providers refuse URLs in variables: let the approved text contain it"
                yield TemplateProblem(path, 1, 1, "url-in-variable", said, hint=hint)
                return


def _address_in(value: str, values: Sequence[nodes.Expr]) -> str | None:
    """Whether what stands in a variable is a URL."""
    if _URL.search(_MARK.sub(" ", value)):
        return "a URL"
    for mark in _MARK.finditer(value):
        for node in (values[int(mark[1])], *values[int(mark[1])].find_all(nodes.Getattr)):
            root, names = path_of(node)
            if root == "links" or (names and _LINKS.search(names[-1])):
                return f"`{'.'.join([str(root), *names])}`"
        if any(_URL.search(str(c.value)) for c in values[int(mark[1])].find_all(nodes.Const)):
            return "a URL"
    return None
