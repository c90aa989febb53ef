"""What a run is made with: the installation's part, and the stand-ins of a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from engine.core.limits import Policy
from engine.core.plan import Plan
from engine.language.catalogue import Catalogue
from engine.language.expressions import Definitions
from engine.language.installation import Installation
from engine.language.variants import Variants
from engine.policy import Settings


class Renderer(Protocol):
    """Renders messages. `variants`: those that hold for the customer."""

    def __call__(
        self, message: str, channel: str, context: Mapping[str, Any], variants: Sequence[str]
    ) -> Mapping[str, str]:
        """Its parts. Raises `engine.content.RenderError`."""


@dataclass(slots=True)
class StandIns:
    """What a scenario puts in place of chance and of the world outside."""

    variants: dict[str, str] = field(default_factory=dict)
    """Step id to variant name, for every enrolment."""
    holdout: bool | None = None
    """None takes the hash."""
    answers: dict[str, Any] = field(default_factory=dict)
    """Step id to the answer of its webhook or action; null where there is none."""
    fails: frozenset[str] = frozenset()


@dataclass(slots=True)
class Surroundings:
    """The installation that a run happens in."""

    plans: Mapping[str, Plan]
    catalogue: Catalogue = field(default_factory=Catalogue)
    installation: Installation = field(default_factory=Installation)
    render: Renderer | None = None
    """None: messages are not rendered."""
    variants: Variants = field(default_factory=dict)
    """Of the messages."""
    follow: bool = False
    """Whether an `enter` step really starts the other journey."""
    stand_ins: StandIns = field(default_factory=StandIns)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """Journey to the policy that limits its messages. Without any, channels have no hours either."""

    def definitions(self) -> Definitions:
        return Definitions(
            segments={name: text for name, text in self.catalogue.segments.items() if text is not None},
            computed={
                name: about.computed
                for name, about in self.catalogue.profile.items()
                if about.computed is not None
            },
            stages=tuple((stage.name, stage.where) for stage in self.catalogue.stages),
            tags=self.catalogue.rules,
        )

    def policy_settings(self) -> Settings:
        """The installation's part of what the rules go by. Nothing is spread: instants can be told."""
        channels = self.installation.channels if self.policies else {}
        return Settings(
            self.installation.consent,
            self.installation.time_zone,
            {name: channel.hours for name, channel in channels.items() if channel.hours is not None},
        )

    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.installation.time_zone)

    def attribute_types(self) -> dict[str, str]:
        return {name: about.type for name, about in self.catalogue.profile.items()}

    def event_types(self, name: str) -> dict[str, str]:
        event = self.catalogue.event(name)
        return {} if event is None else {key: about.type for key, about in event.properties.items()}
