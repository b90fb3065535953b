"""A power cut at any point leaves files and the database in the old or the new state. Acknowledged changes stay."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.base.home import Home
from pipeline.certificates.pem import domain_names
from pipeline.certificates.store import CertificateStore, StoredCertificate
from pipeline.store.store import Store
from tests.unit.power_cut.recorded_disk import Disk, compile_recorder, record, restore

State = dict[Path, bytes | None]
NOW = datetime.now(UTC)
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the recorder is compiled by gcc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_recorder(tmp_path_factory.mktemp("recorder"))


def recorded(library: Path, program: str, root: Path) -> Iterator[tuple[Disk, int]]:
    """Yield the disk at every point of a program, with the number of changes that were acknowledged."""
    root.mkdir()
    disk, acknowledged = Disk(root), 0
    for change in record(library, Path(__file__).with_name(program), root):
        if change.path.name == "acknowledged":
            acknowledged += change.operation == "write"
        else:
            disk.replay(change)
        yield disk, acknowledged


@pytest.mark.parametrize(
    ("program", "name", "count"),
    [
        ("registry_changes.py", "home/balancer/registry.json", 5),
        ("hook_changes.py", "post-commit", 2),
        ("aws_changes.py", "home/aws/certificates.json", 6),
        ("aws_changes.py", "home/aws/keys.json", 6),
        ("aws_changes.py", "home/aws/network.json", 6),
    ],
)
def test_file(program: str, name: str, count: int, library: Path, tmp_path: Path) -> None:
    """A file is never a part, and never older than the last acknowledged change."""
    root = tmp_path / "disk"
    path, versions = root / name, list[bytes | None]([None])
    oldest = last = 0
    for disk, acknowledged in recorded(library, program, root):
        file = disk.names.get(path)
        if file and file.content != versions[-1]:
            versions.append(bytes(file.content))
        if acknowledged > last:
            oldest, last = len(versions) - 1, acknowledged
        for state in disk.states():
            assert state.get(path) in versions[oldest:], f"after {acknowledged} changes"
    assert last == count
    assert all(version and version.endswith((b"}", b"\n")) for version in versions[1:])


def test_certificates(library: Path, tmp_path: Path) -> None:
    """After a cut, each certificate has its own key, and none is lost. The next change removes other keys."""
    root, names = tmp_path / "disk", ((), ("one",), ("two",), ("two", "three"), ("three",))
    states: dict[tuple[int, frozenset[tuple[Path, bytes | None]]], State] = {}
    for disk, acknowledged in recorded(library, "aws_changes.py", root):
        for state in disk.states():
            states[min(acknowledged, 4), frozenset(state.items())] = state
    assert len(states) > 20
    for (acknowledged, _), state in states.items():
        restore(state, root, tmp_path / "restored")
        store = CertificateStore(tmp_path / "restored" / "home" / "aws")
        found = [domain_names(checked(store, each))[0].partition(".")[0] for each in store.all("aws")]
        assert tuple(found) in names[acknowledged : acknowledged + 2], acknowledged
        for each in (*store.all("aws"), StoredCertificate("other", "aws", "a", True, NOW, NOW)):
            store.delete(each.owner, each.arn)
        assert list((tmp_path / "restored").rglob("certificates/*.pem")) == []
        shutil.rmtree(tmp_path / "restored")


def checked(store: CertificateStore, certificate: StoredCertificate) -> x509.Certificate:
    """Return a certificate, of which the file has the key."""
    found = store.chain(certificate).certificate
    key = load_pem_private_key(store.file(certificate).read_bytes(), None)
    assert key.public_key() == found.public_key()
    return found


def test_database(library: Path, tmp_path: Path) -> None:
    """The database is sound, never holds a part of a transaction, and never lacks an acknowledged one."""
    root = tmp_path / "disk"
    states: dict[tuple[int, frozenset[tuple[Path, bytes | None]]], State] = {}
    after: list[str] = []
    for disk, acknowledged in recorded(library, "store_changes.py", root):
        if acknowledged > len(after):
            after.append(rows(disk.now(), root, tmp_path / "now"))
        for state in disk.states():
            # SQLite builds this one anew.
            kept = {path: content for path, content in state.items() if not path.name.endswith("-shm")}
            states[acknowledged, frozenset(kept.items())] = kept
    assert len(set(after)) == 8
    assert len(states) > 100
    for (acknowledged, _), state in states.items():
        allowed = after[max(0, acknowledged - 1) : acknowledged + 1]
        assert rows(state, root, tmp_path / "restored") in allowed, acknowledged


def rows(state: State, root: Path, place: Path) -> str:
    """Return the content of the database in a state of the disk, as the next process finds it."""
    if place.exists():
        shutil.rmtree(place)
    restore(state, root, place)
    database = Home.locate({"PENSTOCK_HOME": str(place / "home")}).database
    Store(database).close()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return "\n".join(connection.iterdump())
