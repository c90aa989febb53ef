"""What every adapter of advertising audiences must do; used as `channels.testing.conformance` is."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from channels.audiences import AudienceAdapter, Member
from channels.errors import ConfigurationError, Rejected, Throttled, Unavailable, Unknown
from channels.receipt import Accepted
from channels.registry import check_settings
from channels.testing.conformance import Trouble


class AudienceProvider(ABC):
    """The fake of one provider, as the suite drives it."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Right settings, with a time-out of at most 0.5 s where there is one."""

    @abstractmethod
    def hashes(self) -> set[str]:
        """All hashes that are on the audience now."""


class RemoteAudienceProvider(AudienceProvider):
    """A fake that is called over the network."""

    @abstractmethod
    def trouble(self, kind: Trouble) -> None:
        """Make the next call meet this trouble."""

    @abstractmethod
    async def vanish(self) -> None:
        """Stop listening and cut all connections."""


P = TypeVar("P", bound=AudienceProvider)


@pytest.mark.asyncio
@pytest.mark.timeout(60)
class AudienceConformance(ABC, Generic[P]):
    """Derive a class whose name begins with `Test`, and set these.

    For an adapter that calls a server derive from `RemoteAudienceConformance`.
    """

    adapter: ClassVar[type[AudienceAdapter]]
    wrong_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Place of a mistake (`audience_id`) → settings that contain it."""

    @abstractmethod
    def provider(self) -> AbstractAsyncContextManager[P]:
        """The fake, listening."""

    # --- helpers ---------------------------------------------------------------------------------------

    def make(self, provider: P) -> AudienceAdapter:
        settings = check_settings(self.adapter.Settings, provider.settings(), "settings", {})
        return self.adapter("vip", settings)

    def identifiers(self, n: int) -> dict[str, str]:
        return {"email": f" Ann-{n}@Example.com", "phone": f"+861380000{n:04}", "external_id": f"c{n}"}

    def member(self, adapter: AudienceAdapter, n: int) -> Member:
        digests = adapter.digests(self.identifiers(n))
        return Member(f"m{n}", {kind: [digest] for kind, digest in digests.items()})

    def known(self, adapter: AudienceAdapter, *numbers: int) -> set[str]:
        return {digest for n in numbers for digest in adapter.digests(self.identifiers(n)).values()}

    # --- tests -----------------------------------------------------------------------------------------

    async def test_declares_itself_and_describes_every_setting(self) -> None:
        assert self.adapter.name == self.adapter.name.lower().strip()
        assert self.adapter.batch >= 1
        assert [name for name, f in self.adapter.Settings.model_fields.items() if not f.description] == []

    async def test_wrong_settings_are_found_at_start_and_name_their_place(self) -> None:
        for place, settings in self.wrong_settings.items():
            with pytest.raises(ConfigurationError, match=rf"settings\.{place}:"):
                check_settings(self.adapter.Settings, settings, "settings", {})

    async def test_spelling_makes_no_difference_to_a_hash_and_values_are_not_in_it(self) -> None:
        async with self.provider() as provider:
            adapter = self.make(provider)
            found = adapter.digests({"email": "ANN@example.COM ", "phone": "+86 138-0000-0001"})
            assert found == adapter.digests({"email": "ann@example.com", "phone": "+8613800000001"})
            assert set(found) <= set(adapter.kinds)
            assert not any("ann" in digest or digest[:3] == "138" for digest in found.values())

    async def test_nothing_to_know_somebody_by_is_no_hash(self) -> None:
        async with self.provider() as provider:
            assert self.make(provider).digests({"push": "token", "phone": "", "email": "nobody"}) == {}

    async def test_people_go_on_and_off_in_batches(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            members = [self.member(adapter, n) for n in range(40)]
            assert [type(o) for o in await adapter.change(members, [], 1)] == [Accepted] * 40
            assert provider.hashes() == self.known(adapter, *range(40))
            outcomes = await adapter.change([self.member(adapter, 40)], members[:39], 2)
            assert [type(o) for o in outcomes] == [Accepted] * 40
            assert provider.hashes() == self.known(adapter, 39, 40)

    async def test_no_changes_no_outcomes(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            assert list(await adapter.change([], [], 1)) == []

    async def test_the_same_again_changes_nothing(self) -> None:
        async with self.provider() as provider, self.make(provider) as adapter:
            for _ in range(2):
                [on] = await adapter.change([self.member(adapter, 1)], [], 1)
                assert isinstance(on, Accepted)
            assert provider.hashes() == self.known(adapter, 1)
            for _ in range(2):
                [off] = await adapter.change([], [self.member(adapter, 1)], 2)
                assert isinstance(off, Accepted)
            assert provider.hashes() == set()

    async def test_no_identifier_shows(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="channels")
        async with self.provider() as provider, self.make(provider) as adapter:
            member = self.member(adapter, 5)
            seen: list[object] = [member, *await adapter.change([member], [], 1)]
            self.unseen(adapter, seen, caplog.text)

    def unseen(self, adapter: AudienceAdapter, seen: list[object], logged: str) -> None:
        """Neither hashes nor values of member 5 show."""
        text = " ".join(f"{thing!r} {thing!s}" for thing in seen) + logged
        assert not any(digest in text for digest in self.known(adapter, 5))
        assert "13800000005" not in text


class RemoteAudienceConformance(AudienceConformance[RemoteAudienceProvider]):
    """And what an adapter must do that calls a server."""

    secret: ClassVar[str]
    """A secret that `settings()` contains: it must never show."""

    async def test_no_secret_shows(self) -> None:
        async with self.provider() as provider:
            adapter = self.make(provider)
            assert self.secret not in repr(adapter.settings) + str(adapter.settings) + repr(adapter)

    async def test_trouble_is_told_apart_and_passes(self) -> None:
        expected = {
            "throttle": Throttled,
            "fail": Unavailable,
            "reject": Rejected,
            "hang": Unknown,
            "drop": Unknown,
        }
        async with self.provider() as provider, self.make(provider) as adapter:
            kinds: tuple[Trouble, ...] = ("throttle", "fail", "reject", "hang", "drop")
            for number, kind in enumerate(kinds):
                provider.trouble(kind)
                [outcome] = await adapter.change([self.member(adapter, number)], [], number)
                assert type(outcome) is expected[kind], kind
                [after] = await adapter.change([self.member(adapter, number)], [], number)
                assert isinstance(after, Accepted)
            assert provider.hashes() == self.known(adapter, *range(len(kinds)))

    async def test_a_refused_connection_is_unavailable(self) -> None:
        async with self.provider() as provider:
            await provider.vanish()
            async with self.make(provider) as adapter:
                [outcome] = await adapter.change([self.member(adapter, 0)], [], 1)
                assert isinstance(outcome, Unavailable)

    async def test_no_identifier_shows_in_trouble(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="channels")
        async with self.provider() as provider, self.make(provider) as adapter:
            seen: list[object] = []
            kinds: tuple[Trouble, ...] = ("reject", "fail")
            for kind in kinds:
                provider.trouble(kind)
                seen += await adapter.change([self.member(adapter, 5)], [], 2)
            self.unseen(adapter, seen, caplog.text)
