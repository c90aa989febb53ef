"""A case as a project folder that runs alone: `kairos test` plays it, and `tests/regressions` keeps it.

The scenario says what one customer does, in order of time, and expects what the simulator says comes of it.
What a scenario cannot say is the order in which messages came in. Where that matters, `arrivals.json` has
the bursts as they came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from engine.core.describe import length
from engine.core.plan import Effect, Plan
from engine.language.types import to_json
from engine.simulator import ScenarioRun, run_scenario
from engine.simulator.person import Enrolment
from tests.integration.parity import actions
from tests.integration.parity.authoring import write
from tests.integration.parity.cases import NOWHERE, Case, checked, fails_for_good, simulated, with_sink
from tests.integration.parity.crowds import START, Burst

ARRIVALS: Final = "arrivals.json"
ACTIONS: Final = "actions/generated.py"


def export(case: Case, customer: str, journey: str, *, arrivals: bool = False) -> dict[str, str]:
    """The files of a folder for one customer in one journey; with `arrivals` also how messages came in."""
    files = with_sink(_project(case.files, journey), NOWHERE)
    plan = checked(files).plans[journey]
    enrolments = [
        each
        for each in simulated(case).enrolments
        if each.person.external_id == customer and each.journey.name == journey
    ]
    scenario: dict[str, Any] = {
        "name": f"{customer} in {journey}",
        "profile": _profile(case.of(customer)),
        "start": START.isoformat(),
        "script": _script(case, customer, journey, plan, enrolments),
    }
    if any(each.state.holdout for each in enrolments):
        scenario["holdout"] = True
    effects = [step for step in plan.steps.values() if isinstance(step, Effect)]
    answered = [each for each in effects if each.verb in ("webhook", "action")]
    if answers := {each.id: {"ok": True} for each in answered if each.save_as is not None}:
        scenario["answers"] = answers
    if fails := [each.id for each in answered if fails_for_good(each)]:
        scenario["fails"] = fails
    path = f"journeys/tests/{journey}.test.yaml"
    first = files | {path: write({"journey": journey, "scenarios": [scenario]})}
    run = _run(first, path)
    if variants := _variants(run):
        scenario["variant"] = variants
    scenario["expect"] = _expect(run)
    files[path] = write({"journey": journey, "scenarios": [scenario]})
    if any("action:" in text for path, text in files.items() if path.startswith("journeys/")):
        files[ACTIONS] = Path(actions.__file__).read_text("utf-8")
    if arrivals:
        files[ARRIVALS] = _arrivals(case.bursts, customer)
    return files


def _arrivals(bursts: Iterable[Burst], customer: str) -> str:
    """Bursts as JSON, a message a line."""
    told = []
    for burst in bursts:
        own = [json.dumps(message) for message in burst.messages if message["userId"] == customer]
        if own:
            told.append(f'["{burst.at.isoformat()}", [\n  ' + ",\n  ".join(own) + "\n]]")
    return "[\n" + ",\n".join(told) + "\n]\n"


def read_arrivals(text: str) -> list[Burst]:
    return [Burst(datetime.fromisoformat(at), messages) for at, messages in json.loads(text)]


def put(files: Mapping[str, str], folder: Path) -> Path:
    """Writes the files into `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def shown(files: Mapping[str, str]) -> str:
    """The files that say what the case is, to be read in a terminal."""
    told = [name for name in sorted(files) if name.startswith("journeys/") or name == ARRIVALS]
    return "\n".join(f"--- {name}\n{files[name].rstrip()}" for name in told)


# --- the project ----------------------------------------------------------------------------------------


def _project(files: Mapping[str, str], journey: str) -> dict[str, str]:
    """The journey, those that it enters, and what they use."""
    names, found = [journey], set[str]()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += _entered(yaml.safe_load(files[f"journeys/{name}.yaml"]))
    kept = {"kairos.yaml": files["kairos.yaml"]}
    kept |= {f"journeys/{name}.yaml": files[f"journeys/{name}.yaml"] for name in sorted(found)}
    used = {step for name in found for step in _ids(yaml.safe_load(files[f"journeys/{name}.yaml"]))}
    kept |= {
        path: text for path, text in files.items() if path.split("/")[1:2] and path.split("/")[1] in used
    }
    catalogue = yaml.safe_load(files["journeys/catalog.yaml"])
    mine = "".join(kept.values())
    catalogue["profile"] = {
        name: about
        for name, about in catalogue.get("profile", {}).items()
        if not name.endswith("_points") or name in mine
    }
    catalogue["tags"] = [tag for tag in catalogue.get("tags", ()) if not tag.endswith("-done") or tag in mine]
    return kept | {"journeys/catalog.yaml": write(catalogue)}


def _entered(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        if isinstance(node.get("enter"), dict):
            yield node["enter"]["journey"]
        for value in node.values():
            yield from _entered(value)
    elif isinstance(node, list):
        for value in node:
            yield from _entered(value)


def _ids(node: Any) -> Iterable[str]:
    """Names of templates: generated ones are those of their steps."""
    if isinstance(node, dict):
        if isinstance(node.get("message"), dict):
            yield node["message"]["template"]
        for value in node.values():
            yield from _ids(value)
    elif isinstance(node, list):
        for value in node:
            yield from _ids(value)


# --- the scenario ---------------------------------------------------------------------------------------


def _profile(messages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    profile: dict[str, Any] = {}
    for message in messages:
        if message["type"] == "identify":
            profile |= {"external_id": message["userId"], **message["traits"]}
    return profile


def _script(
    case: Case, customer: str, journey: str, plan: Plan, enrolments: Iterable[Enrolment]
) -> list[dict[str, Any]]:
    entries: list[tuple[datetime, dict[str, Any]]] = [
        (each.at, {each.action: {}}) for each in case.operations if each.journey == journey
    ]
    if plan.trigger.kind == "manual":  # another journey's step put them in
        entries += [(each.entered_at, {"enter": _given(plan, each)}) for each in enrolments]
    seen: set[str] = set()
    for message in case.of(customer):
        if message["type"] == "track" and message["messageId"] not in seen:
            seen.add(message["messageId"])
            event = {"name": message["event"], "id": message["messageId"]}
            if message["properties"]:
                event["properties"] = message["properties"]
            entries.append((datetime.fromisoformat(message["timestamp"]), {"event": event}))
    entries.sort(key=lambda entry: entry[0])  # stable: controls first, then the order of arrival
    return [{"at": length(at - START), **what} for at, what in entries]


def _given(plan: Plan, enrolment: Enrolment) -> dict[str, Any]:
    facts = enrolment.trigger.facts
    return {name: to_json(facts[name]) for name in plan.trigger.properties if facts.get(name) is not None}


def _run(files: Mapping[str, str], path: str) -> ScenarioRun:
    project = checked(files)
    [scenario] = project.scenarios[path].scenarios
    return run_scenario(
        scenario,
        project.plans[project.scenarios[path].journey],
        catalogue=project.catalogue,
        installation=project.installation,
    )


def _variants(run: ScenarioRun) -> dict[str, str]:
    """The variants taken, where all enrolments took the same."""
    taken: dict[str, set[str]] = {}
    for enrolment in run.enrolments:
        for step, name in enrolment.state.variants.items():
            taken.setdefault(step, set()).add(name)
    return {step: names.pop() for step, names in taken.items() if len(names) == 1}


def _expect(run: ScenarioRun) -> dict[str, Any]:
    begun = sorted(
        (line for each in run.enrolments for line in each.trace if line.result == "began"),
        key=lambda line: line.at,
    )
    skipped = sorted((line for each in run.enrolments for line in each.skipped()), key=lambda line: line.at)
    expect: dict[str, Any] = {
        "entered": len(run.enrolments),
        "messages": [
            {
                "at": length(message.at - run.counts_from),
                "channel": message.channel,
                "template": message.template,
            }
            for message in run.messages
        ],
        "converted": any(each.converted_at is not None for each in run.enrolments),
        "steps": [line.step for line in begun],
        "skipped": [{"step": line.step, "reason": line.detail} for line in skipped],
    }
    if run.enrolments and all(each.state.exit for each in run.enrolments):
        expect["exit"] = [each.state.exit for each in run.enrolments]
    return expect


__all__ = ["ACTIONS", "ARRIVALS", "export", "put", "read_arrivals", "shown"]
