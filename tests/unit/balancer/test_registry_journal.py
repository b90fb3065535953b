"""The registry's file: a snapshot and the changes since, at every point of a write and in every process."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline import __version__
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import BalancerFault
from tests.support.sample import sampled
from tests.support.waiting import DEADLINE

OWNERS, GROUPS, NAMES = ("shop", "blog"), ("web", "api"), tuple("abcdef")
PORTS = {"shop": 8080, "blog": 9090}
names = st.lists(st.sampled_from(NAMES), unique=True, max_size=len(NAMES))


def declaration(owner: str, groups: tuple[str, ...] = GROUPS, path: str = "/", rules: int = 0) -> Declaration:
    made = [
        {"priority": n + 1, "conditions": [{"path_pattern": [f"/{n}{path}"]}], "action": {"forward": groups[0]}}
        for n in range(rules)
    ]
    listener = {"port": PORTS[owner], "rules": made, "default_action": {"forward": groups[0]}}
    return Declaration.model_validate(
        {
            "target_groups": {name: {"port": 80, "health_check": {"path": path}} for name in groups},
            "load_balancers": {"edge": {"listeners": [listener]}},
        }
    )


def targets(*ids: str, port: int = 80) -> list[Target]:
    return [Target(id=id_, address="10.0.0.1", port=port) for id_ in ids]


def described(registry: Registry) -> Any:
    """Return everything that a registry says, with the order of resources and targets."""
    order = [
        [resource.id for resource in registry.all()],
        {id_: list(known) for id_, known in registry.targets.items()},
    ]
    return order, registry.by_field(), registry.key_sets


def read(path: Path) -> Any:
    return described(RegistryFile(path).read())


class Journal(RuleBasedStateMachine):
    """Changes of a registry, each written to its file. Processes that read it see all of a change or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "registry.json"
        self.writer, self.reader = RegistryFile(self.path), RegistryFile(self.path)
        self.appended = 0

    @initialize()
    def begin(self) -> None:
        self.change(lambda registry: registry.declare("shop", declaration("shop")))

    @rule(
        owner=st.sampled_from(OWNERS), path=st.sampled_from(["/", "/up"]), rules=st.integers(0, 3), both=st.booleans()
    )
    def declare(self, owner: str, path: str, rules: int, both: bool) -> None:
        groups = GROUPS if both else GROUPS[:1]
        self.change(lambda registry: registry.declare(owner, declaration(owner, groups, path, rules)))

    @rule(owner=st.sampled_from(OWNERS))
    def withdraw(self, owner: str) -> None:
        self.change(lambda registry: registry.withdraw(owner))

    @rule(ids=names, owner=st.sampled_from(OWNERS), group=st.sampled_from(GROUPS), port=st.integers(80, 81))
    def register(self, ids: list[str], owner: str, group: str, port: int) -> None:
        self.change_group(owner, group, lambda r: r.register(owner, group, targets(*ids, port=port), ramps=port == 81))

    @rule(ids=names, owner=st.sampled_from(OWNERS), group=st.sampled_from(GROUPS))
    def deregister(self, ids: list[str], owner: str, group: str) -> None:
        self.change_group(owner, group, lambda registry: registry.deregister(owner, group, *ids))

    @rule(ids=names, owner=st.sampled_from(OWNERS), group=st.sampled_from(GROUPS))
    def remove(self, ids: list[str], owner: str, group: str) -> None:
        self.change_group(owner, group, lambda registry: registry.remove(owner, group, *ids))

    @rule(ids=names, owner=st.sampled_from(OWNERS), group=st.sampled_from(GROUPS), admitted=st.booleans())
    def admit(self, ids: list[str], owner: str, group: str, admitted: bool) -> None:
        now = SYSTEM.now()
        self.change_group(owner, group, lambda r: r.with_admitted(owner, group, ids, admitted, now))

    @rule(ids=names, owner=st.sampled_from(OWNERS), group=st.sampled_from(GROUPS))
    def reorder(self, ids: list[str], owner: str, group: str) -> None:
        def reordered(registry: Registry) -> Registry:
            known = {found.target.id: found for found in registry.registrations(owner, group)}
            left = [found for id_, found in known.items() if id_ not in ids]
            return registry.with_registrations(owner, group, (*(known[i] for i in ids if i in known), *left))

        self.change_group(owner, group, reordered)

    @rule(sources=st.lists(st.sampled_from(["https://one", "https://two"]), unique=True))
    def read_keys(self, sources: list[str]) -> None:
        keys = {source: KeySet(read_at=SYSTEM.now(), keys={"one": "key"}) for source in sources}
        self.change(lambda registry: registry.model_copy(update={"key_sets": keys}))

    @rule()
    def continue_in_another_process(self) -> None:
        self.writer = RegistryFile(self.path)

    @rule(size=st.integers(1, 300))
    def be_interrupted(self, size: int) -> None:
        """Leave the beginning of a line, as a killed process does."""
        known = self.writer.read()
        with self.path.open("ab") as file:
            file.write(b'{"checksum":"00000000","change":{"targets":{"'.ljust(size, b"x")[:size])
        assert described(self.writer.read()) == described(known)

    @invariant()
    def every_process_reads_the_same(self) -> None:
        expected = described(self.writer.read())
        assert described(self.reader.read()) == expected
        assert read(self.path) == expected
        assert [path.name for path in self.folder.iterdir() if path.name.startswith(".")] == []

    def change_group(self, owner: str, group: str, change: Callable[[Registry], Registry]) -> None:
        if self.writer.read().has_group(owner, group):
            self.change(change)

    def change(self, change: Callable[[Registry], Registry]) -> None:
        before = self.path.read_bytes() if self.path.exists() else b""
        known, wanted = self.writer.read(), change(self.writer.read())
        self.writer.write(wanted)
        assert described(self.writer.read()) == described(wanted)
        after = self.path.read_bytes()
        if before and after != before and after.startswith(before):
            self.appended += 1
            self.cut(before, after, described(known))

    def cut(self, before: bytes, after: bytes, known: Any) -> None:
        """Assert that the last line counts as a whole or not at all, in a process that knew the file before."""
        partial = self.folder / "partial.json"
        partial.write_bytes(before)
        file = RegistryFile(partial)
        file.read()
        for size in (*range(len(before), len(after), 61), len(after) - 1):
            partial.write_bytes(after[:size])
            assert described(file.read()) == known
        partial.write_bytes(after)
        assert described(file.read()) == described(self.writer.read())
        partial.unlink()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestJournal = Journal.TestCase
TestJournal.settings = settings(max_examples=sampled(20), stateful_step_count=25, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a snapshot and two changes."""
    path = tmp_path / "registry.json"
    file = RegistryFile(path)
    file.write(Registry().declare("shop", declaration("shop")))
    file.write(file.read().register("shop", "web", targets("a", "b")))
    file.write(file.read().deregister("shop", "web", "a"))
    assert path.read_bytes().count(b"checksum") == 2
    return path


def test_changes_are_appended(path: Path) -> None:
    """A change adds a line and leaves what the file held, and each part of the file is JSON."""
    before = path.read_bytes()
    RegistryFile(path).write(RegistryFile(path).read().remove("shop", "web", "a"))
    after = path.read_bytes()
    assert after.startswith(before)
    assert set(json.loads(after.removeprefix(before))) == {"checksum", "change"}
    assert json.loads(after.partition(b"\n}\n")[0] + b"}")["version"] == 2


def test_a_line_counts_when_it_is_complete(path: Path) -> None:
    """Of a write that was interrupted at any byte, nothing counts, and the next write replaces it."""
    before, known = path.read_bytes(), read(path)
    file = RegistryFile(path)
    file.write(file.read().register("shop", "web", targets("c")))
    after = path.read_bytes()
    for size in range(len(before), len(after)):
        path.write_bytes(after[:size])
        file = RegistryFile(path)
        assert described(file.read()) == known
        file.write(file.read().register("shop", "web", targets("d")))
        assert [r.target.id for r in RegistryFile(path).read().registrations("shop", "web")] == ["a", "b", "d"]


@pytest.mark.parametrize("change", [b"", b"?", b"\n"])
def test_a_damaged_byte_is_noticed(path: Path, change: bytes) -> None:
    """A byte that is removed or replaced is noticed wherever it is, except in the end of the last line."""
    good = path.read_bytes()
    first = good.index(b'{"checksum')
    for place in range(first, len(good) - 1):
        if good[place : place + 1] == change:
            continue
        path.write_bytes(good[:place] + change + good[place + 1 :])
        with pytest.raises(BalancerFault, match="is damaged"):
            RegistryFile(path).read()


def test_lost_and_exchanged_lines_are_noticed(path: Path) -> None:
    """A line counts only after the lines that came before it when it was written."""
    snapshot, end, lines = path.read_bytes().partition(b"\n}\n")
    first, second = lines.splitlines()
    for changes in ([second], [second, first], [first, first], [first, second, second]):
        path.write_bytes(snapshot + end + b"".join(line + b"\n" for line in changes))
        with pytest.raises(BalancerFault, match="does not follow what comes before it"):
            RegistryFile(path).read()


def test_a_snapshot_of_another_program_takes_no_lines(path: Path) -> None:
    """A file that a person wrote on one line is replaced by the next change."""
    path.write_text("{}\n")
    file = RegistryFile(path)
    assert file.read().is_empty
    file.migrate()
    file.write(file.read().declare("shop", declaration("shop")))
    assert RegistryFile(path).read().has_group("shop", "web")


def test_targets_stored_one_by_one_are_read(path: Path) -> None:
    """A file whose targets were stored one by one is read as it is."""
    registry = RegistryFile(path).read()
    path.write_text(registry.model_dump_json(indent=1, exclude_unset=True))
    assert read(path) == described(registry)
    file = RegistryFile(path)
    file.write(file.read().remove("shop", "web", "a"))
    assert [known.target.id for known in RegistryFile(path).read().registrations("shop", "web")] == ["b"]


def test_lines_of_another_version_are_not_added(path: Path) -> None:
    """A change by another version than the snapshot's replaces the file, so its head names who can read it."""
    path.write_bytes(
        path.read_bytes().partition(b"\n}\n")[0].replace(f'"{__version__}"'.encode(), b'"0.1.9"') + b"\n}\n"
    )
    file = RegistryFile(path)
    file.write(file.read().register("shop", "web", targets("c")))
    assert b"checksum" not in path.read_bytes()
    assert RegistryFile(path).read().written_by == file.read().written_by != "0.1.9"


def test_the_file_stays_short(tmp_path: Path) -> None:
    """After many changes the file is no longer than a snapshot and as much again."""
    path = tmp_path / "registry.json"
    file = RegistryFile(path)
    file.write(Registry().declare("shop", declaration("shop")))
    for number in range(700):
        file.write(file.read().register("shop", "web", targets("a", port=1000 + number)))
        assert path.stat().st_size < 80_000
    assert read(path) == described(file.read())
    assert file.read().registrations("shop", "web")[0].target.port == 1699


def test_readers_beside_a_writer(tmp_path: Path) -> None:
    """A process that reads while another one writes sees each change as a whole, and never an older one again."""
    path = tmp_path / "registry.json"
    file = RegistryFile(path)
    file.write(Registry().declare("shop", declaration("shop")))
    seen, done = list[list[int]](), threading.Event()

    def look() -> None:
        reader, found = RegistryFile(path), list[int]()
        while not done.is_set():
            known = RegistryFile(path) if len(found) % 5 == 0 else reader
            ports = {r.target.port for r in known.read().registrations("shop", "web")}
            assert len(ports) <= 1
            found.extend(ports)
        seen.append(found)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(150):
        file.write(file.read().register("shop", "web", targets(*NAMES, port=1000 + number)))
    done.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(seen) == 2
    assert all(found == sorted(found) for found in seen)
