"""Journeys as their author would write them, drawn from a seed: YAML text with every verb of the language."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final, Literal, TypeVar

import yaml

from engine.language.actions import ActionSignature
from engine.sdk import Action
from tests.integration.parity.actions import approve, decline

ACTIONS: Final[dict[str, Action]] = {each.name: each for each in (approve, decline)}
CHANNELS = {"sms": ("text",), "email": ("subject", "text"), "push": ("title", "body")}
EVENTS = ("cart.updated", "order.paid", "page.viewed")
ZONES = ("profile", "installation", "Asia/Shanghai", "America/St_Johns")
CLOCKS = ("00:00", "02:30", "09:00", "21:00", "23:59")
LENGTHS = ("1m", "5m", "30m", "1h", "90m", "5h", "1d", "1d12h")
MOST_STEPS = 15
Step = dict[str, Any]
T = TypeVar("T")

CATALOGUE: dict[str, Any] = {
    "events": {
        **{name: {"properties": {"n": "number", "k": "text", "due_at": "datetime"}} for name in EVENTS},
    },
    "profile": {"colour": "text", "level": "number", "renews_at": "datetime"},
    "tags": ["a", "b"],
}

STATIC = (
    "event.n > 2",
    'event.k == "x"',
    "event.n >= trigger.n",
    'has_tag("a")',
    'exists(profile.colour) and not has_tag("b")',
    "profile.level + event.n > 3",
    'profile.colour in ["red", "blue"]',
)
"""Conditions that no step of any journey changes the answer of."""


class Author:
    """Writes one journey. `name` prefixes its steps, attributes and tags, so that journeys do not compete."""

    def __init__(
        self,
        random: Random,
        name: str,
        url: str,
        enterable: str | None = None,
        run_as: str | None = None,
        actions: bool = False,
    ) -> None:
        """`enterable` is the journey that this one may enter; without one it is entered itself."""
        self.random = random
        self.name = name
        self.url = url
        self.enterable = enterable
        self.run_as = run_as
        self.actions = actions
        self.left = random.randint(4, MOST_STEPS)
        self.made = 0
        self.enters = False
        self.alone = True
        """Whether nobody is in this journey twice at a time: then its steps may read what they write."""
        self.templates: dict[str, str] = {}
        self.answers: list[str] = []

    # --- drawing --------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, values: Iterable[T]) -> T:
        return self.random.choice(tuple(values))

    def condition(self) -> str:
        """One about the event and what never changes."""
        return self.pick((*STATIC, 'count("page.viewed", "1d") > 1'))

    def choice(self) -> str:
        """One for a branch, which may also look at what this enrolment has done."""
        own = [f'has_tag("{self.name}-done")', f"profile.{self.name}_points > 3"] if self.alone else []
        own += [f"answers.{name}.ok == true" for name in self.answers]
        return self.pick((*STATIC, *own, *own, "now > trigger.occurred_at"))

    # --- the journey ----------------------------------------------------------------------------------

    def journey(self) -> dict[str, Any]:
        head: dict[str, Any] = {"journey": self.name, "trigger": self.trigger()}
        if self.chance(0.5):
            head["goal"] = {"event": "order.paid", "within": self.pick(("1h", "1d", "3d"))}
            if self.chance(0.6):
                head["goal"]["where"] = self.condition()
        exits: list[dict[str, Any]] = []
        if self.chance(0.4):
            exits.append({"event": self.pick(EVENTS[1:]), "where": self.condition()})
        if self.chance(0.25):
            exits.append({"where": self.choice()})
        if exits:
            head["exit_when"] = exits
        if self.chance(0.2):
            head["holdout"] = "50%"
        if self.chance(0.3):
            head["category"] = "transactional"
        if self.run_as is not None:
            head["run_as"] = self.run_as
        head["max_age"] = self.pick(("5m", "2d", "4d", "4d", "4d"))
        head["steps"] = self.sequence(0)
        return head

    def trigger(self) -> dict[str, Any]:
        if self.enterable is None:
            return {"manual": {"n": "number", "k": "text", "due_at": "datetime"}}
        trigger: dict[str, Any] = {"event": "cart.updated"}
        if self.chance(0.4):
            trigger["where"] = self.pick(("event.n > 0", 'not has_tag("b")', "event.n != 2"))
        if self.chance(0.3):
            trigger["one_per"] = "event.k"
            self.alone = False
        trigger["reenter"] = self.pick(("never", "after_exit", "after_exit", "restart", {"every": "2h"}))
        if trigger["reenter"] == "restart":
            self.alone = False
        if self.chance(0.5):
            trigger["settle"] = self.pick(LENGTHS[:6])
            if self.chance(0.6):
                trigger["unless"] = {"event": "order.paid"}
                if self.chance(0.5):
                    trigger["unless"]["where"] = "event.k == trigger.k"
        return trigger

    def sequence(self, depth: int) -> list[Step]:
        steps: list[Step] = []
        for _ in range(self.random.randint(0 if depth else 2, 4)):
            if self.left:
                steps.append(self.step(depth))
                if "stop" in steps[-1]:
                    break
        return steps

    def step(self, depth: int) -> Step:
        self.left -= 1
        id = f"{self.name}-s{self.made}"
        self.made += 1
        kinds: list[Callable[[str, int], Step]] = [
            self.length,
            self.time,
            self.instant,
            self.window,
            self.message,
            self.message,
            self.message,
            self.update,
            self.webhook,
            self.audience,
        ]
        if self.actions:
            kinds.append(self.action)
        if self.enterable and self.alone:
            kinds.append(self.enter)
        if depth:
            kinds.append(self.stop)
        if depth < 3:
            kinds += [self.event, self.event, self.first_of, self.branch, self.branch, self.split]
        return {"id": id, **self.pick(kinds)(id, depth)}

    # --- verbs ----------------------------------------------------------------------------------------

    def length(self, id: str, depth: int) -> Step:
        return {"wait": {"for": self.pick(LENGTHS)}}

    def time(self, id: str, depth: int) -> Step:
        wait: dict[str, Any] = {"until": self.pick(CLOCKS), "zone": self.pick(ZONES)}
        if self.chance(0.3):
            wait["days"] = ["mon", "tue", "wed", "sat", "sun"]
        return {"wait": wait}

    def instant(self, id: str, depth: int) -> Step:
        until = self.pick(("profile.renews_at", "event.due_at", "trigger.due_at", "2026-03-29T02:30"))
        wait: dict[str, Any] = {"until": until, "zone": self.pick(ZONES)}
        if self.chance(0.5):
            wait["offset"] = self.pick(("-1h", "-1d", "30m"))
        return {"wait": wait}

    def window(self, id: str, depth: int) -> Step:
        opens = self.pick(CLOCKS)
        closes = self.pick(clock for clock in CLOCKS if clock != opens)
        return {"wait": {"between": [opens, closes], "zone": self.pick(ZONES)}}

    def event(self, id: str, depth: int) -> Step:
        wait: dict[str, Any] = {"for_event": self.pick(EVENTS)}
        if self.chance(0.6):
            wait["where"] = self.condition()
        wait["up_to"] = self.pick(LENGTHS)
        if self.chance(0.8):
            wait["then"] = self.sequence(depth + 1)
        if self.chance(0.8):
            wait["otherwise"] = self.sequence(depth + 1)
        return {"wait": wait}

    def first_of(self, id: str, depth: int) -> Step:
        arms = []
        for name in self.random.sample(EVENTS, self.random.randint(1, 3)):
            if self.chance(0.4):
                arms.append({"event": name, "where": self.condition(), "steps": self.sequence(depth + 1)})
            arms.append({"event": name, "steps": self.sequence(depth + 1)})
        wait: dict[str, Any] = {"first_of": arms, "up_to": self.pick(LENGTHS)}
        wait["otherwise"] = self.sequence(depth + 1)
        return {"wait": wait}

    def message(self, id: str, depth: int) -> Step:
        channels = self.random.sample(sorted(CHANNELS), self.random.randint(1, 3))
        for channel in channels:
            for part in CHANNELS[channel]:
                self.templates[f"templates/{id}/{channel}.{part}.j2"] = f"{part} of {id}"
        message: dict[str, Any] = {"template": id, "channels": channels}
        if self.chance(0.3):
            message["category"] = "transactional"
        return {"message": message}

    def branch(self, id: str, depth: int) -> Step:
        cases: list[dict[str, Any]] = [
            {"where": where, "steps": self.sequence(depth + 1)}
            for where in dict.fromkeys(self.choice() for _ in range(self.random.randint(1, 3)))
        ]
        if self.chance(0.5):
            cases.append({"otherwise": self.sequence(depth + 1)})
        return {"branch": cases}

    def split(self, id: str, depth: int) -> Step:
        share = self.pick((0, 5, 30, 50, 100))
        variants = [
            {"name": "one", "weight": share, "steps": self.sequence(depth + 1)},
            {"name": "two", "weight": 100 - share, "steps": self.sequence(depth + 1)},
        ]
        return {"split": {"variants": variants, "by": self.pick(("profile", "enrolment"))}}

    def update(self, id: str, depth: int) -> Step:
        update: dict[str, Any] = {}
        if self.chance(0.7):
            update["set"] = {f"{self.name}_points": self.pick(("event.n + 1", "trigger.n * 2", 5))}
        if self.chance(0.5) or not update:
            update[self.pick(("add_tags", "remove_tags"))] = [f"{self.name}-done"]
        return {"update": update}

    def webhook(self, id: str, depth: int) -> Step:
        way = self.pick(("ok", "ok", "ok", "throttle?times=1&retry_after=0", "fail?status=400"))
        webhook: dict[str, Any] = {"url": f"{self.url}/{way}"}
        if way.startswith("ok") and not depth:  # an answer of an arm is not known outside it
            self.answers.append(f"{self.name}_{self.made}")
            webhook["save_as"] = self.answers[-1]
        if self.chance(0.3):
            webhook["body"] = {"n": "event.n"}
        if self.chance(0.3):
            webhook["on_failure"] = "stop"
        return {"webhook": webhook}

    def audience(self, id: str, depth: int) -> Step:
        return {"ad_audience": {self.pick(("add_to", "remove_from")): "vip"}}

    def action(self, id: str, depth: int) -> Step:
        action: dict[str, Any] = {"name": self.pick(("approve", "approve", "decline"))}
        if action["name"] == "approve" and not depth:
            self.answers.append(f"{self.name}_{self.made}")
            action["save_as"] = self.answers[-1]
        if self.chance(0.5):
            action["with"] = {"n": "event.n"}
        if self.chance(0.3):
            action["on_failure"] = "stop"
        return {"action": action}

    def enter(self, id: str, depth: int) -> Step:
        self.enters = True
        return {"enter": {"journey": self.enterable, "with": {"n": self.pick(("event.n", "trigger.n", 7))}}}

    def stop(self, id: str, depth: int) -> Step:
        return {"stop": self.pick(({}, "enough"))}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write(data: Any) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


def signatures() -> dict[str, ActionSignature]:
    """What the checker needs to know of `ACTIONS`."""
    return {name: each.signature for name, each in ACTIONS.items()}


RunAs = Literal["workflow", "pool", "both"]
_OTHER: Final = {"workflow": "pool", "pool": "workflow"}


def author_project(
    random: Random, journeys: int, url: str, run_as: RunAs = "workflow", actions: bool = False
) -> dict[str, str]:
    """The files of a project with this many journeys, and those that they `enter`.

    `run_as` is their driver; with `both` they take turns, and an `enter` leads from one driver to the other.
    """
    catalogue = {**CATALOGUE, "profile": dict(CATALOGUE["profile"]), "tags": list(CATALOGUE["tags"])}
    audiences = {"vip": {"adapter": "file_drop", "settings": {"folder": "${NOWHERE}"}}}
    files = {"kairos.yaml": write({"version": 1, "time_zone": "Europe/Berlin", "audiences": audiences})}
    for number in range(journeys):
        # One that is entered is entered by one journey only: two of them would compete.
        name, entered = f"j{number}", f"entered{number}"
        driver: str = run_as
        if run_as == "both":
            driver = "pool" if number % 2 else "workflow"
        author = Author(random, name, url, entered, driver, actions)
        written = [(author, author.journey())]
        if author.enters:
            its_driver = _OTHER[driver] if run_as == "both" else driver
            other = Author(random, entered, url, run_as=its_driver, actions=actions)
            written.append((other, other.journey()))
        for each, journey in written:
            files[f"journeys/{each.name}.yaml"] = write(journey)
            catalogue["profile"][f"{each.name}_points"] = "number"
            catalogue["tags"].append(f"{each.name}-done")
            files |= each.templates
    files["journeys/catalog.yaml"] = write(catalogue)
    return files
