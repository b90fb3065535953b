"""The output of a container, line by line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import EngineFault, StoreFault
from pipeline.engine.container import ContainerSpec
from pipeline.engine.docker.containers import DockerContainers
from pipeline.engine.docker.networks import DockerNetworks
from pipeline.engine.task import Task

PIECE = 64 * 1024


class Printing:
    """Docker's client, as far as what a container prints is concerned; an error among the chunks is raised."""

    def __init__(self, *answers: list[bytes | Exception]) -> None:
        self._answers = iter(answers)
        self.heard = threading.Event()
        self.written = b""

    def logs(self, container: str, *, stream: bool = False, **_: Any) -> Iterator[bytes] | bytes:
        """The next of the answers, or what Docker has written."""
        return self._stream() if stream else self.written

    def _stream(self) -> Iterator[bytes]:
        for chunk in next(self._answers):
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
        self.heard.set()

    def create_container(self, **_: Any) -> dict[str, str]:
        """It is made."""
        return {"Id": "1"}

    def inspect_container(self, _: str) -> dict[str, Any]:
        """It runs until all of it was heard."""
        state = {
            "Status": "exited" if self.heard.is_set() else "running",
            "Pid": 1,
            "StartedAt": "2026-01-01T00:00:01Z",
            "ExitCode": 0,
            "OOMKilled": False,
        }
        return {
            "Id": "1",
            "Name": "/one",
            "State": state,
            "RestartCount": 0,
            "Image": "",
            "Config": {"Labels": {}},
            "NetworkSettings": {"Networks": {}},
            "Created": "2026-01-01T00:00:00Z",
        }

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


def containers(api: Printing) -> DockerContainers:
    return DockerContainers(api, "home", DockerNetworks(api, "home"))


@given(st.lists(st.binary(max_size=40)))
def test_lines_do_not_depend_on_how_they_come(chunks: list[bytes]) -> None:
    """Wherever the engine cuts them, they are what stands between the ends of lines."""
    whole = b"".join(chunks).decode(errors="replace").split("\n")
    expected = whole if whole[-1] else whole[:-1]
    assert list(containers(Printing([*chunks])).stream("1")) == expected


def test_a_line_without_an_end_is_heard_in_pieces() -> None:
    """As it comes, so that it takes no more memory than a piece; no character is torn, and nothing is lost."""
    endless = iter(lambda: "é".encode() * 999 + b"x", b"")
    stream = containers(Printing(endless)).stream("1")  # type: ignore[arg-type]
    pieces = [next(stream) for _ in range(20)]
    assert all(PIECE - 4 < len(piece.encode()) <= PIECE for piece in pieces)
    assert "".join(pieces) == (("é" * 999 + "x") * 1000)[: len("".join(pieces))]


def test_a_line_that_comes_whole_is_cut_too() -> None:
    """Its last piece is what is left."""
    line = "a" * (2 * PIECE + 5)
    assert list(containers(Printing([f"{line}\nb\n".encode()])).stream("1")) == ["a" * PIECE, "a" * PIECE, "aaaaa", "b"]


MANY = "".join(f"{n}\n" for n in range(100))


@pytest.mark.parametrize(
    ("passed", "written", "missing"),
    [
        ("", "b", ["b"]),
        ("a\n", "a\nb", ["b"]),
        ("a\n", "a\nb\nc", ["b", "c"]),
        ("a\nb", "a\nb", []),
        ("x\nx\n", "x\nx\nx", ["x"]),
        ("x\ny\nx\n", "x\ny\nx\ny", ["y"]),
        ("a\r\n", "a\r\nb\x0bc", ["b\x0bc"]),
        (MANY, MANY[-90:], []),
        (MANY, f"{MANY[-90:]}end", ["end"]),
        (MANY, f"{MANY[-91:]}end", ["end"]),
        (MANY, "another\nlog", []),
        ("a\n", "", []),
        (f"{'l' * 3 * PIECE}\n", f"{'l' * 3 * PIECE}\nend", ["end"]),
    ],
)
def test_the_last_lines_are_not_lost(passed: str, written: str, missing: list[str]) -> None:
    """Docker may end a stream before the last line, which a test that fails has often written without an end."""
    api = Printing([passed.encode()])
    complete = list(containers(api).stream("1"))
    api = Printing([passed.encode()])
    api.written = written.encode()
    assert list(containers(api).stream("1")) == [*complete, *missing]


def test_every_line_is_heard_once_though_the_engine_went_away() -> None:
    """It is asked again from the beginning, and what was heard before is passed over."""
    lines: list[str] = []
    api = Printing([b"one\ntwo\n", EngineFault("gone")], [EngineFault("gone")], [b"one\ntwo\nthree\n"])
    with Task(containers(api), ContainerSpec("one", "image", {}), lines.append) as task:
        ending = task.wait(timedelta(seconds=20), timedelta(0), threading.Event())
    assert ending.in_time
    assert lines == ["one", "two", "three"]


def test_a_log_that_cannot_be_written_ends_the_task() -> None:
    """Output is never lost silently."""

    def full(_: str) -> None:
        api.heard.set()
        raise StoreFault("the disk is full")

    api = Printing([b"one\n"])
    with (
        Task(containers(api), ContainerSpec("one", "image", {}), full) as task,
        pytest.raises(StoreFault, match="the disk is full"),
    ):
        task.wait(timedelta(seconds=20), timedelta(0), threading.Event())
