"""`pipeline web`, and the web interface of `pipeline serve`."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli import web
from pipeline.cli.web_server import web_server
from pipeline.daemon.daemon import Daemon
from pipeline.store.store import Store
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE
from tests.support.web import Browser


@contextmanager
def served(home: Home, store: Store, address: str | None = "127.0.0.1:0") -> Iterator[str]:
    """Serve the web interface of a daemon, and yield its URL."""
    with ExitStack() as stack:
        web_server(Daemon(home, store, [Path("pipeline.yaml")]), stack, address)
        yield home.web_url.read_text().strip() if home.web_url.exists() else ""


def run(*arguments: str) -> str:
    found = CliRunner().invoke(web.command, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_link_logs_in(home: Home, store: Store) -> None:
    """The printed link leads to the served pages. The default role is look."""
    with served(home, store):
        link = urlsplit(run("login", "--name", "ann").strip())
        browser = Browser(link.port or 0)
        assert browser.post("/login", {"link": link.query.removeprefix("link=")}).status == 303
        assert "ann, role look" in browser.get("/").text
        assert [(s["user"], s["role"]) for s in json.loads(run("sessions", "--json"))] == [("ann", "look")]
        assert run("sessions").splitlines()[1].startswith("ann   look  ")
        assert run("logout", "bob") == (
            "ended 0 sessions\nbob is not logged in; `pipeline web sessions` lists the users\n"
        )
        assert run("logout", "ann") == "ended 1 session\n"
        assert browser.get("/").status == 401


def test_a_logout_ends_links_too(home: Home, store: Store) -> None:
    """A link that was not used gives no access any more."""
    with served(home, store):
        link = json.loads(run("login", "--name", "ann", "--role", "operate", "--json"))
        assert (link["user"], link["role"]) == ("ann", "operate")
        run("logout")
        url = urlsplit(link["url"])
        assert Browser(url.port or 0).post("/login", {"link": url.query.removeprefix("link=")}).status == 403


def test_without_a_daemon_there_is_no_link(home: Home, store: Store) -> None:
    """The error names the option of the daemon. A daemon without the option removes the URL of an earlier one."""
    with pytest.raises(ConfigError, match="serves the web interface") as caught:
        run("login")
    assert caught.value.hint == "pipeline serve --web 127.0.0.1:9001"
    home.web_url.write_text("http://127.0.0.1:1\n")
    with served(home, store, None), pytest.raises(ConfigError):
        run("login")
    with served(home, store):
        assert home.web_url.exists()
    assert not home.web_url.exists()


@pytest.mark.parametrize("name", ["", " ann", "ann\n", "a\x1bb", "x" * 65])
def test_a_name_is_one_line(name: str, home: Home, store: Store) -> None:
    """A name is shown in events and on terminals."""
    with served(home, store), pytest.raises(ConfigError, match="--name: must have 1 to 64 printable characters"):
        run("login", "--name", name)


def test_the_link_has_the_url_of_the_settings(home: Home, store: Store) -> None:
    """Behind a proxy, users open its URL."""
    home.web_settings.write_text("url: https://ci.example.com")
    with served(home, store):
        assert run("login").startswith("https://ci.example.com/login?link=")


def test_a_network_is_served_with_tls(home: Home, store: Store, tmp_path: Path) -> None:
    """With a certificate, the pages are served over HTTPS alone."""
    authority = trustme.CA()
    identity = authority.issue_cert("localhost", "127.0.0.1")
    identity.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, blob in enumerate(identity.cert_chain_pems):
        blob.write_to_path(tmp_path / "certificate.pem", append=number > 0)
    files = f"certificate: {tmp_path}/certificate.pem\nkey: {tmp_path}/key.pem\n"
    home.web_settings.write_text(f"url: https://localhost\n{files}")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    with served(home, store, f"0.0.0.0:{port}"):
        with closing(http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=DEADLINE)) as client:
            client.request("GET", "/login")
            assert client.getresponse().status == 200
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as client:
            client.request("GET", "/login")
            with pytest.raises((OSError, http.client.HTTPException)):
                client.getresponse()


def test_an_unusable_certificate_is_an_error(home: Home, store: Store, tmp_path: Path) -> None:
    """It is reported when the daemon starts, not at the first connection."""
    home.web_settings.write_text(f"certificate: {tmp_path}/none.pem\nkey: {tmp_path}/none.key\n")
    with pytest.raises(ConfigError, match=r"certificate: cannot be used: .*No such file"), served(home, store):
        pass


def test_a_daemon_without_the_option_loads_no_template(home: Home) -> None:
    """Nor does one whose pages nobody has opened."""
    code = """
import sys
import pipeline.cli.serve, pipeline.cli.web_server, pipeline.daemon.daemon, pipeline.http.api
assert "jinja2" not in sys.modules and "pipeline.web.app" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)
