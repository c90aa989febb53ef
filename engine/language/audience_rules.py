"""`audiences` in `kairos.yaml`: adapters that are not here, and their settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from engine.language.adapter_settings import SettingChecker, check_settings
from engine.language.diagnostics import Mark, Reporter
from engine.language.loader import Mapping, Node, Scalar


@dataclass(frozen=True, slots=True)
class AudienceAdapters:
    """The audience adapters that are installed here, and what they find wrong with settings."""

    names: Collection[str]
    check: SettingChecker


def check_audiences(
    node: Node | None,
    reporter: Reporter,
    secrets: Callable[[Node | None, Reporter], Iterator[Mark]],
    known: Callable[[Node | None, Collection[str], Reporter], None],
    adapters: AudienceAdapters | None,
) -> None:
    """Secrets only as `${NAME}`, adapters that are installed, settings as they declare them."""
    for name, key, audience in _entries(node):
        adapter = audience.get("adapter") if isinstance(audience, Mapping) else None
        written = set(secrets(audience.get("settings") if isinstance(audience, Mapping) else None, reporter))
        if adapters is None or adapter is None:
            continue
        known(adapter, adapters.names, reporter)
        check_settings(name, key, audience, adapters.check, reporter, written)


def _entries(node: Node | None) -> Iterator[tuple[str, Scalar, Node]]:
    if isinstance(node, Mapping):
        for name, key in node.keys.items():
            yield name, key, node.values[name]
