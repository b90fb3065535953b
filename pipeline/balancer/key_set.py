"""The public keys of a token issuer (JWKS, RFC 7517), as PEM."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.balancer.download import download
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.base.schema import Model, StoredStamp

# Limits of ELB's jwt-validation action.
_MAX_BYTES = 150 * 1024
_MAX_KEYS = 10
MAX_AGE = timedelta(hours=1)
"""The age from which keys are read again."""
# The wait after a failed attempt to read an issuer's keys.
_PAUSE = timedelta(minutes=1)


class KeySet(Model):
    """Keys by their ID, and the time when they were read. `tried_at` is the time of a later attempt that failed."""

    read_at: StoredStamp
    tried_at: StoredStamp | None = None
    keys: dict[str, str]

    @property
    def is_fresh(self) -> bool:
        """True if the keys need not be read again yet."""
        since = SYSTEM.since
        return since(self.read_at) < MAX_AGE or (self.tried_at is not None and since(self.tried_at) < _PAUSE)

    def tried(self) -> KeySet:
        """Return the key set with a failed attempt to read it, made now."""
        return self.model_copy(update={"tried_at": SYSTEM.now()})


def read_key_set(source: str) -> KeySet:
    """Read the keys at an https:// URL or in a file. Raises `ConfigError` if a key is invalid or none is usable."""
    content = download(source, _MAX_BYTES) if source.startswith("https://") else _from_file(source)
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{source} is larger than {_MAX_BYTES >> 10} KiB")
    keys = _parse(source, content)
    if not 1 <= len(keys) <= _MAX_KEYS:
        raise ConfigError(f"{source} must hold 1 to {_MAX_KEYS} RSA signing keys with an ID, got {len(keys)}")
    return KeySet(read_at=SYSTEM.now(), keys=keys)


def _from_file(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from error


def _parse(source: str, content: bytes) -> dict[str, str]:
    """Return the RSA keys for signing. An invalid key is an error, while PyJWT's `PyJWKSet` leaves it out."""
    from jwt.exceptions import PyJWTError

    try:
        found = json.loads(content)["keys"]
        return {_id(key): _pem(key) for key in found if (key["kty"], key.get("use", "sig")) == ("RSA", "sig")}
    except KeyError as error:
        raise ConfigError(f"{source} is not a valid key set (JWKS): {error} is missing") from error
    except (ValueError, TypeError, AttributeError, PyJWTError) as error:
        raise ConfigError(f"{source} is not a valid key set (JWKS): {error}") from error


def _id(key: dict[str, Any]) -> str:
    kid = str(key["kid"])
    if not re.fullmatch(r"[ -~]{1,256}", kid) or kid == "}":
        raise ValueError("the ID of a key is not printable ASCII")
    return kid


def _pem(key: dict[str, Any]) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from jwt import PyJWK

    # An issuer may publish more than the public members. The key's `alg` does not matter: signatures must be RS256.
    public = PyJWK({name: key[name] for name in ("kty", "n", "e")}).key
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
