"""The HTTP request of a hook."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline import __version__
from pipeline.base.clock import Clock
from pipeline.base.connection_error import cause_of
from pipeline.base.errors import Cancelled, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.hooks import HttpCall
from pipeline.config.secrets import Secrets
from stages.deploy.request_auth import auth_of

if TYPE_CHECKING:
    from requests import Response

# A call in progress is left this soon after a cancellation.
_POLL_SECONDS = 0.1
_WITH_BODY = ("POST", "PUT", "PATCH")
# In bytes of a response, and in characters of a message.
_MAX_READ = 4096
_MAX_SHOWN = 200


class HookCall:
    """A request with its retries. `noun` is what errors call it. Errors and output name the host only.

    `variables` are the body of a request with one. `on_output` gets a line for each attempt.
    """

    def __init__(
        self,
        noun: str,
        wanted: HttpCall,
        secrets: Secrets,
        variables: Mapping[str, Any],
        on_output: Callable[[str], None],
    ) -> None:
        self._noun = noun
        self._wanted = wanted
        self._url = secrets.resolve(wanted.url)
        self._headers = {"User-Agent": f"penstock/{__version__}", **secrets.resolve_all(wanted.headers)}
        self._body = dict(variables) if wanted.method in _WITH_BODY else None
        self._host = _host(self._url)
        self._on_output = on_output

    def run(self, timeout: timedelta, clock: Clock, cancelled: threading.Event) -> None:
        """Call until a response is as expected.

        Raises `StageFailed` if all attempts fail or `timeout` is over, and `Cancelled`.
        """
        end = clock.monotonic() + timeout.total_seconds()
        attempts = self._wanted.retries + 1
        for attempt in range(1, attempts + 1):
            limit = min(self._wanted.attempt_timeout, timedelta(seconds=end - clock.monotonic()))
            failure = self._attempt(limit, cancelled)
            self._on_output(f"{self._wanted.method} {self._host}: {failure or 'succeeded'}")
            if failure is None:
                return
            interval = self._wanted.interval if attempt < attempts else timedelta(0)
            if clock.monotonic() + interval.total_seconds() >= end:
                # Also if the next attempt would be due later than that.
                limit_text = format_duration(timeout)
                raise StageFailed(f"{self._noun} did not succeed within {limit_text}: {self._host} {failure}")
            if interval and clock.wait(cancelled, interval):
                raise Cancelled("cancelled")
        times = f" {attempts} times" if attempts > 1 else ""
        raise StageFailed(f"{self._noun} failed{times}: {self._host} {failure}")

    def _attempt(self, limit: timedelta, cancelled: threading.Event) -> str | None:
        """Call once. Return why the call failed, or None.

        A call that takes too long continues in its own thread, which does not keep the process alive.
        """
        outcome = Future[str | None]()
        threading.Thread(target=self._complete, args=(outcome, limit), name="call of a hook", daemon=True).start()
        end = time.monotonic() + limit.total_seconds()
        while time.monotonic() < end:
            with suppress(TimeoutError):
                return outcome.result(min(_POLL_SECONDS, max(end - time.monotonic(), 0.0)))
            if cancelled.is_set():
                raise Cancelled("cancelled")
        return f"did not respond within {format_duration(limit)}"

    def _complete(self, outcome: Future[str | None], limit: timedelta) -> None:
        try:
            outcome.set_result(self._call(limit.total_seconds()))
        except BaseException as error:  # noqa: BLE001  # `result` raises it
            outcome.set_exception(error)

    def _call(self, seconds: float) -> str | None:
        import requests  # The import takes 150 ms, so only deployments with calls pay for it.

        try:
            with requests.request(
                self._wanted.method,
                self._url,
                json=self._body,
                headers=self._headers,
                timeout=seconds,
                allow_redirects=False,
                auth=auth_of(self._url),
                stream=True,
            ) as response:
                if self._wanted.expects(response.status_code):
                    return None
                return f"returned {response.status_code} instead of {self._wanted.expected_status}{_detail(response)}"
        except requests.Timeout:
            return f"did not respond within {format_duration(timedelta(seconds=seconds))}"
        except ValueError:
            # The text of the error shows the URL or the header, which may contain a secret.
            return "cannot be called: the URL or a header is not valid"
        except requests.RequestException as error:
            return f"cannot be reached: {cause_of(error)}"


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2] or "the URL"
    return "the URL"


def _detail(response: Response) -> str:
    """Return the begin of an unexpected response, for the message."""
    from urllib3.exceptions import HTTPError

    with suppress(HTTPError, OSError):
        text = bytes(response.raw.read(_MAX_READ, decode_content=True)).decode(errors="replace")
        shown = "".join(c for c in " ".join(text.split()) if c.isprintable())[:_MAX_SHOWN]
        return f": {shown}" if shown else ""
    return ""
