"""What can come of a send besides acceptance.

    Exception
    └── ChannelError
        ├── ConfigurationError    found at start: a setting, an adapter's name, a missing variable
        ├── Rejected              for good: this message will never be accepted at this address
        ├── Throttled             not now: the provider asks for a pause
        ├── Unavailable           nothing was accepted, for sure: safe to send again
        └── Unknown               perhaps handed over, nothing heard: repeated only by the channel's rule

Except for `ConfigurationError` these are values as well: `Adapter.send` returns them, one per message, and
raises none of them. Inside an adapter they are raised. They compare by their fields and survive pickling.

`detail` is in our words and may be logged. `raw` is the provider's own answer, which may quote an address:
it is kept for the delivery's record and stays out of `str` and `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from channels.receipt import Reason


class ChannelError(Exception):
    """Anything that goes wrong between us and a provider."""

    def __str__(self) -> str:
        return ", ".join(str(a) for a in self.args)


class ConfigurationError(ChannelError):
    """A mistake in `kairos.yaml` or its environment. `str` says where, what, and what was expected."""


class _Value(ChannelError):
    """Dataclasses do not hand their fields to `Exception`; this makes printing and pickling right."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})  # type: ignore[arg-type]


def _rebuild(kind: type[_Value], values: dict[str, Any]) -> _Value:
    return kind(**values)


@dataclass(unsafe_hash=True)
class Rejected(_Value):
    """Refused for good. Trying the same message again can only be refused again.

    `permanent` says that the address itself is dead for every later message too; `opt_out` that the person
    asked the provider to stop us, which counts as a withdrawal of consent.
    """

    reason: Reason
    detail: str = ""
    permanent: bool = False
    opt_out: bool = False
    raw: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"rejected ({self.reason}): {self.detail}" if self.detail else f"rejected ({self.reason})"


@dataclass(unsafe_hash=True)
class Throttled(_Value):
    """Not accepted. `retry_after` counts from the answer; None when the provider named no length."""

    retry_after: timedelta | None = None
    detail: str = ""
    raw: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        wait = "" if self.retry_after is None else f", again in {self.retry_after.total_seconds():g} s"
        return f"throttled{wait}" + (f": {self.detail}" if self.detail else "")


@dataclass(unsafe_hash=True)
class Unavailable(_Value):
    """Not accepted, for sure: the connection was refused, or the provider answered that it cannot now."""

    detail: str = ""
    retry_after: timedelta | None = None
    raw: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"unavailable: {self.detail}" if self.detail else "unavailable"


@dataclass(unsafe_hash=True)
class Unknown(_Value):
    """We may have handed it over and heard nothing: a time-out while reading, a connection dropped."""

    detail: str = ""
    raw: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"unknown: {self.detail}" if self.detail else "unknown"
