"""The reason why a repository cannot be read, and what to do, from what git, ssh and a forge print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.errors import PenstockError
from pipeline.base.git import GitFailed
from stages.source.fetch_errors import explain
from tests.support.repository import Work

SSH = "git@forge.example:team/app.git"
HTTP = "https://forge.example/team/app.git"
GIVEN_UP = """
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists."""
DENIED = f"git@forge.example: Permission denied (publickey).{GIVEN_UP}"
EXPIRED = f"remote: \nremote: =====\nremote:\nremote: Your SSH key has expired.\nremote:\nremote: ====={GIVEN_UP}"
SAML = f"""ERROR: The `team' organization has enabled or enforced SAML SSO. To access
this repository, you must use the HTTPS remote with a personal access token
or SSH with an SSH key and passphrase
that has been authorized for this organization.{GIVEN_UP}"""
CUT = """error: RPC failed; curl 18 transfer closed with outstanding read data remaining
error: 4778 bytes of body are still expected
fetch-pack: unexpected disconnect while reading sideband packet
fatal: early EOF
fatal: fetch-pack: invalid index-pack output"""
OPEN_KEY = f"""@@@@@@@@@@@@
@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @
@@@@@@@@@@@@
Permissions 0644 for '/root/.ssh/id' are too open.
It is required that your private key files are NOT accessible by others.
This private key will be ignored.
Load key "/root/.ssh/id": bad permissions
{DENIED}"""
NO_KEY = "Warning: Identity file /no/key not accessible: No such file or directory."
REVOKED = f"""@@@@@@@@@@@@
@       WARNING: REVOKED HOST KEY DETECTED!               @
@@@@@@@@@@@@
The ED25519 host key for forge.example is marked as revoked.
This could mean that a stolen key is being used to impersonate this host.
Host key verification failed.{GIVEN_UP}"""


@pytest.mark.parametrize(
    ("text", "location", "reason", "hint"),
    [
        (EXPIRED, SSH, "Your SSH key has expired.", "renew"),
        (SAML, SSH, "the organization requires single sign-on (SAML SSO)", "authorize the key"),
        (CUT, HTTP, "RPC failed; curl 18 transfer closed with outstanding read data remaining", None),
        (
            "error: cannot run ssh: No such file or directory\nfatal: unable to fork",
            SSH,
            "ssh is not installed",
            "client",
        ),
        ('ssh -o BatchMode=yes "$@": 1: ssh: not found' + GIVEN_UP, SSH, "ssh is not installed", "openssh-client"),
        ("error: cannot run /opt/own: No such file or directory\nfatal: unable to fork", SSH, "/opt/own", "GIT_SSH"),
        (
            "git: 'remote-htps' is not a git command. See 'git --help'.\n\nThe most similar command is\n\tremote-https",
            "htps://forge.example/app.git",
            "git does not know this kind of address",
            "before ://",
        ),
        (OPEN_KEY, SSH, "Permissions 0644 for '/root/.ssh/id' are too open.", "chmod 600"),
        (
            f'Load key "/root/.ssh/id": invalid format\n{DENIED}',
            SSH,
            'Load key "/root/.ssh/id": invalid format',
            "whole",
        ),
        (f'Load key "/id": error in libcrypto\n{DENIED}', SSH, 'Load key "/id": error in libcrypto', "private key"),
        (f"{NO_KEY}\n{DENIED}", SSH, NO_KEY, "~/.ssh/config"),
        (
            f"{NO_KEY}\nssh: connect to host forge.example port 22: Connection timed out{GIVEN_UP}",
            SSH,
            "connect to host forge.example port 22: Connection timed out",
            "firewall",
        ),
        (f"{NO_KEY}\nThe forge is closed.{GIVEN_UP}", SSH, "The forge is closed.", None),
        (REVOKED, SSH, "the host key of forge.example is revoked", "do not connect"),
        ("ERROR: Access denied or the repository is disabled", SSH, "Access denied or the", "may read it"),
        ("remote: HTTP Basic: Access denied. The token may be wrong", HTTP, "HTTP Basic: Access denied", "token"),
        (
            "fatal: write error: No space left on device\nfatal: unpack-objects failed",
            SSH,
            "No space left",
            "make room",
        ),
        ("Hello\nremote: error: first\nfatal: second", SSH, "first", None),
        ("Hello\nremote: Goodbye", SSH, "Hello", None),
        ("\n".join(["fatal: first", *map(str, range(30))]), SSH, "first", None),
    ],
)
def test_the_reason_and_the_hint(text: str, location: str, reason: str, hint: str | None) -> None:
    """The first error counts if the cause is unknown: the others follow from it."""
    error = explain(GitFailed(text), location)
    assert reason in error.message
    assert error.message.startswith(f"cannot fetch {location}: ")
    assert len(error.tail) <= 20
    if hint is None:
        assert error.hint is None
    else:
        assert hint in str(error.hint)
        assert "known_hosts" not in str(error.hint)


def lose_object(path: Path) -> None:
    """Remove the newest file of the objects, as after a power cut."""
    max((path / ".git" / "objects").glob("??/*"), key=lambda file: file.stat().st_mtime_ns).unlink()


def empty_object(path: Path) -> None:
    """Leave the content of an object empty."""
    for file in (path / ".git" / "objects").glob("??/*"):
        file.chmod(0o644)
        file.write_bytes(b"")


def empty_ref(path: Path) -> None:
    """Leave a branch empty."""
    (path / ".git" / "refs" / "heads" / "main").write_bytes(b"")


def remove_alternate(path: Path) -> None:
    """Remove the repository whose objects are shared."""
    (path / ".git" / "objects").rename(path / "lent")
    (path / ".git" / "objects" / "info").mkdir(parents=True)
    (path / ".git" / "objects" / "info" / "alternates").write_text(f"{path}/gone\n")


@pytest.mark.parametrize("damage", [lose_object, empty_object, empty_ref, remove_alternate])
def test_a_damaged_repository_is_called_so(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """The mirror is not, and the hint has the command that finds out more."""
    work = Work(tmp_path)
    work.commit("two")
    damage(work.path)
    with pytest.raises(PenstockError) as caught:
        work.open().resolve("main")
    assert "the repository is damaged: " in caught.value.message
    assert "git fsck" in str(caught.value.hint)
    assert work.told == []


@pytest.mark.parametrize(
    "line",
    [
        "fatal: unpack-objects failed",
        "fatal: unable to read 0cfbf08886fca9a91cb753ec8734c84fcbe52c9f",
        f"fatal: remote error: upload-pack: not our ref {'0' * 40}",
        f"fatal: remote error: upload-pack: not our ref {'0' * 64}",
        "error: object file .git/objects/11/22 is empty",
        "error: object directory /gone/objects does not exist; check .git/objects/info/alternates",
        "error: inflate: data stream error (incorrect data check)",
    ],
)
def test_the_signs_of_damage(line: str) -> None:
    """Whatever follows them."""
    error = explain(GitFailed(f"{line}\nfatal: something else"), "/srv/app.git")
    assert error.message.startswith("cannot fetch /srv/app.git: the repository is damaged: ")
