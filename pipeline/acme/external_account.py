"""The user's account at an authority, to which the ACME account is bound (RFC 8555, section 7.3.4)."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from pipeline.acme.authority import AuthorityError
from pipeline.balancer.acme_account import FOLDER
from pipeline.base.schema import Model

_OTHERS = 0o077
_FORM = '{"key_id": "…", "hmac_key": "…"}'
_BASE64URL = r"^[A-Za-z0-9_-]+=*$"


class ExternalAccount(Model):
    """What an authority gives its customers for this purpose. `hmac_key`: in base64url."""

    key_id: Annotated[str, Field(min_length=1)]
    hmac_key: Annotated[str, Field(min_length=1, pattern=_BASE64URL)]


def read_external_account(directory: Path, name: str) -> ExternalAccount:
    """Read the file of an external account of the balancer in `directory`. Raises `AuthorityError`."""
    path = directory / FOLDER / "external" / f"{name}.json"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except OSError as error:
        raise AuthorityError(f"cannot read external account {path}: {error.strerror}; write {_FORM} into it") from error
    if mode & _OTHERS:
        raise AuthorityError(f"external account {path} must have mode 0600, got {mode:04o}")
    try:
        return ExternalAccount.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = f": {first['loc'][0]}" if first["loc"] else ""
        # The message has no part of the content, which is a secret.
        raise AuthorityError(f"external account {path} must be {_FORM}{place}: {first['type']}") from None
