"""What every answer has: headers that keep browsers strict, JSON, and the status of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalsvc.errors import InputError, StoreUnavailable

if TYPE_CHECKING:
    from starlette.responses import Response

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def json_answer(value: object, code: int = 200) -> Response:
    """Return a value as a JSON response."""
    import msgspec
    from starlette.responses import Response

    return Response(msgspec.json.encode(value), code, media_type="application/json", headers=HEADERS)


def code_of(error: Exception) -> int:
    """Return the HTTP status that an error is answered with."""
    return 400 if isinstance(error, InputError) else 503 if isinstance(error, StoreUnavailable) else 500
