"""A repository behind a URL: credentials that nobody sees, and the reason if it cannot be read."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.base.errors import ConfigError, PenstockError, StageFailed
from tests.support.git_server import Answer, git_server
from tests.support.repository import Work
from tests.support.waiting import DEADLINE

PASSWORD = "hunter@zwei/drei vier"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A repository that a server can serve as `/served.git`, and a git without settings of a user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    work = Work(tmp_path)
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "served.git"))
    return work


def arguments() -> set[str]:
    """Return the arguments of every process of the machine."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("userinfo", [f"ann:{quote(PASSWORD, safe='')}", "ann:hunter@zwei", "a-token-of-a-forge"])
def test_credentials_are_in_no_argument_and_no_name(userinfo: str, work: Work) -> None:
    """A scan and a run work, while no process, event or file name shows the password or the token."""
    known = {"ann:hunter@zwei": "ann:hunter@zwei", "a-token-of-a-forge": "a-token-of-a-forge:"}
    credentials = known.get(userinfo, f"ann:{PASSWORD}")
    seen: set[str] = set()
    with git_server(work.root, credentials=credentials) as server:
        server.on_request = lambda: seen.update(arguments())
        repository = work.open(f"http://{userinfo}@{server.host}/served.git")
        assert repository.heads(["refs/heads/main"]) == {"refs/heads/main": work.first}
        revision = repository.resolve("main")
    shown = [*seen, *work.told, revision.source, *map(str, work.mirrors.rglob("*"))]
    assert any(f"http://{server.host}/served.git" in text for text in seen)
    assert not [text for text in shown if any(part in text for part in ("hunter", "zwei", "token-of"))]
    assert revision.source == f"http://***@{server.host}/served.git"


def test_a_changed_password_keeps_the_mirror(work: Work) -> None:
    """The mirror is named after the address alone."""
    for password in ("first", "second"):
        with git_server(work.root, credentials=f"ann:{password}") as server:
            address = f"http://ann:{password}@127.0.0.1:{server.host.partition(':')[2]}/served.git"
            work.open(address).resolve("main")
            name = server.host.replace(":", "-")
            assert len([mirror for mirror in work.mirrors.glob("*.git") if name in mirror.name]) == 1


def test_a_wrong_password(work: Work) -> None:
    """The error has the address and a hint, and nothing of the password."""
    with git_server(work.root, credentials="ann:right") as server, pytest.raises(StageFailed) as caught:
        work.open(f"http://ann:{quote(PASSWORD, safe='')}@{server.host}/served.git").resolve("main")
    assert caught.value.message.startswith(f"cannot fetch http://***@{server.host}/served.git: Authentication failed")
    assert "token" in str(caught.value.hint)
    assert "hunter" not in "".join([str(caught.value), *caught.value.tail])


def test_an_ambiguous_url_is_refused(work: Work) -> None:
    """The error says how to write it, and shows nothing of it."""
    with pytest.raises(ConfigError, match="write @ as %40") as caught:
        work.open("https://ann:hun/ter@127.0.0.1/served.git")
    assert "hun" not in str(caught.value)


PAGES = [
    Answer(200, b"<html>Hello</html>"),
    Answer(200, b"<html>\n<body>\n\tHello\n</body>\n</html>\n"),
    Answer(200, b"", ()),
    Answer(200, b'{"a": 1}', (("Content-Type", "application/json"),)),
    Answer(200, b"001e# service=git-upload-pack\n", (("Content-Type", "text/html"),)),
]


@pytest.mark.parametrize("answer", PAGES)
def test_a_page_is_not_a_repository(answer: Answer, work: Work) -> None:
    """Both a run and a scan say so. To git, some pages are a repository without commits."""
    with git_server(work.root, answer=answer) as server:
        url = f"http://{server.host}/page"
        for look in (lambda: work.open(url).resolve("main"), lambda: work.open(url).heads(["refs/heads/main"])):
            with pytest.raises(StageFailed) as caught:
                look()
            assert caught.value.message == f"cannot fetch {url}: there is no git repository at this address"


def test_an_empty_repository_is_one(work: Work) -> None:
    """It has no commit yet, and a scan finds nothing."""
    work.git("init", "--quiet", "--bare", str(work.root / "empty.git"))
    with git_server(work.root) as server:
        repository = work.open(f"http://{server.host}/empty.git")
        assert repository.heads(["refs/heads/main"]) == {}
        with pytest.raises(ConfigError, match="has no commit yet"):
            repository.resolve("main")


@pytest.mark.parametrize(
    ("answer", "reason", "hint"),
    [
        (Answer(302, b"", (("Location", "/again"),)), "the address redirects endlessly", "redirects to itself"),
        (Answer(401, b"", (("WWW-Authenticate", "Basic"),)), "could not read Username", "credential helper"),
        (Answer(403), "The requested URL returned error: 403", "does not let it read"),
        (Answer(404), "not found", "check the address"),
        (Answer(500), "The requested URL returned error: 500", "None"),
    ],
)
def test_the_reason_of_a_server(answer: Answer, reason: str, hint: str, work: Work) -> None:
    """The status, and what to check."""
    with git_server(work.root, answer=answer) as server, pytest.raises(StageFailed) as caught:
        work.open(f"http://{server.host}/again").resolve("main")
    assert reason in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_login_page(work: Work) -> None:
    """A redirect to another page is not a repository."""
    with git_server(work.root, answer=Answer(200, b"<html>Sign in</html>")) as page:
        redirect = Answer(302, b"", (("Location", f"http://{page.host}/login"),))
        with git_server(work.root, answer=redirect) as server, pytest.raises(StageFailed) as caught:
            work.open(f"http://{server.host}/team/app.git").resolve("main")
    assert caught.value.message.endswith("there is no git repository at this address")


def ssh(work: Work, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have git run a program in place of ssh, which prints lines and fails."""
    program = work.root / "ssh"
    program.write_text("#!/bin/sh\ncat >&2 <<'END'\n" + "\n".join(lines) + "\nEND\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))


@pytest.mark.parametrize("place", ["core.sshCommand", "GIT_SSH"])
def test_the_users_own_ssh_command(place: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be set in the user's configuration of git, or by GIT_SSH."""
    ssh(work, monkeypatch, "The forge is closed.")
    monkeypatch.delenv("GIT_SSH_COMMAND")
    program = work.root / "ssh"
    if place == "GIT_SSH":
        monkeypatch.setenv("GIT_SSH", str(program))
    else:
        work.git("config", "--global", "core.sshCommand", f"{program} -i deploy")
    with pytest.raises(PenstockError, match="The forge is closed"):
        work.open("git@forge.example:team/app.git").resolve("main")


FORGE = (
    "remote: ",
    "remote: ========================================================================",
    "remote: ERROR: The project you were looking for could not be found or you don't have permission to view it.",
    "remote: ========================================================================",
    "remote: ",
)
CHANGED = (
    "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@",
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
    "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@",
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!",
    "Host key verification failed.",
)


@pytest.mark.parametrize(
    ("lines", "reason", "hint"),
    [
        (("Host key verification failed.",), "Host key verification failed.", "ssh-keyscan forge.example"),
        (
            ("No ED25519 host key is known for forge.example and you have requested strict checking.", "x"),
            "No ED25519 host key is known for forge.example and you have requested strict checking.",
            "known_hosts",
        ),
        (CHANGED, "the host key of forge.example has changed", "ssh-keygen -R 'forge.example'"),
        (
            ("*** Welcome to the forge ***", "git@forge.example: Permission denied (publickey)."),
            "git@forge.example: Permission denied (publickey).",
            "the keys of root (in ",
        ),
        (
            ("ssh: connect to host forge.example port 22: Connection timed out",),
            "connect to host forge.example port 22: Connection timed out",
            "firewall",
        ),
        (
            ("ssh: Could not resolve hostname forge.example: Name or service not known",),
            "Could not resolve hostname forge.example: Name or service not known",
            "check the name of the host",
        ),
        (
            ("ssh: connect to host forge.example port 22: Connection refused",),
            "connect to host forge.example port 22: Connection refused",
            "firewall",
        ),
        (("Welcome.", "ERROR: Repository not found."), "Repository not found.", "check the address"),
        (
            FORGE,
            "The project you were looking for could not be found or you don't have permission to view it.",
            "check the address",
        ),
        (
            ("ERROR: Permission to team/app denied to deploy key",),
            "Permission to team/app denied to deploy key",
            "may read",
        ),
        (("Gitea: Unauthorized",), "Gitea: Unauthorized", "may read"),
        (("Warning: Permanently added 'forge'", "The forge is closed today."), "The forge is closed today.", "None"),
        ((), "git reported no reason", "None"),
    ],
)
def test_the_reason_of_ssh(
    lines: tuple[str, ...], reason: str, hint: str, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that says why, not git's last one, and a hint with the host or the user."""
    ssh(work, monkeypatch, *lines)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(PenstockError) as caught:
        work.open("git@forge.example:team/app.git").resolve("main")
    assert caught.value.message == f"cannot fetch git@forge.example:team/app.git: {reason}"
    assert hint in str(caught.value.hint)
    if lines == FORGE:
        assert not [line for line in caught.value.tail if "====" in line]


def test_the_port_of_a_host_key(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the hint has the port, with which ssh keeps the key."""
    ssh(work, monkeypatch, *CHANGED)
    with pytest.raises(PenstockError) as caught:
        work.open("ssh://git@forge.example:2222/team/app.git").resolve("main")
    assert "ssh-keygen -R '[forge.example]:2222' && ssh-keyscan -p 2222 forge.example >>" in str(caught.value.hint)


def test_a_login_shell_that_prints(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A greeting in place of git's answer is shown, and the hint names the shell."""
    program = work.root / "ssh"
    program.write_text("#!/bin/sh\necho Welcome to the server\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    with pytest.raises(PenstockError) as caught:
        work.open("git@forge.example:team/app.git").resolve("main")
    assert caught.value.message.endswith("protocol error: bad line length character: Welc")
    assert "login shell" in str(caught.value.hint)


def test_a_cancelled_fetch_ends(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote that does not answer holds nobody up."""
    program = work.root / "ssh"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    repository = work.open("git@forge.example:team/app.git")
    errors: list[PenstockError] = []

    def resolve() -> None:
        try:
            repository.resolve("main")
        except PenstockError as error:
            errors.append(error)

    thread = threading.Thread(target=resolve)
    thread.start()
    work.cancelled.set()
    thread.join(DEADLINE)
    assert [error.message for error in errors] == ["cancelled"]
