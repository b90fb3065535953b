"""Answers of authorities that Pebble does not give: limits, faults, and the wish for a renewal."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from pipeline.acme.authority import AuthorityError
from pipeline.acme.client import AcmeAuthority
from pipeline.balancer.acme_account import account_thumbprint
from pipeline.balancer.model.acme import AcmeCertificate

Reply = tuple[int, dict[str, str], str]
_NAMES = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo")


@contextmanager
def served(folder: Path, replies: dict[str, Reply]) -> Iterator[AcmeAuthority]:
    """Serve an authority that gives these replies, by the first part of the path."""
    authority = trustme.CA()
    trust = folder / "trust.pem"
    authority.cert_pem.write_to_path(trust)

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = replies[self.path.split("/")[1]]
            self.send_response(status)
            for name, value in {"Replay-Nonce": "bm9uY2U", "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_POST = do_HEAD = do_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"https://127.0.0.1:{server.server_port}"
        directory: dict[str, Any] = {name: f"{url}/{name}" for name in _NAMES}
        replies.setdefault("directory", (200, {}, json.dumps(directory)))
        replies.setdefault("newNonce", (200, {}, ""))
        replies.setdefault("newAccount", (201, {"Location": f"{url}/account"}, "{}"))
        wanted = AcmeCertificate(
            domains=("a.test",), terms_agreed=True, directory=f"{url}/directory", trust_store=str(trust)
        )
        try:
            yield AcmeAuthority(wanted, folder / "balancer")
        finally:
            server.shutdown()
            thread.join()


def problem(code: str, detail: str) -> str:
    """Return the body of an error."""
    return json.dumps({"type": f"urn:ietf:params:acme:error:{code}", "detail": detail})


def refused(folder: Path, replies: dict[str, Reply]) -> AuthorityError:
    """Return the error of an order."""
    with served(folder, replies) as authority, pytest.raises(AuthorityError) as raised:
        authority.new_order(["a.test"])
    return raised.value


@pytest.mark.parametrize(
    "retry_after", [lambda: "3600", lambda: f"{datetime.now(UTC) + timedelta(hours=1):%a, %d %b %Y %H:%M:%S GMT}"]
)
def test_a_limit_of_the_rate(tmp_path: Path, retry_after: Callable[[], str]) -> None:
    """The time of the authority is kept, in seconds or as a date."""
    reply = (429, {"Retry-After": retry_after()}, problem("rateLimited", "too many certificates"))
    error = refused(tmp_path, {"newOrder": reply})
    assert error.message == "too many certificates"
    assert not error.is_final
    assert timedelta(minutes=55) < error.retry_after <= timedelta(minutes=65)


@pytest.mark.parametrize("retry_after", ["99999999999", "9" * 30, "-5", "soon", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_without_end(tmp_path: Path, retry_after: str) -> None:
    """It is cut to a week, and nonsense is no wait."""
    reply = (429, {"Retry-After": retry_after}, problem("rateLimited", "too many certificates"))
    assert refused(tmp_path, {"newOrder": reply}).retry_after in (timedelta(0), timedelta(days=7))


@pytest.mark.parametrize(
    ("reply", "is_final", "text"),
    [
        ((400, {}, problem("rejectedIdentifier", "a.test is on a list")), True, "a.test is on a list"),
        ((500, {}, problem("serverInternal", "try later")), False, "try later"),
        ((400, {}, problem("accountDoesNotExist", "no such account")), False, "no such account"),
        ((503, {"Retry-After": "60"}, "<html>"), False, "/newOrder returned HTTP 503"),
        ((404, {}, "gone"), True, "/newOrder returned HTTP 404"),
        ((201, {}, "no JSON"), False, "/directory: "),
    ],
)
def test_a_refusal(tmp_path: Path, reply: Reply, is_final: bool, text: str) -> None:
    """Only what more time cannot change is final."""
    error = refused(tmp_path, {"newOrder": reply})
    assert text in error.message
    assert error.is_final is is_final


@pytest.mark.parametrize("directory", ["{}", "[]", "null", '{"newNonce": 3}'])
def test_what_is_no_directory(tmp_path: Path, directory: str) -> None:
    """The message names the URL, and the request is repeated later."""
    error = refused(tmp_path, {"directory": (200, {}, directory)})
    assert error.message.startswith("https://127.0.0.1:")
    assert not error.is_final


def test_an_order_that_lacks_a_part(tmp_path: Path) -> None:
    """It is an error of the authority, not a crash."""
    assert "/directory: " in refused(tmp_path, {"newOrder": (201, {}, "{}")}).message


def test_a_missing_file_with_authorities(tmp_path: Path) -> None:
    """The message has its path."""
    wanted = AcmeCertificate(domains=("a.test",), terms_agreed=True, trust_store=str(tmp_path / "none.pem"))
    with pytest.raises(AuthorityError, match=r"none\.pem"):
        AcmeAuthority(wanted, tmp_path).new_order(["a.test"])


def test_nonces_that_are_always_bad(tmp_path: Path) -> None:
    """The authority is asked a few times, not for ever."""
    assert not refused(tmp_path, {"newOrder": (400, {}, problem("badNonce", "stale"))}).is_final


def test_an_authority_that_needs_more_than_an_account(tmp_path: Path) -> None:
    """The message says what to write."""
    directory = {"meta": {"externalAccountRequired": True}, **dict.fromkeys(_NAMES, "https://127.0.0.1/")}
    error = refused(tmp_path, {"directory": (200, {}, json.dumps(directory))})
    assert "it needs an external account; name yours in external_account" in error.message


def test_the_wish_for_a_renewal(tmp_path: Path) -> None:
    """It lies within the window of the authority, and the time to ask again is what it says."""
    begin = datetime.now(UTC) + timedelta(days=3)
    window = {"start": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "end": f"{begin + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"}
    reply = (200, {"Retry-After": "7200"}, json.dumps({"suggestedWindow": window}))
    chain = trustme.CA().issue_cert("a.test").cert_chain_pems[0].bytes().decode()
    with served(tmp_path, {"renewalInfo": reply}) as authority:
        wished, ask_again = authority.renewal_time(chain)
    assert wished is not None
    assert begin - timedelta(seconds=2) <= wished <= begin + timedelta(hours=2)
    assert timedelta(hours=1, minutes=55) < ask_again - datetime.now(UTC) <= timedelta(hours=2)
    with served(tmp_path, {"renewalInfo": (500, {}, "")}) as authority, pytest.raises(AuthorityError):
        authority.renewal_time(chain)


def test_the_key_of_the_account_is_private_and_stays(tmp_path: Path) -> None:
    """It is made once, with mode 0600."""
    first = account_thumbprint(tmp_path)
    assert account_thumbprint(tmp_path) == first
    assert len(first) == 43
    assert (tmp_path / "acme" / "account.pem").stat().st_mode & 0o777 == 0o600
