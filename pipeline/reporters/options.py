"""Types of options that several reporters share."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from pipeline.config.secrets import REFERENCE


def _secret(value: str) -> str:
    # The value is not shown, since it may be a secret.
    if not REFERENCE.search(value):
        raise ValueError(
            "must be a reference such as ${secret:NAME}, with its value in the environment or secrets.file"
        )
    return value


def _url(value: str) -> str:
    if not REFERENCE.search(value) and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc):
        raise ValueError(f"{value!r} is not a valid URL; write https://HOST/…")
    return value.rstrip("/")


def _repository(value: str) -> str:
    parts = value.split("/")
    if len(parts) < 2 or not all(_PART.fullmatch(part) and part.strip(".") for part in parts):
        raise ValueError(f"{value!r} is not a valid repository; write owner/name")
    return value


# Each part becomes part of a URL's path.
_PART = re.compile(r"[A-Za-z0-9_.-]+")
Secret = Annotated[str, AfterValidator(_secret)]
Url = Annotated[str, AfterValidator(_url)]
Repository = Annotated[str, AfterValidator(_repository)]
