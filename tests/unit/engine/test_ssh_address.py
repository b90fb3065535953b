"""Addresses of engines that are reached by SSH."""

from __future__ import annotations

import re

import pytest

from pipeline.engine.ssh_address import SshAddress

FORM = "write ssh://USER@HOST, ssh://USER@HOST:PORT, or with the path of its socket at the end"


@pytest.mark.parametrize(
    ("text", "address", "login"),
    [
        ("ssh://app1", SshAddress("app1"), "app1"),
        ("ssh://deploy@App1.Example.com", SshAddress("App1.Example.com", "deploy"), "deploy@App1.Example.com"),
        ("ssh://deploy@app1:2222", SshAddress("app1", "deploy", 2222), "-p 2222 deploy@app1"),
        ("ssh://app1:2222", SshAddress("app1", None, 2222), "-p 2222 app1"),
        ("ssh://app1/run/user/1000/docker.sock", SshAddress("app1", socket="/run/user/1000/docker.sock"), "app1"),
        ("ssh://root@[fe80::1]:22", SshAddress("fe80::1", "root", 22), "-p 22 root@fe80::1"),
    ],
)
def test_an_address_is_read(text: str, address: SshAddress, login: str) -> None:
    """Case is kept, because ssh's aliases have it. The address is written as it was read."""
    assert SshAddress.from_text(text) == address
    assert str(address) == text
    assert address.login == login


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("app1", f"'app1' does not begin with ssh://; {FORM}"),
        ("tcp://app1:2375", f"'tcp://app1:2375' does not begin with ssh://; {FORM}"),
        ("ssh://", f"'' is not a name of a user or a host; {FORM}"),
        ("ssh://@app1", f"'' is not a name of a user or a host; {FORM}"),
        ("ssh://-oProxyCommand=x", f"'-oProxyCommand=x' is not a name of a user or a host; {FORM}"),
        ("ssh://-l@app1", f"'-l' is not a name of a user or a host; {FORM}"),
        ("ssh://a%20b@app1", f"'a b' is not a name of a user or a host; {FORM}"),
        ("ssh://deploy:secret@app1", "an address has no password; ssh uses keys"),
        ("ssh://app1:port", "the port of 'ssh://app1:port' is not a number from 1 to 65535"),
        ("ssh://app1:70000", "the port of 'ssh://app1:70000' is not a number from 1 to 65535"),
        ("ssh://app1/%00", r"'/\x00' is not the path of a socket"),
        ("ssh://app1/run/a:10.0.0.1:80", "'/run/a:10.0.0.1:80' is not the path of a socket"),
        ("ssh://app1?x=1", f"'ssh://app1?x=1' has more than an address; {FORM}"),
    ],
)
def test_an_invalid_address_is_refused(text: str, error: str) -> None:
    """The error says what to write. Nothing becomes an option of ssh."""
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        SshAddress.from_text(text)


def test_the_words_for_ssh_cannot_be_options() -> None:
    """The name of the host follows the end of the options."""
    assert SshAddress("app1", "deploy", 22).destination == ("-l", "deploy", "-p", "22", "--", "app1")
    assert SshAddress("app1").destination == ("--", "app1")
