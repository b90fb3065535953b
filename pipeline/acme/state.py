"""The state of a certificate, and its files in the balancer's directory."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.balancer.acme_account import FOLDER
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.base.errors import StoreFault
from pipeline.base.files import make_folder, write_atomically

_VERSION = 1
_TIMES = ("issued", "expires", "wished_renewal", "ask_again", "retry_at")


@dataclass(frozen=True)
class PendingOrder:
    """An order that is not over: its address at the authority, the key of its certificate in PEM, and its begin."""

    url: str
    key: str
    began: datetime


@dataclass(frozen=True)
class CertificateState:
    """What is known of a certificate. Times are in UTC.

    `issued` and `expires` limit the validity of the issued certificate, None without one. `wished_renewal` is when the
    authority wants it to be renewed, and `ask_again` when to ask it again. `error` is the last one, after `failures` in
    a row. `retry_at`: no step before then. `is_warned`: its coming expiry has been reported.
    """

    domains: tuple[str, ...]
    issued: datetime | None = None
    expires: datetime | None = None
    wished_renewal: datetime | None = None
    ask_again: datetime | None = None
    failures: int = 0
    error: str = ""
    retry_at: datetime | None = None
    is_warned: bool = False
    order: PendingOrder | None = None


class CertificateFiles:
    """The files of certificates in the balancer's directory. All have mode 0600.

    Each method raises `StoreFault` if they cannot be read or written. One process at a time writes; any may read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.folder = directory / FOLDER

    def state(self, wanted: AcmeCertificate) -> CertificateState:
        """Return the state of a certificate. That of a new one if there is none."""
        path = self._state_file(wanted.id)
        try:
            data = json.loads(path.read_text())
            if data.pop("version") == _VERSION:
                return self._checked(wanted, _state(data))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreFault(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError):
            # A damaged file costs one more certificate.
            pass
        return CertificateState(wanted.domains)

    def put(self, wanted: AcmeCertificate, state: CertificateState) -> None:
        """Write a state. It is on disk when this returns."""
        data = {**asdict(state), "version": _VERSION}
        self._write(self._state_file(wanted.id), json.dumps(data, indent=1, default=datetime.isoformat))

    def put_certificate(self, wanted: AcmeCertificate, chain: str, key: str) -> None:
        """Write an issued certificate with its chain and its key. It is on disk when this returns."""
        self._write(self._directory / wanted.file, chain + key)

    def certificate(self, wanted: AcmeCertificate) -> str:
        """Return the issued certificate with its chain and its key, in PEM. Empty without one."""
        try:
            return (self._directory / wanted.file).read_text()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StoreFault(f"cannot read {self._directory / wanted.file}: {error.strerror}") from error

    def remove_unused(self, used: Collection[AcmeCertificate], now: datetime) -> None:
        """Remove the files of certificates that no listener uses and that have expired.

        Until then they stay, because a rollback may need them, and authorities limit how often they issue one.
        """
        known = {wanted.id for wanted in used}
        for path in self.folder.glob("*.json"):
            if path.stem not in known and _is_over(path, now):
                path.with_suffix(".pem").unlink(missing_ok=True)
                path.unlink(missing_ok=True)

    def _checked(self, wanted: AcmeCertificate, state: CertificateState) -> CertificateState:
        """Return a state without its certificate if that is missing."""
        if state.expires is None or (self._directory / wanted.file).exists():
            return state
        return CertificateState(wanted.domains, order=state.order)

    def _state_file(self, id_: str) -> Path:
        return self.folder / f"{id_}.json"

    def _write(self, path: Path, content: str) -> None:
        try:
            make_folder(self.folder)
            write_atomically(path, content)
        except OSError as error:
            raise StoreFault(f"cannot write {path}: {error.strerror}") from error


def certificate_states(reader: BalancerReader, owner: str) -> list[CertificateState]:
    """Return the states of the certificates of an owner's listeners. Reading changes nothing. Raises `StoreFault`."""
    made = reader.registry().certificates.values()
    wanted = dict.fromkeys(each.certificate.acme for each in made if each.owner == owner)
    files = CertificateFiles(reader.directory)
    return [files.state(each) for each in wanted if each is not None]


def _state(data: dict[str, Any]) -> CertificateState:
    times = {name: datetime.fromisoformat(data[name]) if data[name] else None for name in _TIMES}
    order = data["order"] and PendingOrder(**{**data["order"], "began": datetime.fromisoformat(data["order"]["began"])})
    return CertificateState(**{**data, **times, "domains": tuple(data["domains"]), "order": order})


def _is_over(path: Path, now: datetime) -> bool:
    """Return whether the certificate of a state file has expired, or was never issued."""
    try:
        expires = json.loads(path.read_text())["expires"]
        return expires is None or datetime.fromisoformat(expires) < now
    except (OSError, ValueError, KeyError, TypeError):
        return False
