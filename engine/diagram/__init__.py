"""Pictures of a plan: SVG for people, Mermaid for documents. Pure; may import `engine.core` only."""

from __future__ import annotations

from engine.diagram.mermaid import mermaid
from engine.diagram.svg import svg

__all__ = ["mermaid", "svg"]
