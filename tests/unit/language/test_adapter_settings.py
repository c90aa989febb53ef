"""What an adapter finds wrong with its settings stands at its place in kairos.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.language.diagnostics import Diagnostic
from engine.language.project import check_project


@dataclass(frozen=True)
class Found:
    fault: Any
    path: tuple[str | int, ...]
    message: str = "it is not right"
    expected: str | None = None
    known: tuple[str, ...] = ()


def check(text: str, *mistakes: Found, severity: Literal["error", "warning"] = "error") -> list[Diagnostic]:
    def checker(name: str, channel: str, settings: Mapping[str, Any]) -> tuple[Found, ...]:
        return mistakes

    found = check_project({"kairos.yaml": text}, setting_checker=checker).diagnostics
    return [each for each in found if each.severity == severity]


def test_a_place_inside_lists_and_mappings_is_found() -> None:
    text = "channels:\n  sms:\n    adapter: acme\n    settings:\n      hosts:\n        - {name: a, port: x}\n"
    [found] = check(text, Found("kind", ("hosts", 0, "port"), expected="a whole number"))
    assert (found.line, found.col, found.code) == (6, 27, "J203")
    assert found.message == "`port` is the text `x`"


def test_a_rule_over_all_settings_stands_at_their_key() -> None:
    [found] = check("channels:\n  sms:\n    adapter: acme\n    settings: {a: 1}\n", Found("refused", ()))
    assert (found.line, found.col, found.code) == (4, 5, "J220")
    assert found.message == "adapter `acme` refuses these settings: it is not right"


def test_what_is_missing_without_settings_stands_at_the_adapter() -> None:
    [found] = check("channels:\n  sms: {adapter: acme}\n", Found("missing", ("token",)))
    assert (found.line, found.col, found.code) == (2, 9, "J202")
    [found] = check("channels:\n  sms: {on_unknown: retry}\n", Found("missing", ("token",)))
    assert (found.line, found.col) == (2, 3)


def test_an_adapter_that_does_not_load_here_is_a_warning() -> None:
    [found] = check(
        "channels: {sms: {adapter: acme}}\n", Found("broken", (), "no module x"), severity="warning"
    )
    assert (found.col, found.code, found.hint) == (27, "J320", "no module x")


def test_the_channel_and_the_settings_as_written_are_what_is_asked() -> None:
    asked: list[tuple[str, str, Mapping[str, Any]]] = []

    def checker(name: str, channel: str, settings: Mapping[str, Any]) -> tuple[()]:
        asked.append((name, channel, settings))
        return ()

    text = "channels:\n  email: {adapter: acme, settings: {a: '${A}', b: [1, true]}}\n  sms: {}\n"
    check_project({"kairos.yaml": text}, setting_checker=checker)
    assert asked == [("acme", "email", {"a": "${A}", "b": [1, True]}), ("outbox", "sms", {})]


def test_what_has_no_shape_is_not_asked_about() -> None:
    for entry in ("5", "{adapter: [a]}", "{adapter: a, settings: 5}", "{adapter: a, settings: {b: *c}}"):
        found = check(f"channels:\n  sms: {entry}\n", Found("refused", ()))
        assert "J220" not in {each.code for each in found}, entry


def test_a_secret_is_named_and_not_shown_on_its_whole_line() -> None:
    text = "channels:\n  sms: {adapter: acme, settings: {pin: hunter2, regionn: cn}}\n"
    found = check(text, Found("unknown", ("regionn",), known=("region",)), Found("secret", ("pin",)))
    assert [each.code for each in found] == ["J215", "J201"]
    assert not any("hunter2" in repr(each) for each in found)


def test_of_a_secret_by_its_name_nothing_more_is_said() -> None:
    text = "channels:\n  sms: {adapter: acme, settings: {token: hunter2}}\n"
    found = check(text, Found("choice", ("token",), known=("a", "b")))
    assert [each.code for each in found] == ["J215"]
    assert "hunter2" not in repr(found)
