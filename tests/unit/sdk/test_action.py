"""What `@action` makes of a function, and what a call of it accepts and gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.sdk import Action, ActionContext, ActionMistake, Refused, Retries, action, discover
from engine.sdk.testing import TEST_CONTEXT, run_action


@action("loyalty.grant", retries=2, timeout=1)
async def grant(
    context: ActionContext, points: int, note: str = "", until: date | None = None
) -> dict[str, Any]:
    """Adds points."""
    return {"points": points, "note": note, "key": context.key, "until": until and until.isoformat()}


def test_the_signature_says_what_the_checker_needs() -> None:
    signature = grant.signature
    assert (signature.name, signature.doc) == ("loyalty.grant", "Adds points.")
    assert signature.inputs == {"points": ("number", True), "note": ("text", False), "until": ("date", False)}


def test_a_bare_decorator_takes_the_functions_name() -> None:
    @action
    def hello(
        anything: Any, flags: list[str], table: dict[str, int], at: datetime, yes: bool, x: float
    ) -> None:
        pass

    assert isinstance(hello, Action)
    assert hello.name == "hello"
    kinds = [kind for kind, _ in hello.signature.inputs.values()]
    assert kinds == ["any", "list", "object", "datetime", "boolean", "number"]


async def test_an_action_is_still_the_function_that_it_was() -> None:
    assert (await grant(TEST_CONTEXT, 3))["points"] == 3


class Unusable:
    pass


def _no_annotation(points) -> None:  # type: ignore[no-untyped-def]
    pass


def _unknown_type(points: Unusable) -> None:
    pass


def _many(*points: int) -> None:
    pass


def _two_types(points: int | str) -> None:
    pass


def _context_last(points: int, context: ActionContext) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_no_annotation, "input `points` has no annotation; expected str, int"),
        (_unknown_type, "input `points` is annotated"),
        (_two_types, "input `points` is annotated"),
        (_many, "`points` cannot be an input"),
        (_context_last, "the ActionContext must be the first parameter"),
        (lambda: None, "'<lambda>' is no name for an action"),
    ],
)
def test_what_cannot_be_used_is_said_at_import(function: Callable[..., Any], says: str) -> None:
    with pytest.raises(ActionMistake, match=r"expected|cannot|must|no name") as mistake:
        action("a" if function.__name__.startswith("_") else None)(function)
    assert says in str(mistake.value)
    assert function.__qualname__ in str(mistake.value)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "needs the input `points`"),
        ({"points": None}, "the input `points` is null; expected number"),
        ({"points": "3"}, "the input `points` is no number"),
        ({"points": 3.5}, "the input `points` is no number"),
        ({"points": 3, "notes": "x"}, "has no input `notes`"),
        ({"points": 3, "note": 7}, "the input `note` is no text"),
    ],
)
async def test_inputs_are_checked_by_type(inputs: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused) as refusal:
        await run_action(grant, inputs)
    assert says in str(refusal.value)


async def test_inputs_arrive_as_the_function_wants_them() -> None:
    answer = await run_action(grant, {"points": 3.0, "until": "2026-11-11"})
    assert answer == {"points": 3, "note": "", "key": TEST_CONTEXT.key, "until": "2026-11-11"}


async def test_a_call_that_takes_too_long_is_ended() -> None:
    @action(timeout=0.01)
    async def slow() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await run_action(slow)


@pytest.mark.parametrize("answer", [{1, 2}, float("nan"), "x" * 8192, datetime(2026, 1, 1, tzinfo=UTC)])
async def test_an_answer_that_is_no_json_or_too_large_is_refused(answer: Any) -> None:
    @action
    def give() -> Any:
        return answer

    with pytest.raises(Refused, match="the answer is"):
        await run_action(give)


async def test_a_plain_function_does_not_hold_up_the_others() -> None:
    import threading

    @action
    def where() -> int:
        return threading.get_ident()

    assert await run_action(where) != threading.get_ident()


def test_pauses_double_up_to_the_longest_and_end() -> None:
    retries = Retries(most=4, first=timedelta(seconds=1), longest=timedelta(seconds=3))
    assert [retries.pause(n) for n in range(1, 6)] == [*(timedelta(seconds=s) for s in (1, 2, 3, 3)), None]
    assert Retries(most=0).pause(1) is None


# --- discovery ------------------------------------------------------------------------------------------

FILE = "from engine.sdk import action\n@action\ndef {name}(x: int) -> None: ...\n"


def write(project: Path, **files: str) -> Path:
    folder = project / "actions"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return project


def test_actions_are_found_in_the_projects_folder(tmp_path: Path) -> None:
    write(tmp_path, one=FILE.format(name="first"), json=FILE.format(name="second"), _help="raise SystemExit")
    assert discover(tmp_path).keys() >= {"first", "second"}


def test_a_project_without_the_folder_has_none(tmp_path: Path) -> None:
    assert discover(tmp_path) == discover(None)


def test_two_actions_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, one=FILE.format(name="same"), two=FILE.format(name="same"))
    with pytest.raises(ActionMistake, match="there is another action `same`"):
        discover(tmp_path)


@pytest.mark.parametrize(
    "text", ["import nothing_like_this", "def (", "from engine.sdk import action\naction(7)(print)"]
)
def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, broken=text)
    with pytest.raises(ActionMistake, match=r"broken\.py"):
        discover(tmp_path)
