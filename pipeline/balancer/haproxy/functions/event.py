"""ELB's event for a function, and the response for a function's result.

The shapes are AWS's: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# The maximum size of an event and of a result, in bytes of JSON.
LIMIT = 2**20
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")

Pairs = Sequence[tuple[str, str]]


class InvalidFunctionResponse(ValueError):
    """The function returned an invalid result."""


@dataclass(frozen=True)
class FunctionRequest:
    """A request on its way to a function. `target` is the path with its query."""

    method: str
    target: str
    headers: Pairs
    body: bytes

    def header(self, name: str) -> str:
        """Return the last value of a header, or an empty text."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), "")

    def event(self, group: str, *, multiple: bool) -> dict[str, Any]:
        """Return the event. `multiple`: with every value of repeated headers and parameters, not only the last."""
        path, _, query = self.target.partition("?")
        # Not decoded. ELB leaves that to the function.
        pairs = (part.partition("=") for part in query.split("&") if part)
        parameters = [(key, value) for key, _, value in pairs]
        headers = [(name.lower(), value) for name, value in self.headers]
        body, encoded = self._body()
        many = {"multiValueQueryStringParameters": _all(parameters), "multiValueHeaders": _all(headers)}
        last = {"queryStringParameters": dict(parameters), "headers": dict(headers)}
        return {
            "requestContext": {"elb": {"targetGroupArn": group}},
            "httpMethod": self.method,
            "path": path,
            **(many if multiple else last),
            "body": body,
            "isBase64Encoded": encoded,
        }

    def _body(self) -> tuple[str, bool]:
        """Return the body and False, or the body in base64 and True if it is not text."""
        if self.header("content-type").startswith(_TEXT) and not self.header("content-encoding"):
            try:
                return self.body.decode(), False
            except UnicodeDecodeError:
                pass
        return base64.b64encode(self.body).decode(), bool(self.body)


@dataclass(frozen=True)
class FunctionResponse:
    """The response to the client."""

    status: int
    reason: str
    headers: Pairs
    body: bytes

    @classmethod
    def from_result(cls, result: bytes, *, multiple: bool) -> FunctionResponse:
        """Parse a function's result. Raises `InvalidFunctionResponse` with the reason."""
        if len(result) > LIMIT:
            raise InvalidFunctionResponse(f"it returned more than {LIMIT >> 20} MiB")
        try:
            found = json.loads(result)
            status = int(found["statusCode"])
            body = str(found.get("body") or "").encode()
            if found.get("isBase64Encoded"):
                body = base64.b64decode(body, validate=True)
            headers = _headers(found, multiple=multiple)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise InvalidFunctionResponse(f"it returned an invalid response: {error!r}") from error
        if not 200 <= status <= 599:
            raise InvalidFunctionResponse(f"it returned status {status}, which is not 200 to 599")
        _, _, reason = str(found.get("statusDescription") or "").partition(" ")
        if not all(_is_header_text(text) for text in (reason, *(text for pair in headers for text in pair))):
            raise InvalidFunctionResponse("it returned a header or a reason with invalid characters")
        return cls(status, reason, headers, body)


def _headers(result: Any, *, multiple: bool) -> list[tuple[str, str]]:
    if multiple:
        many = result.get("multiValueHeaders") or {}
        found = [(str(name), str(value)) for name, values in many.items() for value in values]
    else:
        found = [(str(name), str(value)) for name, value in (result.get("headers") or {}).items()]
    return found


def _is_header_text(text: str) -> bool:
    return all((" " <= character <= "\xff" and character != "\x7f") or character == "\t" for character in text)


def _all(pairs: Pairs) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
