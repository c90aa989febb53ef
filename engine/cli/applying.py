"""What applying a project changes, and applying it: all or nothing, in one transaction.

New plans are for new entrants; enrolments under way finish on the plan they began with. Templates,
`catalog.yaml` and `kairos.yaml` count at once. An archived journey stays archived and a paused one paused:
those are decisions of people, which a file that is still in the folder does not undo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from engine.core import codec, describe
from engine.core.differences import Difference, differences
from engine.core.plan import Plan
from engine.ingest.moments import has_moments
from engine.ingest.recomputing import follow
from engine.language.diagnostics import Diagnostic
from engine.language.loader import Mapping as YamlMapping
from engine.language.loader import load, plain_data
from engine.language.project import CATALOGUE_PATH, INSTALLATION_PATH, Project
from engine.store import clock, enrolments, holds, journeys, moments, plans
from engine.store import project as stored_project
from engine.store.database import in_transaction
from engine.store.journeys import Journey, Status
from engine.store.project import StoredProject

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

Kind = Literal["new", "changed", "same", "archived", "missing"]
"""`archived`: in the folder, but archived. `missing`: applied, but no longer in the folder."""


@dataclass(frozen=True, slots=True)
class JourneyChange:
    """What applying means for one journey. `status` is None for one that was never applied."""

    name: str
    kind: Kind
    status: Status | None
    digest: str | None
    """Of the plan in the folder."""
    live_digest: str | None
    version: int = 0
    """How many plans were live so far."""
    differences: tuple[Difference, ...] = ()
    under_way: int = 0
    """Enrolments on the live plan."""
    on_older_plans: int = 0
    about: str = ""
    """The plan in the folder, in a few words."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that counts at once. `keys` are the places inside a YAML file that differ, without values."""

    path: str
    change: Literal["new", "changed", "gone"]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that applying would change. `journeys` holds all of them, in order of name."""

    journeys: tuple[JourneyChange, ...]
    files: tuple[FileChange, ...] = ()
    first: bool = False
    """Nothing was applied before."""

    @property
    def any(self) -> bool:
        """Whether applying changes anything; a missing file alone does not."""
        return bool(self.files) or any(j.kind in ("new", "changed") for j in self.journeys)


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied. `digest` names the project as a whole; `archived` are journeys without a file."""

    changes: Changes
    digest: str
    archived: tuple[str, ...] = ()
    live: dict[str, str] = field(default_factory=dict)
    """Journey to the digest that was made live by this apply."""


class NotApplied(Exception):
    """The project has mistakes; nothing was changed."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        count = len(diagnostics)
        super().__init__(f"{count} mistake{'s' if count != 1 else ''}; nothing was applied")


async def find_changes(connection: AsyncConnection, project: Project, files: Mapping[str, str]) -> Changes:
    """What applying this project would change. `files` are the texts it was read from, path to text."""
    before = await stored_project.load(connection)
    known = await journeys.all_journeys(connection)
    counts = await enrolments.counts_by_digest(connection, known)
    old_plans = await plans.by_digest(
        connection, [one.live_digest for one in known.values() if one.live_digest is not None]
    )
    found = []
    for name in sorted(project.plans.keys() | known.keys()):
        change = _journey_change(name, project, known.get(name), old_plans)
        if change is not None:
            on = counts.get(name, {})
            under_way = on.get(change.live_digest or "", 0)
            found.append(replace(change, under_way=under_way, on_older_plans=sum(on.values()) - under_way))
    return Changes(tuple(found), _file_changes(before, files), first=before is None)


async def apply_project(
    database: AsyncEngine,
    project: Project,
    files: Mapping[str, str],
    *,
    archive_missing: bool = False,
    applied_by: str | None = None,
) -> Applied:
    """Makes the project what runs: plans, catalogue, installation, templates. Applying it twice is harmless.

    Who is in a segment that is followed from now on is noted before it returns.

    Args:
        files: path inside the project to text, those that `project` was read from.
        archive_missing: archive journeys that are no longer in the folder.

    Raises:
        NotApplied: the project has mistakes.
    """
    if project.errors:
        raise NotApplied(project.errors)

    async def work(connection: AsyncConnection) -> Applied:
        await holds.hold_applies(connection)
        changes = await find_changes(connection, project, files)
        return await _apply(connection, project, files, changes, archive_missing, applied_by)

    done = await in_transaction(database, work)
    await follow(database)
    return done


def project_digest(files: Mapping[str, str]) -> str:
    """Names a project's files as a whole: SHA-256 of their paths and texts."""
    return hashlib.sha256(json.dumps(sorted(files.items()), ensure_ascii=False).encode()).hexdigest()


async def _apply(
    connection: AsyncConnection,
    project: Project,
    files: Mapping[str, str],
    changes: Changes,
    archive_missing: bool,
    applied_by: str | None,
) -> Applied:
    wanted = {j.name: j.digest for j in changes.journeys if j.kind in ("new", "changed") and j.digest}
    await plans.put_batch(
        connection,
        {digest: (name, codec.plan_to_json(project.plans[name])) for name, digest in wanted.items()},
    )
    await journeys.apply_batch(
        connection, {name: (digest, files[f"journeys/{name}.yaml"]) for name, digest in wanted.items()}
    )
    now = (await clock.load(connection)).now()
    timed = {name for name in wanted if has_moments(project.plans[name])}
    await moments.forget(connection, wanted.keys() - timed)
    await moments.begin(connection, timed, now)
    missing = [j.name for j in changes.journeys if j.kind == "missing"] if archive_missing else []
    if missing:
        await journeys.set_status(connection, missing, "archived", now)
    digest = project_digest(files)
    if changes.any or missing:
        templates, others = _parted(files)
        await stored_project.save(
            connection,
            catalogue=files.get(CATALOGUE_PATH, ""),
            installation=files.get(INSTALLATION_PATH, ""),
            templates=templates,
            files=others,
            digest=digest,
            changes=wanted,
            applied_by=applied_by,
        )
    return Applied(changes, digest, tuple(missing), wanted)


def _journey_change(
    name: str, project: Project, known: Journey | None, old_plans: Mapping[str, dict[str, Any]]
) -> JourneyChange | None:
    plan = project.plans.get(name)
    if known is None:
        return (
            None
            if plan is None
            else JourneyChange(name, "new", None, codec.digest(plan), None, about=_about(plan))
        )
    if plan is None:
        if known.status == "archived":
            return None
        return JourneyChange(name, "missing", known.status, None, known.live_digest, known.version)
    digest = codec.digest(plan)
    said: tuple[Difference, ...] = ()
    if known.live_digest is not None and digest != known.live_digest and known.live_digest in old_plans:
        said = tuple(differences(codec.plan_from_json(old_plans[known.live_digest]), plan))
    kind: Kind = (
        "archived" if known.status == "archived" else "same" if digest == known.live_digest else "changed"
    )
    return JourneyChange(name, kind, known.status, digest, known.live_digest, known.version, said)


def _about(plan: Plan) -> str:
    steps = f"{len(plan.steps)} step{'' if len(plan.steps) == 1 else 's'}"
    return f"entered {describe.trigger(plan.trigger)}; {steps}"


# --- files ----------------------------------------------------------------------------------------------


def _parted(files: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Templates, and everything else that has no column of its own."""
    templates = {path: text for path, text in files.items() if path.startswith("templates/")}
    own = {CATALOGUE_PATH, INSTALLATION_PATH, *templates}
    return templates, {path: text for path, text in files.items() if path not in own}


def _file_changes(before: StoredProject | None, files: Mapping[str, str]) -> tuple[FileChange, ...]:
    old = {} if before is None else dict(before.templates)
    if before is not None:
        old |= {
            p: t
            for p, t in ((INSTALLATION_PATH, before.installation), (CATALOGUE_PATH, before.catalogue))
            if t
        }
    new = {
        path: text
        for path, text in files.items()
        if text and (path.startswith("templates/") or path in (CATALOGUE_PATH, INSTALLATION_PATH))
    }
    found = []
    for path in sorted(old.keys() | new.keys()):
        if path not in old:
            found.append(FileChange(path, "new"))
        elif path not in new:
            found.append(FileChange(path, "gone"))
        elif old[path] != new[path]:
            keys = _changed_keys(path, old[path], new[path]) if path.endswith(".yaml") else ()
            found.append(FileChange(path, "changed", keys))
    return tuple(found)


def _changed_keys(path: str, before: str, after: str) -> tuple[str, ...]:
    """Dotted places that differ, at most three keys deep."""
    return tuple(_keys(_data(path, before), _data(path, after)))


def _keys(before: Any, after: Any, place: tuple[str, ...] = ()) -> list[str]:
    if before == after:
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)) or len(place) == 3:
        return [".".join(place)] if place else []
    names = list(dict.fromkeys([*after, *before]))
    return [key for name in names for key in _keys(before.get(name), after.get(name), (*place, str(name)))]


def _data(path: str, text: str) -> Any:
    root, _ = load(path, text)
    return plain_data(root) if isinstance(root, YamlMapping) else {}


def in_json(changes: Changes) -> dict[str, Any]:
    """The changes as JSON data, for `--format json` and the API."""
    return {
        "first": changes.first,
        "changes": changes.any,
        "journeys": [
            {
                "journey": j.name,
                "change": j.kind,
                "status": j.status or "draft",
                "digest": j.digest,
                "live_digest": j.live_digest,
                "differences": [{"step": d.step, "text": d.text} for d in j.differences],
                "under_way": j.under_way,
                "on_older_plans": j.on_older_plans,
            }
            for j in changes.journeys
        ],
        "files": [{"path": f.path, "change": f.change, "keys": list(f.keys)} for f in changes.files],
    }
