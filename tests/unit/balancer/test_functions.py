"""ELB's event for a function and the response for its result."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pipeline.balancer.haproxy.functions.event import LIMIT, FunctionRequest, FunctionResponse, InvalidFunctionResponse

_REQUEST = FunctionRequest(
    "POST",
    "/a/b?x=1&y=%20&x=2&flag",
    (("Host", "shop.test"), ("X-A", "1"), ("x-a", "2"), ("Content-Type", "application/json; charset=utf-8")),
    b'{"n": 1}',
)


def test_the_event() -> None:
    """The event has lower-case header names, undecoded parameters, last values, and text as text."""
    assert _REQUEST.event("shop.fn", multiple=False) == {
        "requestContext": {"elb": {"targetGroupArn": "shop.fn"}},
        "httpMethod": "POST",
        "path": "/a/b",
        "queryStringParameters": {"x": "2", "y": "%20", "flag": ""},
        "headers": {"host": "shop.test", "x-a": "2", "content-type": "application/json; charset=utf-8"},
        "body": '{"n": 1}',
        "isBase64Encoded": False,
    }


def test_every_value() -> None:
    """The event has all repeated values in order with lambda.multi_value_headers.enabled."""
    event = _REQUEST.event("shop.fn", multiple=True)
    assert event["multiValueHeaders"]["x-a"] == ["1", "2"]
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "y": ["%20"], "flag": [""]}
    assert "headers" not in event
    assert "queryStringParameters" not in event


@pytest.mark.parametrize(
    ("headers", "body", "sent", "encoded"),
    [
        ((("Content-Type", "text/plain"),), b"text", "text", False),
        ((("Content-Type", "image/png"),), b"\x89P", base64.b64encode(b"\x89P").decode(), True),
        (
            (("Content-Type", "text/plain"), ("Content-Encoding", "gzip")),
            b"zip",
            base64.b64encode(b"zip").decode(),
            True,
        ),
        ((("Content-Type", "text/plain"),), b"\xff", base64.b64encode(b"\xff").decode(), True),
        ((), b"", "", False),
    ],
)
def test_bodies(headers: Any, body: bytes, sent: str, encoded: bool) -> None:
    """A body that is not text, or is encoded, is in base64."""
    event = FunctionRequest("POST", "/", headers, body).event("shop.fn", multiple=False)
    assert (event["body"], event["isBase64Encoded"]) == (sent, encoded)


def test_the_answer() -> None:
    """The response has the function's status, reason, headers and body."""
    result = {"statusCode": 201, "statusDescription": "201 Made", "headers": {"X-B": 1}, "body": "ok"}
    assert FunctionResponse.from_result(json.dumps(result).encode(), multiple=False) == FunctionResponse(
        201, "Made", [("X-B", "1")], b"ok"
    )


def test_an_answer_with_many_values_and_bytes() -> None:
    """A response may have repeated headers and a body from base64."""
    body = base64.b64encode(b"\xff").decode()
    result = {
        "statusCode": 200,
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": body,
        "isBase64Encoded": True,
    }
    answer = FunctionResponse.from_result(json.dumps(result).encode(), multiple=True)
    assert (list(answer.headers), answer.body) == ([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], b"\xff")


@pytest.mark.parametrize(
    "result",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b'{"errorMessage": "boom", "errorType": "ValueError"}',
        b'{"statusCode": "many"}',
        b'{"statusCode": 99}',
        b'{"statusCode": 200, "body": "%%%", "isBase64Encoded": true}',
        b'{"statusCode": 200, "headers": {"X": "a\\r\\nY: b"}}',
        b'{"statusCode": 200, "headers": 7}',
        b" " * (LIMIT + 1),
    ],
)
def test_no_answer(result: bytes) -> None:
    """An invalid result is refused with its reason."""
    with pytest.raises(InvalidFunctionResponse):
        FunctionResponse.from_result(result, multiple=False)
