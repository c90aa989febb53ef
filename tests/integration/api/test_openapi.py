"""Schemathesis reads our OpenAPI description and tries what it allows, and what it does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.schemas import OpenApiSchema

from engine.store import keys
from engine.store.database import open_database
from tests.integration.api.conftest import MANAGE_KEY, WRITE_KEY
from tests.integration.api.shop import make_shop
from workers.api import run_api

PROMISES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
EXAMPLES = 12
"""Tries of each operation: what is right and what is wrong, half and half."""


@pytest.fixture(scope="module")
def served(new_database: Callable[[], str]) -> Iterator[str]:
    """Address of an API with a shop behind it, served by a thread: schemathesis is not asynchronous."""
    url, ready, told = new_database(), threading.Event(), list[str]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def listening(at: str) -> None:
        told.append(at)
        ready.set()

    async def serve() -> None:
        database = open_database(url)
        async with database.begin() as connection:
            await keys.create(connection, "shop", "ingest", token=WRITE_KEY)
            await keys.create(connection, "operator", "manage", token=MANAGE_KEY)
        await make_shop(database)
        await run_api(database, port=0, stop=stop, ready=listening)
        await database.dispose()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60), "the API did not begin to listen"
    yield told[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


@pytest.fixture(scope="module")
def schema(served: str) -> OpenApiSchema:
    return schemathesis.openapi.from_url(f"{served}/openapi.json")


def trying(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> int:
    """Calls the operation many times and checks each answer; how many."""
    key = WRITE_KEY if operation.path.startswith("/v1/") else MANAGE_KEY
    checks: list[Any] = [CHECKS.get_one(name) for name in PROMISES]
    tried = 0

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def tries(case: Case[Any]) -> None:
        nonlocal tried
        tried += 1
        case.call_and_validate(auth=(key, ""), timeout=20, checks=checks)

    tries()
    return tried


def test_no_request_breaks_what_the_description_promises(schema: OpenApiSchema) -> None:
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        tried += trying(operation, GenerationMode.POSITIVE)
        if operation.query or operation.path_parameters or operation.body:  # else nothing can be wrong
            tried += trying(operation, GenerationMode.NEGATIVE)
    assert tried > 200


def test_every_operation_is_described(schema: OpenApiSchema) -> None:
    for path, operations in schema.raw_schema["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            assert operation["responses"], (method, path)
