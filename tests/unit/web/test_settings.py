"""`web.yaml`: who may reach the web interface."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.web_server import settings_for
from pipeline.web.settings import WebSettings, read_settings

COMPLETE = """\
url: https://ci.example.com/
hosts: [ci, CI.internal]
certificate: /etc/penstock/web.pem
key: /etc/penstock/web.key
proxies: [10.0.0.0/8, "fd00::/8"]
identity:
  header: X-Forwarded-User
  look: ["*"]
  operate: [ann]
"""


def test_a_complete_file(tmp_path: Path) -> None:
    """Each key has its meaning."""
    file = tmp_path / "web.yaml"
    file.write_text(COMPLETE)
    found = read_settings(file)
    assert found.url == "https://ci.example.com"
    assert found.known_hosts == {"ci", "ci.internal", "ci.example.com"}
    assert found.has_tls
    assert found.identity
    assert found.identity.header == "x-forwarded-user"
    assert [found.is_proxy(address) for address in ("10.1.2.3", "fd00::1", "11.0.0.1", "unix", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_without_a_file(tmp_path: Path) -> None:
    """Nothing is needed for the web interface on loopback."""
    assert read_settings(tmp_path / "web.yaml") == WebSettings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("certificate: a.pem", "certificate and key require each other"),
        ("url: ci.example.com", "1:6: url: must be http:// or https:// with a host and no path"),
        ("url: https://ci.example.com/ci", "1:6: url: must be http:// or https:// with a host and no path"),
        ("url: javascript:alert(1)", "must be http:// or https:// with a host and no path"),
        ("hosts: ['https://ci']", "1:9: hosts[0]: must be a host name without a scheme, such as ci.example.com"),
        ("proxies: [10.0.0.1/8]", "1:11: proxies[0]"),
        ("proxies: [all]", "1:11: proxies[0]"),
        ("identity: {header: X-User, operate: [ann]}", "identity requires proxies: any client could send its header"),
        ("proxies: [::1]\nidentity: {header: 'X User'}", "2:20: identity.header: must be the name of an HTTP header"),
        ("proxies: [::1]\nidentity: {look: [ann]}", "identity.header"),
        ("proxy: [::1]", "1:1: proxy: unknown key"),
        ("hosts: {", "line"),
    ],
)
def test_mistakes(text: str, expected: str, tmp_path: Path) -> None:
    """A mistake is reported with its place."""
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    assert expected in str(caught.value), str(caught.value)


def test_a_file_that_others_may_write(tmp_path: Path) -> None:
    """Who can write it decides who has access."""
    file = tmp_path / "web.yaml"
    file.write_text("hosts: []")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="must be writable only by its owner, got mode 0666"):
        read_settings(file)


@pytest.mark.parametrize("address", ["127.0.0.1:9001", "[::1]:9001", "localhost:9001", "127.1.2.3:1"])
def test_loopback_needs_nothing(address: str, tmp_path: Path) -> None:
    """Only programs of this machine reach it."""
    assert settings_for(Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")}), address) == WebSettings()


@pytest.mark.parametrize("address", ["0.0.0.0:9001", "[::]:9001", "192.0.2.1:9001", "ci.example.com:9001"])
def test_a_network_needs_tls(address: str, tmp_path: Path) -> None:
    """Without TLS or a proxy, everyone on the way could read the cookies."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with pytest.raises(ConfigError, match="an address beyond loopback needs TLS") as caught:
        settings_for(home, address)
    assert f"set certificate and key in {home.root}/web.yaml" in str(caught.value.hint)
    home.web_settings.write_text("proxies: [10.0.0.5]\nurl: https://ci.example.com")
    assert settings_for(home, address).proxies


@pytest.mark.parametrize("address", ["0.0.0.0:9001", "[::]:9001"])
def test_every_address_needs_a_url(address: str, tmp_path: Path) -> None:
    """A link to 0.0.0.0 leads nowhere."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    home.web_settings.write_text("proxies: [10.0.0.5]")
    with pytest.raises(ConfigError, match="no address that a browser can open"):
        settings_for(home, address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("::ffff:10.2.2.3", False), ("fd00::1", True), ("x", False)],
)
def test_a_proxy_is_known_by_its_address(address: str, expected: bool) -> None:
    """Also at an address of IPv6 that carries one of IPv4, as a server at `[::]` sees its peers."""
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert WebSettings(proxies=networks).is_proxy(address) is expected


@pytest.mark.parametrize("url", ["https://a.example/#x", "https://ann@a.example", "https://a.example:0", "https://a:b"])
def test_a_url_is_one_of_a_server(url: str) -> None:
    """A link of it would lead to another place."""
    with pytest.raises(ValidationError, match="url"):
        WebSettings(url=url)
