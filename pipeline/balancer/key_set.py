"""The public keys of an issuer of tokens (JWKS, RFC 7517), as PEM."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.balancer.download import download
from pipeline.base.errors import ConfigError
from pipeline.base.schema import Model

# Limits of ELB's jwt-validation action.
_MOST_BYTES = 150 * 1024
_MOST_KEYS = 10
MAX_AGE = timedelta(hours=1)
"""Keys that are older are read again."""
# How long nobody asks again where an issuer has not answered.
_PAUSE = timedelta(minutes=1)


class KeySet(Model):
    """Keys by their id, and when they were read. `tried_at`: when somebody tried in vain to read them anew."""

    read_at: datetime
    tried_at: datetime | None = None
    keys: dict[str, str]

    @property
    def is_fresh(self) -> bool:
        """Whether it need not be read again yet."""
        now = datetime.now(UTC)
        return now - self.read_at < MAX_AGE or (self.tried_at is not None and now - self.tried_at < _PAUSE)

    def tried(self) -> KeySet:
        """It, after an attempt to read it anew that failed now."""
        return self.model_copy(update={"tried_at": datetime.now(UTC)})


def read_key_set(source: str) -> KeySet:
    """Read the keys at an https:// address or in a file. Raises `ConfigError` with what is wrong."""
    content = download(source, _MOST_BYTES) if source.startswith("https://") else _from_file(source)
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{source} is larger than {_MOST_BYTES >> 10} KiB")
    try:
        found = json.loads(content)["keys"]
        keys = {_id(key): _pem(key) for key in found if (key["kty"], key.get("use", "sig")) == ("RSA", "sig")}
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ConfigError(f"{source} is no set of keys (JWKS): {error}") from error
    if not 1 <= len(keys) <= _MOST_KEYS:
        raise ConfigError(f"{source} holds {len(keys)} RSA keys for signing with an id; 1 to {_MOST_KEYS} are needed")
    return KeySet(read_at=datetime.now(UTC), keys=keys)


def _from_file(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from error


def _id(key: dict[str, Any]) -> str:
    kid = str(key["kid"])
    if not re.fullmatch(r"[ -~]{1,256}", kid) or kid == "}":
        raise ValueError("the id of a key is not printable ASCII")
    return kid


def _pem(key: dict[str, Any]) -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    numbers = RSAPublicNumbers(_number(key["e"]), _number(key["n"]))
    return numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(f"{text}=="), "big")
