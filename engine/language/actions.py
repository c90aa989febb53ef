"""What the checker needs to know of an action that developers registered in Python."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ActionSignature:
    """`inputs`: name to (type of the language, whether it must be given). `any` as type takes everything."""

    name: str
    inputs: dict[str, tuple[str, bool]] = field(default_factory=dict)
    doc: str = ""
