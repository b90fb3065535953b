"""A URL gives git its credentials apart from it, and shows none of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.base.git import redact, run_git
from pipeline.base.remote_url import RemoteUrl, is_url, resolve_relative


@pytest.mark.parametrize(
    ("text", "url", "username", "password"),
    [
        ("https://example.com/a.git", "https://example.com/a.git", "", None),
        ("https://ann:hunter@example.com/a.git", "https://example.com/a.git", "ann", "hunter"),
        ("https://ann:p@ss@example.com:8443/a.git", "https://example.com:8443/a.git", "ann", "p@ss"),
        ("https://ann:p%40s%2Fs@example.com/a.git", "https://example.com/a.git", "ann", "p@s/s"),
        ("https://token-of-a-forge@example.com/a", "https://example.com/a", "token-of-a-forge", None),
        ("https://:secret@example.com/a", "https://example.com/a", "", "secret"),
        ("https://example.com/a@b.git", "https://example.com/a@b.git", "", None),
        ("http://[::1]:8000/a.git", "http://[::1]:8000/a.git", "", None),
        ("ssh://git@example.com/a@b.git", "ssh://git@example.com/a@b.git", "", None),
        ("git@example.com:a.git", "git@example.com:a.git", "", None),
        ("file:///srv/a@b.git", "file:///srv/a@b.git", "", None),
    ],
)
def test_credentials_are_taken_out(text: str, url: str, username: str, password: str | None) -> None:
    """The user name and the password are decoded, and the URL has neither."""
    parsed = RemoteUrl.parse(text)
    assert (parsed.url, parsed.username, parsed.password) == (url, username, password)
    assert not any(secret in f"{parsed} {parsed!r}" for secret in parsed.secrets())


@pytest.mark.parametrize(
    "text",
    [
        "https://ann:pa/ss@example.com/a.git",
        "https://ann:p@s/s@example.com/a.git",
        "https://ann:12/34@example.com/a.git",
        "https://tok/en@example.com/a.git",
        "https://ann:line%0Abreak@example.com/a.git",
        "ssh://ann:hunter@example.com/a.git",
        "ssh://ann:hun/ter@example.com/a.git",
        "ext::sh -c true",
        "fd::0",
    ],
)
def test_an_ambiguous_url_is_refused(text: str) -> None:
    """A URL that may hold a password in its path is refused, and the error contains nothing of it."""
    with pytest.raises(ValueError, match=r"%40|line break|use a key|not the address") as caught:
        RemoteUrl.parse(text)
    assert not any(part in str(caught.value) for part in ("example", "hun", "ss@", "34", "en@", "break@"))


def test_git_asks_for_the_credentials_of_the_host(tmp_path: Path) -> None:
    """Git gets user name and password of this host through its environment, and none for another host."""
    environment = RemoteUrl.parse("https://ann:p@s%2Fs@127.0.0.1:8443/a.git").environment()

    def filled(host: str) -> str:
        request = f"protocol=https\nhost={host}\n\n".encode()
        try:
            return run_git(
                "credential", "fill", directory=tmp_path, environment=environment, standard_input=request
            ).decode()
        except Exception as error:  # noqa: BLE001  # an answer too
            return str(error)

    assert "username=ann\npassword=p@s/s\n" in filled("127.0.0.1:8443")
    assert "p@s" not in filled("127.0.0.2:8443")


def test_the_users_helper_supplies_the_password_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a user name only, git asks its own helpers first."""
    settings = tmp_path / "settings"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    subprocess.run(
        ["git", "config", "--global", "credential.helper", "!echo password=from-the-helper; true"], check=True
    )
    environment = RemoteUrl.parse("https://ann@127.0.0.1/a.git").environment()
    request = b"protocol=https\nhost=127.0.0.1\n\n"
    answer = run_git("credential", "fill", directory=tmp_path, environment=environment, standard_input=request)
    assert b"username=ann\npassword=from-the-helper\n" in answer


def test_what_a_url_shows() -> None:
    """A shown URL says that it has credentials, and has none of them."""
    assert str(RemoteUrl.parse("https://ann:hunter@example.com/a.git")) == "https://***@example.com/a.git"
    assert str(RemoteUrl.parse("ssh://git@example.com/a.git")) == "ssh://***@example.com/a.git"
    assert redact("fatal: https://ann:p@s/s@host/a failed") == "fatal: https://***@host/a failed"


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("../lib.git", "https://example.com/team/app.git", "https://example.com/team/lib.git"),
        ("../../other/lib", "https://example.com/team/app.git/", "https://example.com/other/lib"),
        ("./lib", "/srv/app.git", "/srv/app.git/lib"),
        ("../lib", "/srv/app.git", "/srv/lib"),
        ("../lib", "git@example.com:team/app.git", "git@example.com:team/lib"),
        ("../lib", "git@example.com:app.git", "git@example.com:lib"),
        ("https://example.com/lib", "/srv/app.git", "https://example.com/lib"),
    ],
)
def test_a_relative_url_is_relative_to_the_repository(url: str, base: str, expected: str) -> None:
    """Each `../` removes one component, as in git."""
    assert resolve_relative(url, base) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("fd::0", True), ("codecommit::eu-west-1://a", True), ("./a::b", False)]
)
def test_a_remote_helper_is_a_url(text: str, expected: bool) -> None:
    """Git runs a helper for `name::address`, so it is no path."""
    assert is_url(text) is expected
