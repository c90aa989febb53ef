"""The port for advertising audiences: who is put on one, who is taken off it.

    adapter = create("meta_audience", "vip", settings)        # checks, opens nothing
    digests = adapter.digests({"email": "Ann@Example.com"})    # hashed; the value itself goes nowhere
    outcomes = await adapter.change(additions, removals, 17)   # one outcome per member, additions first

To put somebody on an audience twice, or take off who is not on it, changes nothing at any provider: what is
unknown is simply done again, so there is no `idempotent` to declare. Adapters are found by the entry point
group `kairos.audiences`.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from channels.pacing import Outcome
from channels.port import Settings
from channels.registry import check_settings, installed, load
from channels.settings import SettingMistake, find_mistakes

GROUP = "kairos.audiences"

_SPACE = re.compile(r"\s+")
_NO_DIGIT = re.compile(r"\D")


@dataclass(frozen=True, slots=True)
class Member:
    """One person for an audience, known to it by hashed identifiers alone. `key` is our own word for them.

    `digests`: kind to hashes, as `AudienceAdapter.digests` makes them; several after a merge of profiles.
    """

    key: str
    digests: Mapping[str, Sequence[str]] = field(repr=False)


class AudienceAdapter(ABC):
    """Our code for one provider of audiences; one object keeps one audience."""

    name: ClassVar[str]
    """As in `kairos.yaml`, the docs and the file's name."""
    kinds: ClassVar[tuple[str, ...]]
    """The identifiers it can use."""
    batch: ClassVar[int]
    """Members that one call can carry."""
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, audience: str, settings: Any) -> None:
        """`settings` is an instance of this adapter's `Settings`. No I/O here."""
        self.audience = audience
        self.settings = settings

    @abstractmethod
    def digests(self, identifiers: Mapping[str, str]) -> dict[str, str]:
        """Hashed identifiers by kind, normalised as the provider wants them; without what it cannot use."""

    @abstractmethod
    async def change(
        self, additions: Sequence[Member], removals: Sequence[Member], number: int
    ) -> Sequence[Outcome]:
        """Make these changes; one outcome per member, additions first. Nobody is in both.

        `number` grows from call to call of one audience, and may be given again after a call whose outcome
        is unknown, then perhaps with more members.
        """

    async def close(self) -> None:  # noqa: B027 - nothing to close unless an adapter says so
        """Let go of connections. Closing twice does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def sha256(text: str) -> str:
    """The hash that audiences are matched by: SHA-256, lower-case hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def normal_email(address: str) -> str:
    """An e-mail address as providers hash it: no space, lower case."""
    return _SPACE.sub("", address).lower()


def phone_digits(number: str) -> str:
    """A phone number as providers hash it: country code and number, digits only, no leading zero."""
    return _NO_DIGIT.sub("", number).lstrip("0")


def names() -> list[str]:
    """Names of all installed audience adapters, sorted."""
    return sorted(installed(GROUP))


def find(name: str, path: str = "adapter") -> type[AudienceAdapter]:
    """The adapter class of this name. `path` names the place in an error."""
    return load(name, path, GROUP, AudienceAdapter)  # type: ignore[type-abstract]


def create(
    name: str, audience: str, settings: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> AudienceAdapter:
    """The adapter for `audiences.AUDIENCE` of `kairos.yaml`, its settings checked, nothing opened.

    Raises `ConfigurationError`.
    """
    place = f"kairos.yaml: audiences.{audience}"
    kind = find(name, f"{place}.adapter")
    found = os.environ if environ is None else environ
    return kind(audience, check_settings(kind.Settings, settings, f"{place}.settings", found))


def examine(name: str, audience: str, settings: Mapping[str, Any]) -> list[SettingMistake]:
    """What a worker would refuse at its start, as `channels.registry.examine` says it of channels."""
    if ":" not in name and name not in installed(GROUP):
        return []
    try:
        return find_mistakes(find(name).Settings, settings, elsewhere=True)
    except Exception as error:  # whatever its module does when it is imported: the check goes on
        return [SettingMistake("broken", (), str(error.__cause__ or type(error).__name__))]
