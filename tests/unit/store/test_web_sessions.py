"""Links and sessions of the web interface."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from pipeline.store.store import Store
from pipeline.store.web_sessions import Role, WebLogin, WebSession

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LOGIN = WebLogin("ann", Role.OPERATE, NOW + timedelta(minutes=10))


def test_a_link_becomes_one_session(store: Store) -> None:
    """The session has the user and the role of the link, and the link is gone."""
    sessions = store.web_sessions
    sessions.add_login("l", LOGIN, NOW)
    assert sessions.login("l") == LOGIN
    begun = WebSession("s", "ann", Role.OPERATE, NOW, NOW)
    assert sessions.begin("l", "s", NOW) == begun
    assert sessions.get("s") == begun
    assert sessions.login("l") is None
    assert sessions.begin("l", "t", NOW) is None
    assert sessions.all() == [begun]


def test_one_of_many_gets_the_session(store: Store) -> None:
    """A link that is used by several browsers at once begins one session."""
    store.web_sessions.add_login("l", LOGIN, NOW)
    begun, start = list[str](), threading.Barrier(8)

    def begin(number: int) -> None:
        start.wait()
        if store.web_sessions.begin("l", str(number), NOW):
            begun.append(str(number))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [session.digest for session in store.web_sessions.all()] == begun
    assert len(begun) == 1


def test_an_expired_link_begins_nothing(store: Store) -> None:
    """It is removed by its use, and by the next link."""
    sessions = store.web_sessions
    sessions.add_login("l", LOGIN, NOW)
    assert sessions.begin("l", "s", LOGIN.expires_at) is None
    sessions.add_login("l", LOGIN, NOW)
    sessions.add_login("m", LOGIN, LOGIN.expires_at)
    assert sessions.login("l") is None


def test_the_end_of_sessions(store: Store) -> None:
    """One session ends, those of a user with their links, or all."""
    sessions = store.web_sessions
    for number, user in enumerate(("ann", "ann", "bob")):
        login = WebLogin(user, Role.LOOK, LOGIN.expires_at)
        sessions.add_login(f"l{number}", login, NOW)
        sessions.begin(f"l{number}", f"s{number}", NOW + timedelta(seconds=number))
        sessions.add_login(f"m{number}", login, NOW)
    assert sessions.end("s0")
    assert not sessions.end("s0")
    assert sessions.end_all("ann") == 1
    assert sessions.login("m0") is None
    assert sessions.login("m2") is not None
    assert [session.user for session in sessions.all()] == ["bob"]
    assert sessions.end_all(None) == 1
    assert sessions.login("m2") is None


def test_a_use_is_stored(store: Store) -> None:
    """The time of the last use of a session is kept."""
    store.web_sessions.add_login("l", LOGIN, NOW)
    store.web_sessions.begin("l", "s", NOW)
    store.web_sessions.touch("s", NOW + timedelta(hours=1))
    found = store.web_sessions.get("s")
    assert found
    assert (found.created_at, found.used_at) == (NOW, NOW + timedelta(hours=1))
