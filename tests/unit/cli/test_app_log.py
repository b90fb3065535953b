"""The output of an application: complete, in order, and once, whatever happens to its replicas."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli import logs
from pipeline.cli.app import App
from pipeline.cli.app_log_output import print_app_log
from pipeline.engine.console import STAMP_LENGTH
from pipeline.engine.docker.frames import FrameReader
from pipeline.engine.docker.log_stream import unix_time
from pipeline.http.app_log import AppFollower, Entry, Wanted, read, read_tail
from pipeline.http.responses.log import LogLineResponse
from pipeline.store.replica_logs import ReplicaLogs
from pipeline.store.run_log import RunLogFile
from tests.support.logged_containers import FakeConsole, FakeStream, stamped
from tests.support.pipeline_yaml import MINIMAL


@pytest.fixture
def console() -> FakeConsole:
    return FakeConsole()


@pytest.fixture
def app(console: FakeConsole, tmp_path: Path) -> App:
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    console.print("shop.web.r2.aaaaaa", stamped(1), stamped(3), stamped(5))
    console.print("shop.web.r2.bbbbbb", stamped(2), stamped(4))
    console.print("shop.worker.r2.cccccc", stamped(6))
    ReplicaLogs(home.replica_logs("shop")).save("shop.web.r1.dddddd", [stamped(0).encode()])
    return App(home, "shop", 2, console)  # type: ignore[arg-type]


def texts(entries: Sequence[Entry] | Iterator[Entry]) -> list[str]:
    return [entry.text.decode() for entry in entries]


def test_all_replicas_by_time(app: App) -> None:
    """The lines of all replicas are merged, those of a removed one included."""
    assert texts(read(app, Wanted())) == ["0", "1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(service="worker"), ["6"]),
        (Wanted(release=1), ["0"]),
        (Wanted(since=stamped(4).encode()[:30]), ["4", "5", "6"]),
        (Wanted(matches=lambda text: text in b"36"), ["3", "6"]),
    ],
)
def test_parts_of_it(app: App, wanted: Wanted, expected: list[str]) -> None:
    """Each option leaves the lines that it names."""
    assert texts(read(app, wanted)) == expected


def test_a_replica_that_is_removed_while_it_is_read(app: App, console: FakeConsole) -> None:
    """Its output comes from the home if the engine has it no more."""
    entries = read(app, Wanted(service="worker"))
    ReplicaLogs(app.home.replica_logs("shop")).save("shop.worker.r2.cccccc", [stamped(6).encode()])
    assert texts(entries) == ["6"]


class Followed:
    """What a follower has brought."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch, tail: int | None = None) -> None:
        self.now = 0.0
        monkeypatch.setattr("pipeline.http.app_log.time.monotonic", lambda: self.now)
        monkeypatch.setattr("pipeline.http.app_log.time.sleep", lambda seconds: None)
        self._batches = AppFollower(app, Wanted(), tail).batches()

    def next(self, seconds: float = 1.0) -> list[str]:
        """Return the texts of the next batch, after some time."""
        self.now += seconds
        return texts(next(self._batches))


def test_following(app: App, console: FakeConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line comes once: before and after a restart, and of replicas that come and go between two looks."""
    followed = Followed(app, monkeypatch)
    assert followed.next() == ["1", "2", "3", "4", "5", "6"]
    console.print("shop.web.r2.bbbbbb", stamped(8))
    console.print("shop.web.r2.aaaaaa", stamped(7))
    assert followed.next(0.1) == ["7", "8"]

    log = console.logs["shop.web.r2.aaaaaa"]
    log.state = "exited"
    assert followed.next(0.1) == []
    log.lines.append(stamped(9).encode())
    assert followed.next() == ["9"], "the stream ended without the last line"
    opened = len(console.streams)
    assert followed.next(0.1) == []
    assert followed.next() == []
    assert followed.next() == []
    assert len(console.streams) <= opened + 1, "what has ended is not read over and over"
    log.state = "running"
    log.lines.append(stamped(10).encode())
    assert followed.next() == ["10"]

    console.print("shop.web.r3.eeeeee", stamped(11))
    assert followed.next() == ["11"]
    console.print("shop.web.r3.eeeeee", stamped(12))
    lines = console.logs.pop("shop.web.r3.eeeeee").lines
    saved = ReplicaLogs(app.home.replica_logs("shop"))
    saved.save("shop.web.r3.eeeeee", [*lines, stamped(13).encode()])
    saved.save("shop.web.r3.ffffff", [stamped(14).encode()])
    assert followed.next() == ["12", "13", "14"]
    assert followed.next() == []


def test_the_output_of_hosts_that_answer(app: App, console: FakeConsole, capsys: pytest.CaptureFixture[str]) -> None:
    """That of others is missing, which is told on stderr. So is that of a host which is lost after the list."""
    console.hosts = {"shop.web.r2.aaaaaa": "app1", "shop.web.r2.bbbbbb": "app2", "shop.worker.r2.cccccc": "app3"}
    console.missing["app2"] = EngineFault("host app2: no answer within 10 s")
    entries = read(app, Wanted())
    console.missing["app3"] = EngineFault("host app3 (ssh://app3): no route")
    assert texts(entries) == ["0", "1", "3", "5"]
    assert capsys.readouterr().err.splitlines() == [
        "note: host app2 does not answer, its replicas are missing here: no answer within 10 s",
        "note: host app3 does not answer, its replicas are missing here: no route",
    ]


def test_a_host_that_is_lost_while_its_replicas_are_read(
    app: App, console: FakeConsole, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines of the others are complete."""
    console.hosts = dict.fromkeys(console.logs, "app1")

    class Lost(FakeStream):
        def all(self) -> Iterator[bytes]:
            yield from self.log.lines[:1]
            raise EngineFault("lost the connection to Docker: reset")

    opened = console.log

    def log(name: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None) -> FakeStream | None:
        return Lost(console.logs[name], since) if name.endswith("aaaaaa") else opened(name, since)

    console.log = log  # type: ignore[method-assign]
    assert texts(read(app, Wanted())) == ["0", "1", "2", "4", "6"]
    assert capsys.readouterr().err.count("note: host app1 does not answer") == 1


def test_following_replicas_of_a_host_that_is_lost_for_a_while(
    app: App, console: FakeConsole, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line comes once. Those that were written meanwhile come when the host is back."""
    console.hosts["shop.web.r2.bbbbbb"] = "app2"
    followed = Followed(app, monkeypatch)
    assert followed.next() == ["1", "2", "3", "4", "5", "6"]
    fault = console.missing["app2"] = EngineFault("host app2: no answer within 10 s")
    stream = next(each for each in console.streams if each.log is console.logs["shop.web.r2.bbbbbb"])

    def fail() -> list[bytes]:
        raise fault

    monkeypatch.setattr(stream, "arrived", fail)
    console.print("shop.web.r2.bbbbbb", stamped(8))
    console.print("shop.web.r2.aaaaaa", stamped(7))
    assert followed.next() == ["7"]
    assert followed.next() == []
    del console.missing["app2"]
    assert followed.next() == ["8"]
    assert followed.next() == []
    assert capsys.readouterr().err.splitlines() == [
        "note: host app2 does not answer, its replicas are missing here: no answer within 10 s",
        "note: host app2 answers again",
    ]


def test_the_last_lines(app: App) -> None:
    """Of all replicas together, by their time. One that was removed counts, and so does the run of a job."""
    assert [texts(read_tail(app, Wanted(), count)) for count in (0, 1, 3)] == [[], ["6"], ["4", "5", "6"]]
    assert texts(read_tail(app, Wanted(), 100)) == ["0", "1", "2", "3", "4", "5", "6"]
    assert texts(read_tail(app, Wanted(release=1), 2)) == ["0"]
    assert texts(read_tail(app, Wanted(since=stamped(5).encode()[:STAMP_LENGTH]), 3)) == ["5", "6"]
    with run_log(app, "shop.nightly.r2.aaaaaa") as log:
        log.line("nightly", "cleaned")
    assert texts(read_tail(app, Wanted(), 2)) == ["6", "cleaned"]


def test_the_last_lines_that_match(app: App) -> None:
    """Other lines do not count."""
    wanted = Wanted(matches=lambda text: text in (b"0", b"2", b"3"))
    assert texts(read_tail(app, wanted, 2)) == ["2", "3"]
    assert texts(read_tail(app, wanted, 3)) == ["0", "2", "3"]


def test_lines_as_json(app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """They have the keys of the control API. The command writes them without a model, for speed."""
    monkeypatch.setattr("pipeline.cli.app_log_output.app_of", lambda *_: nullcontext(app))
    options = {"service": None, "release": None, "replica": None, "since": None, "grep": None}
    print_app_log(Path(), (), following=False, as_json=True, tail=1, **options)
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line == LogLineResponse.model_validate(line).as_data()
    assert (line["replica"], line["text"]) == ("shop.worker.r2.cccccc", "6")
    options["replica"] = "shop.web.r2.bbbbbb"
    print_app_log(Path(), (), following=False, as_json=True, tail=None, **options)
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [each["text"] for each in lines] == ["2", "4"]


def test_output_that_is_too_old_is_not_read(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output of a replica that was removed before the last lines were written has none of them."""
    folder = app.home.replica_logs("shop")
    (file,) = folder.iterdir()
    for seconds, expected in ((1767323045, []), (1767323046, ["shop.web.r1.dddddd"])):
        os.utime(file, (seconds, seconds))
        opened: list[str] = []
        original = ReplicaLogs.read

        def noted(
            self: ReplicaLogs, name: str, opened: list[str] = opened, original: Any = original
        ) -> Iterator[bytes]:
            opened.append(name)
            return original(self, name)

        with monkeypatch.context() as patched:
            patched.setattr(ReplicaLogs, "read", noted)
            assert texts(read_tail(app, Wanted(), 6)) == ["1", "2", "3", "4", "5", "6"]
        assert opened == expected


def test_following_begins_with_the_last_lines(app: App, console: FakeConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each replica that exists. One that is started later is read from its first line on."""
    followed = Followed(app, monkeypatch, tail=1)
    assert followed.next() == ["4", "5", "6"]
    console.print("shop.web.r3.eeeeee", stamped(7), stamped(8))
    console.print("shop.web.r2.aaaaaa", stamped(9), stamped(10))
    assert followed.next() == ["7", "8", "9", "10"]
    assert followed.next() == []


def test_a_replica_is_in_its_own_order(app: App, console: FakeConsole) -> None:
    """Two lines of one replica stay in the engine's order, also if their times are in another one."""
    console.print("shop.web.r2.gggggg", stamped(21), stamped(20))
    assert texts(read(app, Wanted()))[-2:] == ["21", "20"]


def test_the_folder_has_a_limit(tmp_path: Path) -> None:
    """The oldest output is deleted, and the latest stays."""
    kept = ReplicaLogs(tmp_path)
    for number in range(1003):
        kept.save(f"shop.web.r1.{number}", [])
    assert len(kept.names()) == 1000
    assert kept.names()[-1] == "shop.web.r1.1002"
    assert "shop.web.r1.0" not in kept.names()


def test_output_that_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    """A failure while output is read leaves no file."""

    def lines() -> Iterator[bytes]:
        yield b"one"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        ReplicaLogs(tmp_path).save("shop.web.r1.a", lines())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_gives_what_it_has(tmp_path: Path) -> None:
    """A power cut may damage a file, which does not hide the output of other replicas."""
    kept = ReplicaLogs(tmp_path)
    kept.save("shop.web.r1.a", (f"{number}".encode() for number in range(100_000)))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1000])
    lines = list(kept.read("shop.web.r1.a"))
    assert lines[:2] == [b"0", b"1"]
    file.write_bytes(b"nonsense")
    assert list(kept.read("shop.web.r1.a")) == []


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40))), st.integers(1, 30))
def test_frames_in_any_pieces(frames: list[tuple[int, bytes]], size: int) -> None:
    """A stream gives the same frames, wherever it is cut."""
    stream = b"".join(bytes([source, 0, 0, 0]) + len(data).to_bytes(4) + data for source, data in frames)
    reader = FrameReader()
    found = [frame for start in range(0, len(stream), size) for frame in reader.feed(stream[start : start + size])]
    assert found == frames


def test_the_time_of_a_line_for_docker() -> None:
    """Docker's parameter has all nine decimals."""
    assert unix_time(b"2026-01-02T03:04:05.000000007Z") == "1767323045.000000007"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--app", "7"], "--app excludes RUN, --step and --from, which are about the output of a run"),
        (["--since", "5m"], "--since requires --app"),
        (["--tail", "5"], "--tail requires --app"),
        (["--replica", "a"], "--replica requires --app"),
        (["--app", "--since", "5"], "--since: '5' is not a valid duration; write 500ms, 30s, 2m or 1h"),
        (["--app", "--grep", "("], "--grep (: not a regular expression: missing ), unterminated subpattern"),
    ],
)
def test_options_that_make_no_sense(
    arguments: list[str], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused with what is wrong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    (tmp_path / "pipeline.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigError) as caught:
        logs.command.main(arguments, standalone_mode=False)
    assert caught.value.message.startswith(error)


def run_log(app: App, container: str) -> RunLogFile:
    """Return the log of a job's run."""
    return RunLogFile(app.home.job_log(app.pipeline, container), str)


def test_runs_of_jobs_are_part_of_the_output(app: App) -> None:
    """By their job, their release and their time."""
    with run_log(app, "shop.nightly.r2.aaaaaa") as log:
        log.line("nightly", "cleaned")
    found = list(read(app, Wanted(service="nightly")))
    assert [(entry.replica.service, entry.replica.release, entry.text) for entry in found] == [
        ("nightly", 2, b"cleaned")
    ]
    assert len(found[0].stamp) == STAMP_LENGTH
    assert list(read(app, Wanted(service="nightly", release=3))) == []
    assert "cleaned" in texts(read(app, Wanted()))


def test_runs_of_jobs_are_followed(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended before is left out. One that runs is printed from its start."""
    with run_log(app, "shop.nightly.r1.aaaaaa") as log:
        log.line("nightly", "before")
    running = run_log(app, "shop.nightly.r1.bbbbbb")
    running.line("nightly", "one")
    with work_lock(app.home.lock("shop.nightly.r1.bbbbbb"), "job"):
        follower = Followed(app, monkeypatch)
        assert "one" in follower.next()
        running.line("nightly", "two")
        with run_log(app, "shop.nightly.r2.cccccc") as log:
            log.line("nightly", "three")
        assert {"two", "three"} <= set(follower.next())
        assert "three" not in follower.next()
    running.close()
