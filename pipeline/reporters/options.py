"""Kinds of options that several reporters have."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from pipeline.config.secrets import REFERENCE


def _secret(value: str) -> str:
    # The value is not shown: it may be one.
    if not REFERENCE.search(value):
        raise ValueError("must be a secret: write ${secret:NAME}, with its value in the environment or secrets.file")
    return value


def _url(value: str) -> str:
    if not REFERENCE.search(value) and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc):
        raise ValueError(f"{value!r} is no URL; write https://HOST/…")
    return value.rstrip("/")


def _repository(value: str) -> str:
    parts = value.split("/")
    if len(parts) < 2 or not all(_PART.fullmatch(part) and part.strip(".") for part in parts):
        raise ValueError(f"{value!r} is no repository; write owner/name")
    return value


# It becomes a part of a path.
_PART = re.compile(r"[A-Za-z0-9_.-]+")
Secret = Annotated[str, AfterValidator(_secret)]
Url = Annotated[str, AfterValidator(_url)]
Repository = Annotated[str, AfterValidator(_repository)]
