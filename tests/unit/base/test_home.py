"""The location of the state directory and its permissions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.base.home import Home


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """Every directory of a home has mode 0700."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "state")})
    assert {p.stat().st_mode & 0o777 for p in (home.root, home.balancer, home.logs)} == {0o700}


def test_xdg_decides_where_no_variable_does(tmp_path: Path) -> None:
    """Without PENSTOCK_HOME, the home is in the XDG state directory."""
    assert Home.locate({"XDG_STATE_HOME": str(tmp_path)}).root == tmp_path / "penstock"


def test_two_homes_have_two_ids(tmp_path: Path) -> None:
    """Two homes have different ids, so neither takes the other's containers."""
    first, second = (Home.locate({"PENSTOCK_HOME": str(tmp_path / name)}) for name in "ab")
    assert first.id != second.id


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """The hint of an unwritable home names PENSTOCK_HOME."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFault) as caught:
        Home.locate({"PENSTOCK_HOME": str(tmp_path / "file" / "state")})
    assert caught.value.hint == "set PENSTOCK_HOME to a writable directory"


@pytest.mark.parametrize("place", ["~nosuch/x", "~nosuch", "~no such user/x"])
def test_a_place_of_a_user_that_does_not_exist(place: str) -> None:
    """The error names the variable, and nothing is created."""
    with pytest.raises(StoreFault) as caught:
        Home.locate({"PENSTOCK_HOME": place})
    assert caught.value.message == f"PENSTOCK_HOME={place}: there is no such user or home directory"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_a_home_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """They could take over the daemon through its files."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(mode)
    with pytest.raises(StoreFault) as caught:
        Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    text = f"{tmp_path}/home can be written by other users (mode {mode:04o})"
    assert (caught.value.message, caught.value.hint) == (text, f"chmod 700 {tmp_path}/home")


def test_folders_that_others_can_enter_are_closed(tmp_path: Path) -> None:
    """The folders in the home are Penstock's own."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    for folder in (home.mirrors, home.spool, home.locks):
        folder.chmod(0o777)
    Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    assert {p.stat().st_mode & 0o777 for p in (home.mirrors, home.spool, home.locks)} == {0o700}


def locate(place: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(place)})


def test_a_home_that_was_moved_keeps_its_id(tmp_path: Path) -> None:
    """Also when it is moved again, and back."""
    id_ = locate(tmp_path / "a").id
    for old, new in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / old).rename(tmp_path / new)
        assert locate(tmp_path / new).id == id_


def test_a_copy_of_a_home_has_an_id_of_its_own(tmp_path: Path) -> None:
    """The containers belong to the original. A copy that replaces the original has its id."""
    id_ = locate(tmp_path / "a").id
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    assert locate(tmp_path / "b").id != id_
    assert locate(tmp_path / "a").id == id_
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "backup").rename(tmp_path / "a")
    assert locate(tmp_path / "a").id == id_


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{}", b"[]", b'{"id": 3, "place": "/x"}', b'{"id": "../x", "place": "/"}']
)
def test_a_damaged_id_is_written_anew(tmp_path: Path, content: bytes) -> None:
    """A home that was never moved gets its former id."""
    home = locate(tmp_path / "a")
    id_, file = home.id, tmp_path / "a" / "id.json"
    good = file.read_text()
    file.write_bytes(content)
    assert locate(tmp_path / "a").id == id_
    assert file.read_text() == good


def test_haproxys_workers_keep_their_access(tmp_path: Path) -> None:
    """The balancer's folder may be searched by workers that are not root, and is otherwise private."""
    environ = {"PENSTOCK_HOME": str(tmp_path / "home")}
    balancer = Home.locate(environ).balancer
    for before, after in ((0o711, 0o711), (0o777, 0o711), (0o755, 0o711), (0o700, 0o700), (0o500, 0o700)):
        balancer.chmod(before)
        Home.locate(environ)
        assert balancer.stat().st_mode & 0o777 == after


def test_contexts_of_ended_runs_are_removed(tmp_path: Path) -> None:
    """Runs that are in progress keep theirs, also one that begins after the folder was read."""
    home = locate(tmp_path / "home")
    contexts = home.contexts("shop")
    for name in ("7", "7.draft", "8", "8.draft"):
        (contexts / name).mkdir(parents=True)
        (contexts / name / ".dockerignore").touch()

    def running() -> list[int]:
        (contexts / "9").mkdir()
        return [8]

    home.remove_contexts("shop", running)
    home.remove_contexts("another", running=list)
    assert {path.name for path in contexts.iterdir()} == {"8", "8.draft", "9"}
