"""Settings of channels: what their adapters say of them, put at its place in `kairos.yaml`.

Adapters are out of reach for the language; who calls the checker hands in a `SettingChecker`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from collections.abc import Mapping as Map
from typing import Any, Literal, Protocol

from engine.language.conforming import describe
from engine.language.diagnostics import Mark, Reporter, listed, nearest
from engine.language.loader import Mapping, Node, Scalar, Sequence, plain_data, text_of

_VALUES = frozenset({"kind", "choice", "limits", "refused"})


class SettingMistake(Protocol):
    """As `channels.settings` makes them, which says what each fault means."""

    @property
    def fault(
        self,
    ) -> Literal[
        "unknown",
        "missing",
        "alone",
        "kind",
        "choice",
        "limits",
        "secret",
        "refused",
        "channel",
        "broken",
    ]: ...
    @property
    def path(self) -> tuple[str | int, ...]: ...
    @property
    def message(self) -> str: ...
    @property
    def expected(self) -> str | None: ...
    @property
    def known(self) -> tuple[str, ...]: ...


class SettingChecker(Protocol):
    def __call__(self, name: str, channel: str, settings: Map[str, Any], /) -> Iterable[SettingMistake]:
        """What the adapter of this name finds wrong with the settings; nothing if it cannot be asked."""


def check_settings(
    name: str,
    key: Scalar,
    channel: Node,
    checker: SettingChecker,
    reporter: Reporter,
    secrets: Collection[Mark] = (),
) -> None:
    """Report what is wrong with the adapter's settings of the channel of this name.

    `secrets` are places of which it is already said that they are secrets: nothing more is said of them.
    """
    if not isinstance(channel, Mapping):
        return
    adapter, settings = channel.get("adapter"), channel.get("settings")
    called = "outbox" if adapter is None else text_of(adapter)
    # What has the wrong shape, or cannot be read, is reported already.
    if called is None or not isinstance(settings, Mapping | None) or _spoiled(settings):
        return
    at = channel.keys.get("settings") or channel.keys.get("adapter") or key
    place = _Place(called, at, adapter, settings or Mapping(at.mark), reporter)
    for mistake in checker(called, name, plain_data(place.settings)):
        if mistake.fault in _VALUES and _node(place.settings, mistake.path).mark in secrets:
            continue
        place.report(mistake)


def written_out(name: str, node: Node, reporter: Reporter) -> None:
    """Report a secret that stands in the file itself."""
    reporter.error(
        "J215",
        node.mark,
        f"`{name}` is a secret and does not belong into this file",
        expected=f"`${{{re.sub('[^A-Z0-9]', '_', name.upper())}}}`",
        hint="it is then taken from the environment variable of that name",
    )


def _spoiled(node: Node | None) -> bool:
    if isinstance(node, Scalar):
        return node.spoiled
    inner = node.values.values() if isinstance(node, Mapping) else node.items if node else ()
    return any(map(_spoiled, inner))


def _node(node: Node, path: Iterable[str | int]) -> Node:
    """The node at the path, or the last one on the way to it."""
    for part in path:
        if isinstance(node, Mapping) and part in node.values:
            node = node.values[str(part)]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return node
    return node


class _Place:
    """One channel, as its mistakes are told."""

    def __init__(
        self, called: str, key: Scalar, adapter: Node | None, settings: Mapping, reporter: Reporter
    ) -> None:
        self.called = called
        self.key = key
        self.adapter = adapter
        self.settings = settings
        self.reporter = reporter

    def report(self, mistake: SettingMistake) -> None:
        names = [part for part in mistake.path if isinstance(part, str)]
        name = names[-1] if names else "settings"
        match mistake.fault:
            case "unknown" | "missing" | "alone":
                self._key(mistake, name)
            case "secret":
                written_out(name, _node(self.settings, mistake.path), self.reporter)
            case "channel":
                self.reporter.error(
                    "J209",
                    self._adapter.mark,
                    f"`{self.called[:60]}` is not possible for this channel",
                    expected="an adapter that serves it",
                    hint=f"`{self.called[:60]}` serves {listed(mistake.known)}",
                )
            case "broken":
                self.reporter.warning(
                    "J320",
                    self._adapter.mark,
                    f"adapter `{self.called[:60]}` is installed here but does not load",
                    hint=mistake.message,
                )
            case _:
                self._value(mistake, name)

    @property
    def _adapter(self) -> Node:
        return self.adapter or self.key

    def _key(self, mistake: SettingMistake, name: str) -> None:
        above = _node(self.settings, mistake.path[:-1])
        inside = above.keys.get(name) if isinstance(above, Mapping) else None
        parent = next((part for part in reversed(mistake.path[:-1]) if isinstance(part, str)), "settings")
        if mistake.fault == "unknown":
            hint = nearest(name, mistake.known)
            if hint is None and self.adapter is None:
                hint = f"without `adapter` this channel uses `{self.called}`"
            self.reporter.error(
                "J201",
                (inside or above).mark,
                f"unknown key `{name[:60]}` in `{parent}` of adapter `{self.called[:60]}`",
                expected=listed(mistake.known, 20) or "nothing: it has no settings",
                hint=hint,
            )
        elif mistake.fault == "missing":
            self.reporter.error(
                "J202",
                above.mark,
                f"`{name}` is missing from `{parent}` of adapter `{self.called[:60]}`",
                expected=mistake.expected,
            )
        else:
            self.reporter.error(
                "J202",
                (inside or above).mark,
                f"{listed(mistake.known)} is missing from `{parent}` of adapter `{self.called[:60]}`",
                hint=f"`{name}` has no meaning without it",
            )

    def _value(self, mistake: SettingMistake, name: str) -> None:
        node = _node(self.settings, mistake.path)
        expected = mistake.expected or listed(mistake.known, 20) or None
        if not mistake.path:
            self.reporter.error(
                "J220",
                self.key.mark,
                f"adapter `{self.called[:60]}` refuses these settings: {mistake.message}",
            )
        elif isinstance(node, Scalar) and node.value in (None, ""):
            self.reporter.error("J214", node.mark, f"`{name}` is empty", expected=expected)
        elif mistake.fault == "kind":
            hint = None
            if mistake.expected == "text" and isinstance(node, Scalar):
                hint = f'put it in quotes to make it text: `"{node.text[:40]}"`'
            self.reporter.error(
                "J203", node.mark, f"`{name}` is {describe(node)}", expected=expected, hint=hint
            )
        elif mistake.fault == "choice" and isinstance(node, Scalar):
            self.reporter.error(
                "J209",
                node.mark,
                f"`{node.text[:60]}` is not possible for `{name}`",
                expected=expected,
                hint=nearest(node.text, mistake.known),
            )
        elif mistake.fault == "limits" and isinstance(node, Scalar):
            self.reporter.error("J218", node.mark, f"`{name}` is {node.text[:40]}", expected=expected)
        else:
            what = f"`{name}` is not as adapter `{self.called[:60]}` needs it"
            said = "" if mistake.message.startswith("expected ") else f": {mistake.message}"
            self.reporter.error("J220", node.mark, what + said, expected=expected)
