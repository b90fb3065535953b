"""The files of HAProxy's directory: configuration, maps, copies of certificates, access log."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.balancer.haproxy.self_signed import self_signed
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.files import write_atomically

DRAFT = "draft."
"""The prefix of temporary folders in which configurations are checked."""

# Prefixes of the files that are generated for one configuration.
_GENERATED_PREFIXES = ("listener.", "certificate.", "trust.", "key.", "relay.", "entry.", "challenge.")
MAX_ACCESS_LOG_BYTES = 64 * 2**20
# Temporary files of `write_atomically`.
_PARTIAL_FILE = re.compile(r"\..+\.\d+")
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]+-----\n(?:[A-Za-z0-9+/=: ,-]+\n)+-----END [A-Z0-9 ]+-----")


class PemFile(NamedTuple):
    """A copy of PEM files for HAProxy, which may be replaced while it runs.

    `kind` is the object in HAProxy's `set ssl` command. `issued_for`: the domains of a certificate that an authority
    issues, whose file may be missing yet. It is then relative to the balancer's directory.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    issued_for: tuple[str, ...] = ()

    def is_issued(self, directory: Path) -> bool:
        """Return False for a certificate that no authority has issued yet. `directory`: the balancer's."""
        return not self.issued_for or (directory / self.sources[0]).exists()

    def read(self, directory: Path) -> str:
        """Return the current content. Raises `ConfigError`, which names the source, if that is unusable."""
        parts = []
        for source in self.sources:
            try:
                parts.append((directory / source if self.issued_for else Path(source)).read_text())
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not text"
                raise ConfigError(f"{source} cannot be read: {reason}") from error
        # Text between the blocks is dropped. HAProxy reads a blank line as the end and the rest as commands.
        content = "".join(f"{block}\n" for part in parts for block in _BLOCK.findall(part.replace("\r\n", "\n")))
        self._check_usable(content.encode())
        return content

    def _check_usable(self, content: bytes) -> None:
        """Raise `ConfigError` for unusable content. HAProxy would refuse it too, but under a generated file name."""
        # The import costs 8 MB and 30 ms, which a balancer without certificates does not need.
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            certificates = x509.load_pem_x509_certificates(content)
        except ValueError as error:
            raise ConfigError(f"{self.sources[0]} must hold a certificate in PEM format") from error
        if self.kind != "cert":
            return
        try:
            key = serialization.load_pem_private_key(content, None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{self.sources[-1]} must hold a private key in PEM format without a password") from error
        if key.public_key() != certificates[0].public_key():
            raise ConfigError(f"{self.sources[-1]} must hold the key of the certificate in {self.sources[0]}")


class Directory:
    """The files of the directory. Raises `BalancerFault` if it cannot write. Callers hold the balancer's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: str) -> None:
        """Write a file if its content differs, so HAProxy can be started while the disk is full."""
        path = self.path / name
        try:
            if not (path.exists() and path.read_bytes() == content.encode()):
                write_atomically(path, content)
        except OSError as error:
            raise BalancerFault(f"cannot write {path}: {error.strerror}") from error

    def existing(self, names: Collection[str]) -> dict[str, str]:
        """Return the content of those files that exist."""
        return {name: text for name in names if (text := self.text(name)) is not None}

    def text(self, name: str) -> str | None:
        """Return the content of a file. None if it is missing or damaged, so that it is written again."""
        try:
            return (self.path / name).read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def copies(self, files: Collection[PemFile]) -> dict[str, str]:
        """Return the content of the copies. If a source is unusable, the existing copy stays.

        Until a certificate is issued, its copy is one that is signed by its own key.
        """
        found = {}
        for file in files:
            try:
                found[file.name] = file.read(self.path)
            except ConfigError:
                kept = self.text(file.name)
                if kept is None and not file.issued_for:
                    raise
                found[file.name] = kept or self_signed(file.issued_for)
        return found

    def remove_others(self, named: Collection[str] = ()) -> None:
        """Remove generated files that the configuration no longer names, including keys and sockets of relays."""
        for path in self.path.iterdir():
            if path.name.startswith(_GENERATED_PREFIXES) and path.name not in named:
                path.unlink(missing_ok=True)

    def remove_drafts(self) -> None:
        """Remove partial files that a crash left. The balancer's lock excludes other writers."""
        for path in self.path.iterdir():
            if path.name.startswith(DRAFT) and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif _PARTIAL_FILE.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def cap_log(self, name: str) -> None:
        """Move the end of a long log to a second file."""
        rotate(self.path / name, MAX_ACCESS_LOG_BYTES, MAX_ACCESS_LOG_BYTES)
