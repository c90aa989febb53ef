"""The conformance suite: what every adapter must do. Derive from it, and pytest collects the rest.

    class TestAcme(AdapterConformance):
        adapter = AcmeAdapter
        channel = "sms"
        wrong_settings = {"api_key": {"region": "cn"}}

        @asynccontextmanager
        async def provider(self) -> AsyncIterator[Provider]:
            async with FakeAcme() as fake:
                yield AcmeProvider(fake)

A test is skipped only by a capability that the adapter does not declare. Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import pytest

from channels.errors import ConfigurationError, Rejected, Throttled, Unavailable, Unknown
from channels.message import Message
from channels.pacing import Outcome, Rate
from channels.port import ANY_CHANNEL, Adapter, Capabilities, Sink
from channels.receipt import Accepted
from channels.registry import check_settings

Trouble = Literal["throttle", "hang", "drop", "fail", "reject"]
"""`hang`: takes the message and never answers. `drop`: takes it and cuts the connection. `fail`: says that
it cannot now. `reject`: refuses the message for good. `throttle`: asks for a pause."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as it arrived: `text` is whatever must contain the words of the message."""

    key: str
    text: str


class Provider(ABC):
    """The fake of one provider, as the suite drives it."""

    sink: Sink | None = None

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Right settings, with a time-out of at most 0.5 s where there is one."""

    @abstractmethod
    def address(self, n: int) -> str:
        """The `n`th good address. Must be recognisable in text."""

    @abstractmethod
    def parts(self, words: str) -> Mapping[str, str]:
        """The channel's parts, containing these words."""

    @abstractmethod
    def taken(self) -> Sequence[Taken]:
        """Every distinct message that arrived, in order of arrival."""

    def bad_address(self) -> str:
        """An address that the provider refuses. Needed with `checks_address`."""
        raise NotImplementedError

    def trouble(self, kind: Trouble) -> None:
        """Make the next message meet this trouble. Needed with `remote`."""
        raise NotImplementedError

    async def vanish(self) -> None:
        """Stop listening and cut all connections. Needed with `remote`."""
        raise NotImplementedError


@pytest.mark.asyncio
@pytest.mark.timeout(60)
class AdapterConformance:
    """Derive a class whose name begins with `Test`, and set these."""

    adapter: ClassVar[type[Adapter]]
    channel: ClassVar[str]
    wrong_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Place of a mistake (`port`) → settings that contain it."""
    secret: ClassVar[str | None] = None
    """A secret that `settings()` contains, if there is one: it must never show."""

    def provider(self) -> AbstractAsyncContextManager[Provider]:
        raise NotImplementedError

    # --- helpers ---------------------------------------------------------------------------------------

    def make(self, provider: Provider, rate: Rate | None = None) -> Adapter:
        kind = self.adapter
        settings = check_settings(kind.Settings, provider.settings(), "settings", {})
        return kind(self.channel, settings, rate=rate, sink=provider.sink)

    def message(self, provider: Provider, n: int = 0, words: str = "hello", **changes: Any) -> Message:
        values: dict[str, Any] = {
            "key": f"conformance-{n}",
            "channel": self.channel,
            "address": provider.address(n),
            "parts": provider.parts(words),
            "template": "greeting",
            "at": datetime(2026, 11, 11, 10, 0, tzinfo=UTC),
        }
        return Message(**{**values, **changes})

    def need(self, capability: str) -> None:
        if not getattr(self.adapter.capabilities, capability):
            pytest.skip(f"{self.adapter.name} does not declare {capability}")

    async def after_trouble(self, kind: Trouble) -> tuple[Outcome, Outcome]:
        """The outcome of a message that met trouble, and of another one after it."""
        async with self.provider() as provider, self.make(provider) as adapter:
            [first] = await adapter.send([self.message(provider, 0)])  # so that the connection is a used one
            assert isinstance(first, Accepted), first
            provider.trouble(kind)
            [outcome] = await adapter.send([self.message(provider, 1)])
            [after] = await adapter.send([self.message(provider, 2)])
            return outcome, after

    # --- declared --------------------------------------------------------------------------------------

    async def test_declares_name_channels_and_capabilities(self) -> None:
        assert self.adapter.name == self.adapter.name.lower().strip()
        assert self.adapter.channels == ANY_CHANNEL or self.channel in self.adapter.channels
        assert isinstance(self.adapter.capabilities, Capabilities)

    async def test_every_setting_is_described(self) -> None:
        bare = [name for name, f in self.adapter.Settings.model_fields.items() if not f.description]
        assert bare == []

    # --- settings --------------------------------------------------------------------------------------

    async def test_an_unknown_setting_is_an_error_that_names_its_place(self) -> None:
        async with self.provider() as provider:
            settings = {**provider.settings(), "no_such_setting": "x"}
            with pytest.raises(ConfigurationError, match=r"settings\.no_such_setting: "):
                check_settings(self.adapter.Settings, settings, "settings", {})

    async def test_wrong_settings_are_found_at_start_and_name_their_place(self) -> None:
        for place, settings in self.wrong_settings.items():
            with pytest.raises(ConfigurationError) as caught:
                check_settings(self.adapter.Settings, settings, "settings", {})
            assert f"settings.{place}:" in str(caught.value) or not place
            for value in settings.values():
                assert not isinstance(value, str) or len(value) < 12 or value not in str(caught.value)

    async def test_no_secret_shows(self) -> None:
        if self.secret is None:
            pytest.skip("no secret in the settings")
        async with self.provider() as provider:
            adapter = self.make(provider)
            assert self.secret not in repr(adapter.settings) + str(adapter.settings) + repr(adapter)

    # --- sending ---------------------------------------------------------------------------------------

    async def test_a_message_arrives(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            outcomes = await adapter.send([self.message(provider, words="good morning")])
            assert [type(o) for o in outcomes] == [Accepted]
            [taken] = provider.taken()
            assert taken.key == "conformance-0"
            assert "good morning" in taken.text

    async def test_no_messages_no_outcomes(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            assert list(await adapter.send([])) == []

    async def test_one_outcome_a_message(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            outcomes = await adapter.send([self.message(provider, n) for n in range(40)])
            assert [type(o) for o in outcomes] == [Accepted] * 40
            assert sorted(t.key for t in provider.taken()) == sorted(f"conformance-{n}" for n in range(40))

    async def test_outcomes_come_in_the_order_of_the_messages(self) -> None:
        self.need("checks_address")
        async with self.provider() as provider, self.make(provider) as adapter:
            bad = {2, 3, 7}
            messages = [
                self.message(provider, n, **({"address": provider.bad_address()} if n in bad else {}))
                for n in range(9)
            ]
            outcomes = await adapter.send(messages)
            assert {n for n, o in enumerate(outcomes) if isinstance(o, Rejected)} == bad
            assert sum(isinstance(o, Accepted) for o in outcomes) == 6

    async def test_unicode_arrives_as_it_was(self) -> None:
        words = "南寻茶馆 – «Überraschung» 𝒯 🍵"
        async with self.provider() as provider, self.make(provider) as adapter:
            [outcome] = await adapter.send([self.message(provider, words=words)])
            assert isinstance(outcome, Accepted), outcome
            assert words in provider.taken()[0].text

    async def test_a_repeated_key_is_one_message(self) -> None:
        self.need("idempotent")
        async with self.provider() as provider, self.make(provider) as adapter:
            for _ in range(3):
                [outcome] = await adapter.send([self.message(provider)])
                assert isinstance(outcome, Accepted)
            assert [t.key for t in provider.taken()] == ["conformance-0"]

    async def test_sends_of_several_tasks_do_not_disturb_each_other(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            outcomes = await asyncio.gather(*(adapter.send([self.message(provider, n)]) for n in range(12)))
            assert all(isinstance(o, Accepted) for [o] in outcomes)
            assert len(provider.taken()) == 12

    async def test_keeps_to_its_rate(self) -> None:
        async with self.provider() as provider:
            adapter = self.make(provider, Rate.parse("10/s"))
            async with adapter:
                start = time.monotonic()
                await adapter.send([self.message(provider, n) for n in range(14)])
                # Ten at once, then one each tenth of a second.
                assert time.monotonic() - start >= 0.35

    # --- trouble ---------------------------------------------------------------------------------------

    async def test_a_bad_address_is_rejected(self) -> None:
        self.need("checks_address")
        async with self.provider() as provider, self.make(provider) as adapter:
            [outcome] = await adapter.send([self.message(provider, address=provider.bad_address())])
            assert isinstance(outcome, Rejected)
            assert outcome.reason.startswith("address")

    async def test_a_refused_message_is_rejected_and_the_next_one_goes(self) -> None:
        self.need("remote")
        outcome, after = await self.after_trouble("reject")
        assert isinstance(outcome, Rejected)
        assert isinstance(after, Accepted)

    async def test_a_request_for_a_pause_is_throttled(self) -> None:
        self.need("throttles")
        outcome, after = await self.after_trouble("throttle")
        assert isinstance(outcome, Throttled)
        assert outcome.retry_after is not None
        assert outcome.retry_after.total_seconds() > 0
        assert isinstance(after, Accepted)

    async def test_a_failing_provider_is_unavailable(self) -> None:
        self.need("remote")
        outcome, after = await self.after_trouble("fail")
        assert isinstance(outcome, Unavailable)
        assert isinstance(after, Accepted)

    async def test_silence_after_handing_over_is_unknown(self) -> None:
        self.need("remote")
        outcome, after = await self.after_trouble("hang")
        assert isinstance(outcome, Unknown)
        assert isinstance(after, Accepted)

    async def test_a_connection_dropped_after_handing_over_is_unknown(self) -> None:
        self.need("remote")
        outcome, after = await self.after_trouble("drop")
        assert isinstance(outcome, Unknown)
        assert isinstance(after, Accepted)

    async def test_a_refused_connection_is_unavailable(self) -> None:
        self.need("remote")
        async with self.provider() as provider:
            await provider.vanish()
            async with self.make(provider) as adapter:
                [outcome] = await adapter.send([self.message(provider)])
                assert isinstance(outcome, Unavailable)

    async def test_closing_twice_does_nothing(self) -> None:
        async with self.provider() as provider:
            adapter = self.make(provider)
            await adapter.close()
            await adapter.open()
            await adapter.send([self.message(provider)])
            await adapter.close()
            await adapter.close()

    async def test_no_address_and_no_content_shows(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="channels")
        seen: list[object] = []
        async with self.provider() as provider, self.make(provider) as adapter:
            message = self.message(provider, 5, words="a private word")
            seen += [message, *await adapter.send([message])]
            if adapter.capabilities.remote:
                for kind in ("reject", "fail", "hang"):
                    provider.trouble(kind)
                    seen += await adapter.send([message])
                await provider.vanish()
                seen += await adapter.send([message])
        text = " ".join(f"{thing!r} {thing!s}" for thing in seen) + caplog.text
        assert provider.address(5) not in text
        assert "a private word" not in text
