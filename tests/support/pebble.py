"""Pebble, a real ACME authority for tests, with a DNS server and a web server that it asks for proofs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.ports import free_ports
from tests.support.waiting import COMMAND_TIMEOUT, listens, until


@dataclass
class Pebble:
    """A running Pebble without accounts. It asks for proofs by HTTP at `http_port`, whatever the domain."""

    directory: str
    trust_store: Path
    http_port: int
    dns_management: str
    process: subprocess.Popen[bytes]

    def declared(self, *domains: str, **more: Any) -> dict[str, Any]:
        """Return the key `acme` of a certificate from this authority."""
        return {
            "domains": list(domains),
            "terms_agreed": True,
            "directory": self.directory,
            "trust_store": str(self.trust_store),
            "http_port": self.http_port,
            **more,
        }

    def set_txt(self, name: str, value: str) -> None:
        """Set a TXT record."""
        _post(f"{self.dns_management}/set-txt", {"host": f"{name}.", "value": value})


@contextmanager
def pebble(folder: Path, *, rejected_nonces: int = 30, customers: Mapping[str, str] | None = None) -> Iterator[Pebble]:
    """Run Pebble in strict mode. It refuses this share of good nonces, in percent, and reuses no authorizations.

    With `customers`, it issues to them only. They are HMAC keys in base64url, by the id of the key.
    """
    if shutil.which("pebble") is None or shutil.which("pebble-challtestsrv") is None:
        assert not os.environ.get("CI"), "pebble is not installed, and in CI its tests must run"
        pytest.skip("pebble is not installed")
    port, management, http, dns, dns_management = free_ports(5)
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    trust_store, certificate, key = folder / "trust.pem", folder / "pebble.pem", folder / "pebble.key"
    authority.cert_pem.write_to_path(trust_store)
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http,
        "tlsPort": 1,
        "externalAccountBindingRequired": customers is not None,
        "externalAccountMACKeys": dict(customers or {}),
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    environment = {
        **os.environ,
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": str(rejected_nonces),
        "PEBBLE_AUTHZREUSE": "0",
    }
    names = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}"]
    others = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
    issuing = ["pebble", "-strict", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"]
    with (folder / "pebble.log").open("w") as log:
        commands = ([*names, *others], issuing)
        started = [subprocess.Popen(one, stdout=log, stderr=log, env=environment) for one in commands]
        try:
            until(lambda: listens(port) and listens(dns_management), "pebble listens")
            directory = f"https://127.0.0.1:{port}/dir"
            yield Pebble(directory, trust_store, http, f"http://127.0.0.1:{dns_management}", started[1])
        finally:
            for process in started:
                process.kill()
                process.wait(timeout=COMMAND_TIMEOUT)


@dataclass
class ProofServer:
    """A web server that answers authorities for the account with `thumbprint`, but for the hosts in `refused`."""

    thumbprint: str
    refused: set[str] = field(default_factory=set)

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Listen within the block."""
        proofs = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = (self.headers["host"] or "").partition(":")[0]
                body = f"{self.path.rpartition('/')[2]}.{proofs.thumbprint}".encode()
                self.send_response(404 if host in proofs.refused else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield
            server.shutdown()
            thread.join()


def _post(url: str, content: dict[str, str]) -> None:
    request = urllib.request.Request(url, json.dumps(content).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
