"""The certificates of a home on disk: an index, and for each a file with the certificate, its chain and its key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.aws.service import ACCOUNT
from pipeline.base.errors import StoreFault
from pipeline.base.files import make_folder, remove_drafts, write_atomically
from pipeline.base.lock import short_lock
from pipeline.certificates.authority import Authority, Issued
from pipeline.certificates.pem import Chain, read_chain

_VERSION = 1
_SUFFIX = ".pem"


@dataclass(frozen=True)
class StoredCertificate:
    """A certificate of an owner. `id` is the end of its ARN. One that is not imported is from the home's authority.

    `validation` is the method by which a client has asked for the proof that it owns the names.
    """

    id: str
    owner: str
    region: str
    is_imported: bool
    created: datetime
    changed: datetime
    validation: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN, in the region in which it was made."""
        return f"arn:aws:acm:{self.region}:{ACCOUNT}:certificate/{self.id}"


Index = Mapping[str, StoredCertificate]


class CertificateStore:
    """The certificates of a home. Safe to use from many threads and processes.

    Each method raises `StoreFault` if the files cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = folder / "certificates.json"
        self._lock = folder / "certificates.lock"

    def all(self, owner: str) -> list[StoredCertificate]:
        """Return an owner's certificates, oldest first."""
        return [each for each in self._read().values() if each.owner == owner]

    def every(self) -> list[StoredCertificate]:
        """Return the certificates of all owners, oldest first."""
        return list(self._read().values())

    def find(self, owner: str, arn: str) -> StoredCertificate | None:
        """Return an owner's certificate, or None."""
        return next((each for each in self.all(owner) if each.arn == arn), None)

    def file(self, certificate: StoredCertificate) -> Path:
        """Return the file with a certificate, its chain and its key, in this order. It has mode 0600."""
        return self._folder / "certificates" / f"{certificate.id}{_SUFFIX}"

    def chain(self, certificate: StoredCertificate) -> Chain:
        """Return a certificate with its chain."""
        try:
            return read_chain(self.file(certificate).read_bytes())
        except (OSError, ValueError) as error:
            raise StoreFault(f"cannot read {self.file(certificate)}: {error}") from error

    def put(self, certificate: StoredCertificate, issued: Issued) -> None:
        """Add a certificate, or replace the one with its id. It is on disk when this returns.

        The certificate is replaced together with its key, so a listener that reloads it never finds them apart.
        """
        with self._changing() as index:
            self._put(index, certificate, issued)

    def reissue(self, certificate: StoredCertificate, issued: Issued) -> None:
        """Replace a certificate, as `put` does. Does nothing if it was deleted meanwhile. Its tags stay."""
        with self._changing() as index:
            if known := index.get(certificate.id):
                self._put(index, replace(certificate, tags=known.tags), issued)

    def change(self, certificate: StoredCertificate, change: Callable[[StoredCertificate], StoredCertificate]) -> None:
        """Replace what is kept beside a certificate, such as its tags. Does nothing if it was deleted meanwhile."""
        with self._changing() as index:
            if certificate.id in index:
                self._write({**index, certificate.id: change(index[certificate.id])})

    def delete(self, owner: str, arn: str, check: Callable[[], None] = lambda: None) -> None:
        """Delete an owner's certificate and its key. Does nothing if it is gone, except what a killed call has left.

        `check` is called within the lock, so what it finds cannot change. What it raises is passed on.
        """
        with self._changing() as index:
            check()
            for found in [each for each in index.values() if (each.owner, each.arn) == (owner, arn)]:
                self._write({key: each for key, each in index.items() if key != found.id})
                self.file(found).unlink(missing_ok=True)

    def issue(self, request: Callable[[Authority], Issued], now: datetime) -> Issued:
        """Return what the home's authority issues. The authority is made at the first call."""
        with self._changing():
            try:
                authority = Authority.open(self._folder / "authority.pem", now)
            except ValueError as error:
                raise StoreFault(f"cannot read {self._folder / 'authority.pem'}: {error}") from error
        return request(authority)

    def _put(self, index: Index, certificate: StoredCertificate, issued: Issued) -> None:
        content = f"{issued.chain.text}{issued.chain.issuers_text}".encode() + issued.key
        make_folder(self.file(certificate).parent)
        write_atomically(self.file(certificate), content)
        self._write({**index, certificate.id: certificate})

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within the block, no other thread and no other process changes a certificate. It waits for the end."""
        try:
            make_folder(self._folder)
        except OSError as error:
            raise StoreFault(f"cannot write {self._folder}: {error.strerror}") from error
        with short_lock(self._lock):
            yield

    @contextmanager
    def _changing(self) -> Iterator[Index]:
        try:
            with self.holding():
                index = self._read()
                self._remove_leftovers(index)
                yield index
        except OSError as error:
            raise StoreFault(f"cannot write {self._folder}: {error.strerror}") from error

    def _remove_leftovers(self, index: Index) -> None:
        """Remove what a killed call left behind: keys, before or after it wrote the index, and drafts."""
        for file in (self._index, self._folder / "authority.pem"):
            remove_drafts(file)
        known = {f"{key}{_SUFFIX}" for key in index}
        for file in (self._folder / "certificates").glob("*"):
            if file.name not in known:
                file.unlink(missing_ok=True)

    def _read(self) -> Index:
        try:
            data = json.loads(self._index.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StoreFault(f"cannot read {self._index}: {error}") from error
        if data.get("version") != _VERSION:
            raise StoreFault(f"{self._index} was written by another version of Penstock")
        return {each["id"]: _certificate(each) for each in data["certificates"]}

    def _write(self, index: Index) -> None:
        kept = [_data(each) for each in index.values()]
        write_atomically(self._index, json.dumps({"version": _VERSION, "certificates": kept}, indent=1))


def _data(certificate: StoredCertificate) -> dict[str, Any]:
    times = {name: getattr(certificate, name).isoformat() for name in ("created", "changed")}
    return {**asdict(certificate), **times}


def _certificate(data: dict[str, Any]) -> StoredCertificate:
    times = {name: datetime.fromisoformat(data[name]) for name in ("created", "changed")}
    return StoredCertificate(**{**data, **times})
