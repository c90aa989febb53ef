"""Examples and shared answers for the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "description": "A URN that names the kind of problem."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "code": {"type": "string", "description": "The kind of problem, for programs."},
    },
}


def problem(description: str, code: str, status: int, detail: str) -> dict[str, Any]:
    """An error answer for OpenAPI."""
    example = {
        "type": f"urn:kairos:problem:{code}",
        "title": description,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": _PROBLEM_SCHEMA, "example": example}},
    }


UNAUTHORISED: Final = problem("Unauthorized", "unknown-key", 401, "this key is unknown or was revoked")
FORBIDDEN: Final = problem("Forbidden", "wrong-scope", 403, "this key has the scope `ingest`")
UNREACHABLE: Final = problem("Service Unavailable", "database-unreachable", 503, "please send this again")

INTAKE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Committed. `rejected` names events of a batch that could not be kept.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["success"],
                    "properties": {
                        "success": {"type": "boolean"},
                        "rejected": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["index", "reason"],
                                "properties": {
                                    "index": {
                                        "type": "integer",
                                        "description": "Place in the batch, from 0.",
                                    },
                                    "messageId": {"type": "string"},
                                    "reason": {"type": "string"},
                                },
                            },
                        },
                    },
                },
                "example": {"success": True},
            }
        },
    },
    400: problem(
        "Bad Request", "malformed", 400, "the body is not JSON: Expecting value at line 1, column 1"
    ),
    401: UNAUTHORISED,
    403: FORBIDDEN,
    408: problem("Request Timeout", "too-slow", 408, "the body did not come within 30 seconds"),
    413: problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
    415: problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    503: UNREACHABLE,
}

_COMMON: Final = {
    "messageId": "4d3d0c0e-7c1b-4c5e-9d1a-0c1f6c1d2e3f",
    "timestamp": "2026-11-11T10:00:00Z",
    "sentAt": "2026-11-11T10:00:01Z",
}
_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "track": {"userId": "c-17", "event": "cart.updated", "properties": {"cart_id": "k1", "total": 120}},
    "identify": {"userId": "c-17", "traits": {"email": "ada@example.com", "consents": {"email": True}}},
    "alias": {"userId": "c-17", "previousId": "visitor-9"},
    "page": {"anonymousId": "visitor-9", "name": "Home", "properties": {"url": "https://shop.example/"}},
    "screen": {"anonymousId": "visitor-9", "name": "Home", "properties": {}},
    "group": {"userId": "c-17", "groupId": "club", "traits": {"title": "The club"}},
}
_MESSAGE: Final[dict[str, Any]] = {
    "userId": {"type": ["string", "integer", "null"], "description": "Your id of the customer."},
    "anonymousId": {"type": ["string", "null"], "description": "A visitor's id, before you know who it is."},
    "messageId": {
        "type": ["string", "null"],
        "description": "Makes the event unique: sent again, kept once.",
    },
    "timestamp": {"type": ["string", "null"], "description": "When it happened, ISO 8601."},
    "sentAt": {"type": ["string", "null"], "description": "When it was sent: corrects a wrong clock."},
    "context": {"type": ["object", "null"]},
    "properties": {"type": ["object", "null"]},
    "traits": {"type": ["object", "null"]},
    "event": {"type": "string", "description": "The event's name (track)."},
    "name": {"type": ["string", "null"], "description": "The page's or screen's name."},
    "previousId": {"type": "string", "description": "The identity to join to `userId` (alias)."},
    "groupId": {"type": "string"},
    "writeKey": {"type": "string", "description": "The key, where no header carries it."},
}


def intake_body(kind: str) -> dict[str, Any]:
    """The request body of an intake endpoint, for OpenAPI."""
    if kind == "batch":
        item = {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"type": "string"}, **_MESSAGE},
        }
        schema: dict[str, Any] = {
            "type": "object",
            "required": ["batch"],
            "properties": {
                "batch": {"type": "array", "items": item},
                "sentAt": _MESSAGE["sentAt"],
                "writeKey": _MESSAGE["writeKey"],
            },
        }
        example: dict[str, Any] = {
            "batch": [{"type": "track", **_EXAMPLES["track"], **_COMMON}],
            "sentAt": _COMMON["sentAt"],
        }
    else:
        needed = {"track": ["event"], "alias": ["previousId"], "group": ["groupId"]}.get(kind, [])
        schema = {"type": "object", "required": needed, "properties": _MESSAGE}
        example = {**_EXAMPLES[kind], **_COMMON}
    content = {"application/json": {"schema": schema, "example": example}}
    return {
        "requestBody": {"required": True, "content": content},
        "security": [{"basic": []}, {"bearer": []}],
    }
