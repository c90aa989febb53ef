"""`identities` in `kairos.yaml`: what the shape alone cannot tell."""

from __future__ import annotations

from engine.language.addresses import KINDS
from engine.language.diagnostics import Reporter, nearest
from engine.language.loader import Mapping, Node, Sequence, text_of


def check_identities(node: Node | None, reporter: Reporter) -> None:
    """Kinds named twice, an `external_id` that is not to merge, and kinds that look like a slip."""
    if not isinstance(node, Mapping):
        return
    merging = dict.fromkeys(_kinds(node.get("merge_by")))
    for key in ("merge_by", "attach", "several"):
        seen: set[str] = set()
        for each in _nodes(node.get(key)):
            kind = text_of(each) or ""
            if kind in seen:
                reporter.error("J319", each.mark, f"kind `{kind}` is named twice in `{key}`")
            elif key == "attach" and kind in merging:
                reporter.error(
                    "J319",
                    each.mark,
                    f"kind `{kind}` is named in `merge_by` and in `attach`: it does one of them",
                )
            elif kind == "external_id" and key != "merge_by":
                reporter.error(
                    "J217",
                    each.mark,
                    f"`external_id` cannot be in `{key}`",
                    hint="a profile has one external id, and it always leads to its customer",
                )
            elif kind not in KINDS and (hint := nearest(kind, KINDS)):
                reporter.warning(
                    "J222", each.mark, f"Kairos knows no kind `{kind[:60]}` by itself", hint=hint
                )
            seen.add(kind)


def _nodes(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _kinds(node: Node | None) -> list[str]:
    return [text for each in _nodes(node) if (text := text_of(each)) is not None]
