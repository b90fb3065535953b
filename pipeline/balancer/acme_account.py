"""The key of the account at ACME authorities. The balancer has one key for all of them."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import BalancerFault
from pipeline.base.files import make_folder, write_atomically
from pipeline.base.lock import short_lock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

FOLDER = "acme"
"""The folder for ACME in the balancer's directory. Only its owner may enter it."""
_FILE = "account.pem"
_COORDINATE_BYTES = 32


def has_account_key(directory: Path) -> bool:
    """Return whether the balancer in a directory has its key."""
    return (directory / FOLDER / _FILE).exists()


def account_key(directory: Path) -> EllipticCurvePrivateKey:
    """Return the key. It is made at the first call, with mode 0600. Raises `BalancerFault`."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    folder = directory / FOLDER
    try:
        make_folder(folder)
        with short_lock(folder / "lock"):
            if not (folder / _FILE).exists():
                made = ec.generate_private_key(ec.SECP256R1())
                write_atomically(folder / _FILE, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key = load_pem_private_key((folder / _FILE).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise BalancerFault(
            f"cannot read the key of the ACME account, {folder / _FILE}: {error}",
            hint="remove the file to make a new account",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise BalancerFault(f"{folder / _FILE} must hold a key of the curve P-256")
    return key


def account_thumbprint(directory: Path) -> str:
    """Return the thumbprint of the key (RFC 7638), which an answer to an authority ends with. Makes the key.

    Not by josepy or jwt: these packages import their own modules, so two threads that load one of them at the same time
    can each get half of it, for good. The daemon has such threads.
    """
    numbers = account_key(directory).public_key().public_numbers()
    x, y = (_encoded(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
    canonical = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
    return _encoded(hashlib.sha256(canonical.encode()).digest())


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")
