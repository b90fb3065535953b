"""The user of the shell."""

from __future__ import annotations

import os
import pwd

import pytest

from pipeline.cli.user import current_user


def test_the_name_is_that_of_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `getpass` finds it."""
    monkeypatch.setenv("LOGNAME", "bob")
    assert current_user() == "bob"


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run with a number that /etc/passwd does not have."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_: int) -> pwd.struct_passwd:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert current_user() == f"uid {os.getuid()}"


def test_a_name_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot forge a line of a terminal, and is as short as the API wants it."""
    monkeypatch.setenv("LOGNAME", "bob\x1b[2J\n" + "x" * 500)
    found = current_user()
    assert found.startswith("bob\\x1b[2J\\nx")
    assert len(found) == 200
