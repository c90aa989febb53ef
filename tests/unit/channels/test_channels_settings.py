"""Settings looked at before and elsewhere: as a worker would at its start, without its environment."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from channels import Adapter, ConfigurationError, Message, Outcome, Settings, create
from channels import registry as adapters
from channels.registry import examine

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SMTP: dict[str, Any] = {"host": "mail.example.com", "from": "hello@example.com"}
LOGIN = {"username": "kairos", "password": "${NOT_SET_ANYWHERE}"}
HOOK: dict[str, Any] = {"secret": "${NOT_SET_ANYWHERE}"}


def found(adapter: str, settings: Mapping[str, Any], channel: str = "email") -> list[tuple[str, str]]:
    return [(m.fault, ".".join(map(str, m.path))) for m in examine(adapter, channel, settings)]


# --- the adapters that are shipped -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "settings", "fault", "place"),
    [
        ("smtp", {**SMTP, "prot": 25}, "unknown", "prot"),
        ("smtp", {"host": "mail.example.com"}, "missing", "from"),
        ("smtp", {**SMTP, "port": "ten"}, "kind", "port"),
        ("smtp", {**SMTP, "port": 0}, "limits", "port"),
        ("smtp", {**SMTP, "tls": "startls"}, "choice", "tls"),
        ("smtp", {**SMTP, "host": 5}, "kind", "host"),
        ("smtp", {**SMTP, "reply_to": "nobody"}, "refused", "reply_to"),
        ("smtp", {**SMTP, "username": "kairos"}, "alone", "username"),
        ("webhook", {"secret": WHSEC, "methods": "PUT"}, "unknown", "methods"),
        ("webhook", {"url": "https://example.com"}, "missing", "secret"),
        ("webhook", {"secret": WHSEC, "url": "example.com"}, "refused", "url"),
        ("webhook", {"secret": WHSEC, "method": "GET"}, "choice", "method"),
        ("webhook", {"secret": WHSEC, "timeout": 61}, "limits", "timeout"),
        ("webhook", {"secret": WHSEC, "headers": ["a"]}, "kind", "headers"),
        ("webhook", {"secret": WHSEC, "headers": {"a": 1}}, "kind", "headers.a"),
        ("outbox", {"host": "mail.example.com"}, "unknown", "host"),
    ],
)
def test_what_the_check_finds_a_worker_refuses_at_the_same_place(
    adapter: str, settings: dict[str, Any], fault: str, place: str
) -> None:
    assert (fault, place) in found(adapter, settings)
    with pytest.raises(ConfigurationError, match=rf"channels\.email\.settings\.{place}: "):
        create(adapter, "email", settings, environ={})


@pytest.mark.parametrize(
    ("adapter", "settings"),
    [
        ("smtp", SMTP),
        ("smtp", {**SMTP, **LOGIN, "port": 465, "tls": "tls"}),
        ("smtp", {**SMTP, "port": "587"}),
        ("webhook", HOOK),
        ("outbox", {}),
    ],
)
def test_right_settings_have_no_mistake(adapter: str, settings: dict[str, Any]) -> None:
    assert found(adapter, settings) == []
    create(adapter, "email", settings, environ={"NOT_SET_ANYWHERE": WHSEC})


def test_a_reference_is_not_judged_by_its_value_but_counts_as_given() -> None:
    every = dict.fromkeys(("host", "port", "tls", "from", "reply_to", "timeout", "connections"), "${X}")
    assert found("smtp", {**every, "username": "${X}", "password": "${X}"}) == []
    assert found("smtp", {**every, "from": "${SHOP} <hello at example.com>"}) == []
    assert found("smtp", {"host": "${X}", "password": "${X}", "hots": "${X}"}) == [
        ("alone", "password"),
        ("missing", "from"),
        ("unknown", "hots"),
    ]
    headers = {"authorization": "Bearer ${TOKEN}", "x-shop": 7}
    assert found("webhook", {**HOOK, "url": "${A}/hooks", "headers": headers}) == [("kind", "headers.x-shop")]


def test_what_looks_like_a_reference_and_is_none_is_judged() -> None:
    # A worker fills in names of variables only: this stays as it is.
    assert found("smtp", {**SMTP, "port": "${smtp-port}"}) == [("kind", "port")]


def test_a_secret_written_out_is_told_as_such_and_by_nothing_else() -> None:
    assert found("webhook", {"secret": "hunter2"}) == [("secret", "secret")]
    assert "hunter2" not in str(examine("webhook", "sms", {"secret": "hunter2", "url": "hunter2"}))


def test_a_file_need_only_be_on_the_machine_that_sends(tmp_path: Path) -> None:
    settings = {**SMTP, "ca_file": str(tmp_path / "ca.pem")}
    assert found("smtp", settings) == []
    with pytest.raises(ConfigurationError, match="ca_file: there is no such file"):
        create("smtp", "email", settings, environ={})


def test_an_adapter_of_another_channel_is_told_alone() -> None:
    assert found("smtp", {"hots": 1}, "sms") == [("channel", "")]


# --- adapters of others ------------------------------------------------------------------------------------


class Other(Adapter):
    name = "other"
    channels = frozenset({"email"})

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return []


class Undeclared(Other):
    Settings = dict  # type: ignore[assignment]


class Open(Other):
    class Settings(Settings):
        model_config = ConfigDict(extra="allow")


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: str = Field(description="Who")
    key: str = ""


class Rules(Other):
    class Settings(Settings):
        pair: str = Field(default="a:1", description="Two things")
        pin: SecretStr = Field(default=SecretStr(""), description="Not named like a secret")
        size: int | bool = Field(default=1, description="One of two kinds")
        logins: list[Login] = Field(default=[], description="Models inside")
        least: int = Field(default=0, description="Not above `most`")
        most: int = Field(default=9, description="Not under `least`")

        @field_validator("pair")
        @classmethod
        def _two(cls, text: str) -> str:
            return text.split(":")[1]  # stumbles over what has no colon

        @model_validator(mode="after")
        def _order(self) -> Rules.Settings:
            if self.least > self.most:
                raise ValueError("least is above most")
            return self


RULES = f"{__name__}:Rules"


@pytest.mark.parametrize("kind", ["Other", "Undeclared", "Open"])
def test_an_adapter_that_declares_nothing_works(kind: str) -> None:
    assert found(f"{__name__}:{kind}", {}) == []


def test_an_adapter_that_takes_anything_or_says_nothing_is_not_judged() -> None:
    assert found(f"{__name__}:Undeclared", {"a": 1}) == []
    assert found(f"{__name__}:Open", {"a": 1}) == []


@pytest.mark.parametrize("name", ["nowhere", "no.such.module:Thing", "channels.message:Message", "a:b:c"])
def test_an_adapter_that_is_not_here_is_not_judged(name: str) -> None:
    assert found(name, {"a": 1}) == []


def test_a_rule_over_all_settings_is_asked_when_all_values_are_known() -> None:
    assert found(RULES, {"least": 10}) == [("refused", "")]
    assert examine(RULES, "email", {"least": 10})[0].message == "least is above most"
    assert found(RULES, {"least": 10, "most": "${MOST}"}) == []
    assert found(RULES, {"least": 10, "pair": "a:${B}"}) == []


def test_a_rule_that_stumbles_does_not_end_the_check() -> None:
    assert found(RULES, {"pair": "${PAIR}"}) == []


def test_a_secret_is_known_by_its_declaration() -> None:
    assert found(RULES, {"pin": "1234"}) == [("secret", "pin")]
    assert found(RULES, {"pin": "${PIN}"}) == []


def test_a_value_that_fits_no_form_is_one_mistake() -> None:
    [mistake] = examine(RULES, "email", {"size": "large"})
    assert (mistake.fault, mistake.path) == ("kind", ("size",))
    assert mistake.expected == "a whole number or `true` or `false`"


def test_settings_inside_settings_have_their_place_and_their_names() -> None:
    settings = {"logins": [{"user": "a"}, {"usr": "b"}]}
    [missing, unknown] = examine(RULES, "email", settings)
    assert (missing.fault, missing.path, missing.expected) == ("missing", ("logins", 1, "user"), "Who")
    assert (unknown.fault, unknown.path, unknown.known) == ("unknown", ("logins", 1, "usr"), ("user", "key"))


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "broken_adapter.py").write_text("raise RuntimeError('no licence')\n")
    about = tmp_path / "broken_adapter-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-adapter\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[kairos.channels]\nbroken = broken_adapter:Adapter\n")
    monkeypatch.syspath_prepend(tmp_path)
    adapters.installed.cache_clear()
    yield "broken"
    adapters.installed.cache_clear()
    sys.modules.pop("broken_adapter", None)


def test_an_installed_adapter_that_does_not_load_is_told(broken_package: str) -> None:
    assert broken_package in adapters.names()
    assert found(broken_package, {"a": 1}) == [("broken", "")]
