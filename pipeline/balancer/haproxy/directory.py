"""The files of HAProxy's directory: configuration, maps, copies of certificates, access log."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.files import write_atomically

DRAFT = "draft."
"""Begins the names of folders in which configurations are tried."""

# What the names of files begin with that are made for one configuration.
_GENERATED_PREFIXES = ("listener.", "certificate.", "trust.", "key.")
MAX_ACCESS_LOG_BYTES = 64 * 2**20
# Of `write_atomically`.
_PARTIAL_FILE = re.compile(r"\..+\.\d+")
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]+-----\n(?:[A-Za-z0-9+/=: ,-]+\n)+-----END [A-Z0-9 ]+-----")


class PemFile(NamedTuple):
    """A file of HAProxy's that is a copy of users' files, and may be replaced while it runs. `kind`: HAProxy's word."""

    name: str
    kind: str
    sources: tuple[str, ...]

    def read(self) -> str:
        """What it should hold now. Raises `ConfigError`, which names the source, where that is not usable."""
        parts = []
        for source in self.sources:
            try:
                parts.append(Path(source).read_text())
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "is no text"
                raise ConfigError(f"{source} cannot be read: {reason}") from error
        # What stands between is for people. HAProxy would take a blank line for an end, and the rest for commands.
        content = "".join(f"{block}\n" for part in parts for block in _BLOCK.findall(part.replace("\r\n", "\n")))
        self._check_usable(content.encode())
        return content

    def _check_usable(self, content: bytes) -> None:
        """HAProxy would refuse it too, by a name that says nothing to its user."""
        # 8 MB and 30 ms that only those pay who have certificates.
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            certificates = x509.load_pem_x509_certificates(content)
        except ValueError as error:
            raise ConfigError(f"{self.sources[0]} holds no certificate in PEM") from error
        if self.kind != "cert":
            return
        try:
            key = serialization.load_pem_private_key(content, None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{self.sources[-1]} holds no private key in PEM, or one with a password") from error
        if key.public_key() != certificates[0].public_key():
            raise ConfigError(f"{self.sources[-1]} holds a key that does not belong to {self.sources[0]}")


class Directory:
    """Reads and writes the files. Raises `BalancerFault` where it cannot write. Callers hold the balancer's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: str) -> None:
        """Make a file hold `content`. One that does is left alone, so HAProxy can be started while the disk is full."""
        path = self.path / name
        try:
            if not (path.exists() and path.read_bytes() == content.encode()):
                write_atomically(path, content)
        except OSError as error:
            raise BalancerFault(f"cannot write {path}: {error.strerror}") from error

    def existing(self, names: Collection[str]) -> dict[str, str]:
        """Return what those of the files hold that exist."""
        return {name: path.read_text() for name in names if (path := self.path / name).exists()}

    def copies(self, files: Collection[PemFile]) -> dict[str, str]:
        """Return what the copies should hold. Where a source is gone, it is what the copy holds."""
        found = {}
        for file in files:
            try:
                found[file.name] = file.read()
            except ConfigError:
                kept = self.path / file.name
                if not kept.exists():
                    raise
                found[file.name] = kept.read_text()
        return found

    def remove_others(self, named: Collection[str] = ()) -> None:
        """Remove files that no configuration names any more, keys among them."""
        for path in self.path.iterdir():
            if path.name.startswith(_GENERATED_PREFIXES) and path.name not in named:
                path.unlink(missing_ok=True)

    def remove_drafts(self) -> None:
        """Remove what a crash left half done. The balancer's lock keeps other writers out."""
        for path in self.path.iterdir():
            if path.name.startswith(DRAFT) and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif _PARTIAL_FILE.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def cap_log(self, name: str) -> None:
        """Keep the end of a long log beside it. HAProxy appends, so it continues in the emptied file."""
        log = self.path / name
        if log.exists() and log.stat().st_size > MAX_ACCESS_LOG_BYTES:
            kept_end = os.open(log.with_suffix(".log.1"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with log.open("rb") as full, os.fdopen(kept_end, "wb") as kept:
                full.seek(-MAX_ACCESS_LOG_BYTES, os.SEEK_END)
                shutil.copyfileobj(full, kept)
            os.truncate(log, 0)
