"""The package's public face, its values and its registry."""

from __future__ import annotations

import ast
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import channels
from channels import (
    Accepted,
    ConfigurationError,
    DeliveryState,
    Message,
    Reason,
    Receipt,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
)
from channels.outbox import OutboxAdapter
from channels.smtp import SmtpAdapter, SmtpSettings
from channels.testing import FakeAdapter, MemorySink

AT = datetime(2026, 11, 11, tzinfo=UTC)
ROOT = Path(channels.__file__).parent


def message(**changes: object) -> Message:
    values = {
        "key": "k-1",
        "channel": "email",
        "address": "mei@example.net",
        "parts": {"text": "secret words"},
        "template": "welcome",
        "at": AT,
    }
    return Message(**{**values, **changes})  # type: ignore[arg-type]


def test_public_names() -> None:
    assert sorted(channels.__all__) == channels.__all__
    assert set(channels.__all__) == {
        *("ANY_CHANNEL", "Accepted", "Adapter", "Answer", "Brand", "Capabilities", "ChannelError"),
        *(
            "ConfigurationError",
            "DeliveryState",
            "HttpClient",
            "Message",
            "Outcome",
            "Pacer",
            "Rate",
            "Reason",
        ),
        *("Receipt", "Rejected", "Settings", "Sink", "Throttled", "Unavailable", "Unknown"),
        *("Call", "Forged", "Heard", "Inbound", "Reply", "AudienceAdapter", "Member"),
        *("WebhookAnswer", "WebhookCaller", "create", "each", "find", "names"),
        *("Hours", "Need", "Opening", "Quota"),
        *("Call", "Forged", "Heard", "Inbound", "Reply", "Kept", "MemoryTokens", "TokenStore"),
    }
    assert all(hasattr(channels, name) for name in channels.__all__)


def test_nothing_of_the_engine_is_imported() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [m for m in modules if m.split(".")[0] in ("engine", "workers")], path


def test_a_message_does_not_show_what_is_personal() -> None:
    shown = repr(message(unsubscribe_url="https://x.example/u/mei", metadata={"note": "mei"}))
    assert "mei" not in shown
    assert "secret words" not in shown
    assert "k-1" in shown


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ", "x" * 256])
def test_a_key_must_fit_into_a_header(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        message(key=key)


def test_instants_must_be_aware() -> None:
    with pytest.raises(ValueError, match="time zone"):
        message(at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        Receipt(DeliveryState.OPENED, datetime(2026, 1, 1), key="k")  # noqa: DTZ001
    with pytest.raises(ValueError, match="names its message"):
        Receipt(DeliveryState.OPENED, AT)


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted("id", "250 ok mei@example.net"),
        Rejected(Reason.ADDRESS_UNKNOWN, "SMTP 550", permanent=True, opt_out=True, raw="no mei@example.net"),
        Throttled(timedelta(seconds=3), "HTTP 429", raw="mei@example.net"),
        Unavailable("ConnectError", timedelta(1), raw="mei@example.net"),
        Unknown("ReadTimeout", raw="mei@example.net"),
    ],
)
def test_outcomes_are_values_that_keep_but_do_not_show_the_raw_answer(outcome: channels.Outcome) -> None:
    copy = pickle.loads(pickle.dumps(outcome))
    assert copy == outcome
    assert copy.raw == outcome.raw
    assert outcome.raw is not None
    assert hash(copy) == hash(outcome)
    assert "mei@" not in f"{outcome!r} {outcome}"
    assert str(outcome)


def test_outcomes_of_different_kind_are_not_equal() -> None:
    unknown: object = Unknown("x")
    assert unknown != Unavailable("x")
    assert Throttled() == Throttled()
    assert Throttled(timedelta(1)) != Throttled(timedelta(2))


def test_vocabularies_are_commented_value_by_value() -> None:
    tree = ast.parse((ROOT / "receipt.py").read_text())
    for cls in (
        n for n in tree.body if isinstance(n, ast.ClassDef) and n.name in ("Reason", "DeliveryState")
    ):
        for here, after in zip(cls.body[1:], [*cls.body[2:], None], strict=True):
            if isinstance(here, ast.Assign):
                assert isinstance(after, ast.Expr), f"{cls.name}: {ast.unparse(here)} has no comment"


# --- registry ----------------------------------------------------------------------------------------------


def test_the_shipped_adapters_are_found_by_entry_point() -> None:
    assert {"outbox", "smtp", "webhook"} <= set(channels.names())
    for name in ("outbox", "smtp", "webhook"):
        assert channels.find(name).name == name


def test_create_checks_everything_and_opens_nothing() -> None:
    adapter = channels.create(
        "smtp",
        "email",
        {"host": "mail.invalid", "port": "${PORT}", "from": "a@example.com"},
        environ={"PORT": "2525"},
        rate="20/s",
    )
    assert isinstance(adapter, SmtpAdapter)
    assert isinstance(adapter.settings, SmtpSettings)
    assert adapter.settings.port == 2525
    assert adapter.pacer is not None


def test_an_unknown_adapter_gets_a_hint_and_the_list() -> None:
    with pytest.raises(ConfigurationError) as caught:
        channels.create("smpt", "email", {})
    assert "channels.email.adapter" in str(caught.value)
    assert "did you mean 'smtp'" in str(caught.value)
    assert "outbox" in str(caught.value)


def test_an_adapter_serves_only_its_channels() -> None:
    with pytest.raises(ConfigurationError, match="serves email, not sms"):
        channels.create("smtp", "sms", {})


@pytest.mark.parametrize("environ", [{}, {"SMTP_PASSWORD": ""}])
def test_a_missing_variable_is_named_with_its_place(environ: dict[str, str]) -> None:
    settings = {"host": "h", "from": "a@example.com", "username": "u", "password": "${SMTP_PASSWORD}"}
    with pytest.raises(ConfigurationError) as caught:
        channels.create("smtp", "email", settings, environ=environ)
    assert str(caught.value) == (
        "kairos.yaml: channels.email.settings.password: the environment variable SMTP_PASSWORD is not set"
    )


def test_all_mistakes_come_at_once_and_without_their_values() -> None:
    settings = {"port": "geheim", "from": "geheim", "hots": "x"}
    with pytest.raises(ConfigurationError) as caught:
        channels.create("smtp", "email", settings, environ={})
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("kairos.yaml: channels.email.settings.") for line in lines)
    assert "did you mean 'host'" in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("rate", ["20", "fast", "0/s", "5/w", "-1/s"])
def test_a_malformed_rate_is_found_at_start(rate: str) -> None:
    with pytest.raises(ConfigurationError, match=r"channels\.sms\.rate: .*20/s"):
        channels.create("outbox", "sms", {}, rate=rate)


def test_a_class_of_the_project_can_be_named() -> None:
    assert channels.find("channels.testing.fakes:FakeAdapter") is FakeAdapter
    with pytest.raises(ConfigurationError, match="cannot load"):
        channels.find("no.such.module:Thing")
    with pytest.raises(ConfigurationError, match="not an adapter"):
        channels.find("channels.message:Message")


# --- outbox and the fakes ----------------------------------------------------------------------------------


async def test_outbox_needs_its_sink() -> None:
    with pytest.raises(ConfigurationError, match="needs a sink"):
        await channels.create("outbox", "sms", {}).open()


async def test_outbox_hands_a_batch_over_in_one_call_and_a_failing_sink_is_unknown() -> None:
    calls: list[int] = []

    async def sink(messages: list[Message]) -> None:
        calls.append(len(messages))
        if len(calls) == 2:
            raise OSError("database gone, quoting mei@example.net")

    adapter = OutboxAdapter("sms", OutboxAdapter.Settings(), sink=sink)
    async with adapter:
        batch = [message(key=f"k{n}") for n in range(3)]
        assert await adapter.send(batch) == [Accepted("k0"), Accepted("k1"), Accepted("k2")]
        assert await adapter.send(batch) == [Unknown("the sink failed: OSError")] * 3
    assert calls == [3, 3]


async def test_memory_sink_keeps_a_key_once() -> None:
    sink = MemorySink()
    await sink([message(), message(key="k-2")])
    await sink([message(template="other")])
    assert [m.template for m in sink.messages.values()] == ["welcome", "welcome"]


async def test_the_fake_adapter_does_as_programmed() -> None:
    fake = FakeAdapter()
    fake.then(Unknown("x"), lambda m: Accepted(m.key + "!"))
    fake.always(Unavailable())
    batch = [message(key=f"k{n}") for n in range(3)]
    assert await fake.send(batch) == [Unknown("x"), Accepted("k1!"), Unavailable()]
    assert list(fake.taken) == ["k0", "k1"]
    assert await fake.query(batch) == [Accepted("k0"), Accepted("k1"), None]
