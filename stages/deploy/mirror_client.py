"""The client that sends copies of requests to containers, past the balancer, and discards the responses."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection

from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.model import Target

HEADER = ("X-Penstock-Mirror", "1")
"""Tells an application that a request is a copy."""
# The rest of a longer response is not read.
_MAX_BODY = 2**20
_CHUNK = 2**16


@dataclass(frozen=True)
class CopyOutcome:
    """What became of a copy.

    `status` is None if no response came. `seconds` is the time until its headers arrived, or until the timeout. None if
    neither happened. `is_connected` is False if there was no connection to the target.
    """

    status: int | None = None
    seconds: float | None = None
    is_connected: bool = True


class MirrorClient:
    """Sends copies one after the other, over connections that it keeps open. For one thread.

    As the balancer, it does not verify the certificates of targets. A copy has the headers that the access log has, and
    those by which an application knows that a request came through the balancer.
    """

    def __init__(self, timeout: timedelta, *, is_secure: bool = False) -> None:
        self._timeout = timeout.total_seconds()
        self._context = _unverified() if is_secure else None
        self._kept: dict[tuple[str, int], HTTPConnection] = {}

    def send(self, target: Target, request: LoggedRequest) -> CopyOutcome:
        """Send a copy and wait for the response. Never raises an error of the network."""
        place = target.address, target.port
        kept = self._kept.pop(place, None)
        if kept is not None and (outcome := self._exchange(kept, place, request)) is not None:
            return outcome
        # The target has closed the kept connection meanwhile.
        fresh = self._connection(place)
        try:
            fresh.connect()
        except OSError:
            fresh.close()
            return CopyOutcome(is_connected=False)
        return self._exchange(fresh, place, request) or CopyOutcome()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()

    def _connection(self, place: tuple[str, int]) -> HTTPConnection:
        if self._context:
            return HTTPSConnection(*place, timeout=self._timeout, context=self._context)
        return HTTPConnection(*place, timeout=self._timeout)

    def _exchange(
        self, connection: HTTPConnection, place: tuple[str, int], request: LoggedRequest
    ) -> CopyOutcome | None:
        """Return the outcome, None if the connection ends before the first byte of a response."""
        is_reusable, started = False, time.monotonic()
        try:
            _write(connection, request)
            with connection.getresponse() as response:
                seconds = time.monotonic() - started
                is_reusable = self._discard(connection, response, started)
            return CopyOutcome(response.status, seconds)
        except TimeoutError:
            return CopyOutcome(seconds=self._timeout)
        except ConnectionError:
            return None
        except (OSError, HTTPException):
            return CopyOutcome()
        finally:
            if is_reusable:
                self._kept[place] = connection
            else:
                connection.close()

    def _discard(self, connection: HTTPConnection, response: HTTPResponse, started: float) -> bool:
        """Read the body. Return whether the connection can have another request."""
        left, sock = _MAX_BODY, connection.sock
        try:
            while part := response.read1(_CHUNK):
                left -= len(part)
                seconds = started + self._timeout - time.monotonic()
                if left <= 0 or seconds <= 0:
                    return False
                if sock is not None:
                    sock.settimeout(seconds)
        except (OSError, HTTPException):
            # The headers have arrived, as with a response of the balancer to a client that then leaves.
            return False
        if sock is not None:
            sock.settimeout(self._timeout)
        # An informational response is followed by another one.
        return not response.will_close and response.status >= 200


def _write(connection: HTTPConnection, request: LoggedRequest) -> None:
    connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", request.host)
    if request.user_agent:
        connection.putheader("User-Agent", request.user_agent)
    connection.putheader("X-Forwarded-For", request.client)
    connection.putheader("X-Forwarded-Proto", "https" if request.is_secure else "http")
    connection.putheader("X-Forwarded-Port", str(request.listener))
    connection.putheader(*HEADER)
    connection.endheaders()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
