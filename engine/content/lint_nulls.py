"""Values that a customer may not have, written without a default: the message would be skipped for them."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from engine.content.extent import path_of
from engine.content.scope import TemplateScope

_ROOTS = ("profile", "answers", "links")
_WAYS_OUT = ("unsubscribe", "preferences")


def may_be_missing(tree: nodes.Template, scope: TemplateScope) -> Iterator[tuple[int, str]]:
    """Line and path, `profile.first_name`, of each that is written without a default and not asked about."""
    seen: set[str] = set()
    for line, path in _written(tree, frozenset()):
        root, name = path.split(".")[:2]
        known = {"profile": scope.profile, "answers": scope.answers}.get(
            root, () if scope.rules.ways_out else _WAYS_OUT
        )
        if path not in seen and name in known and f"{root}.{name}" not in scope.certain:
            seen.add(path)
            yield line, path


def _written(node: nodes.Node, asked: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Paths that are written below this node; `asked` are those that somebody asked about before."""
    match node:
        case nodes.If():
            inside = asked | _paths(node.test)
            for each in (*node.body, *node.elif_, *node.else_):
                yield from _written(each, inside)
        case nodes.CondExpr():
            inside = asked | _paths(node.test)
            for arm in filter(None, (node.expr1, node.expr2)):
                yield from _written(arm, inside)
        case nodes.Or():
            yield from _written(node.right, asked | _paths(node.left))
        case nodes.And():
            yield from _written(node.right, asked | _paths(node.left))
        case nodes.Filter(name="default" | "d"):
            for each in node.args:
                yield from _written(each, asked)
        case nodes.Assign() | nodes.Test() | nodes.Compare() | nodes.Not() | nodes.Macro() | nodes.Include():
            return
        case nodes.Getattr() | nodes.Getitem():
            root, names = path_of(node)
            if root in _ROOTS and names:
                path = ".".join([root, *names])
                if not any(path == each or path.startswith(f"{each}.") for each in asked):
                    yield node.lineno, path
            else:
                for child in node.iter_child_nodes():
                    yield from _written(child, asked)
        case _:
            for child in node.iter_child_nodes():
                yield from _written(child, asked)


def _paths(node: nodes.Node) -> frozenset[str]:
    found = [path_of(each) for each in _paths_in(node)]
    return frozenset(".".join([root, *names]) for root, names in found if root is not None)


def _paths_in(node: nodes.Node) -> Iterator[nodes.Node]:
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        yield node
    yield from node.find_all((nodes.Getattr, nodes.Getitem))
