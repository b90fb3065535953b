"""A certificate that an authority issues by the ACME protocol, such as Let's Encrypt."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model, Name, Port

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
"""The directory that is used if none is given."""
_MAX_DOMAINS = 100
_WILDCARD = "*."


def _unique(domains: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(domains)) < len(domains):
        raise ValueError("must not name a domain twice")
    return domains


def _fits(pattern: str, what: str) -> AfterValidator:
    """Return a validator that refuses what does not match, and says what to write instead."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {what}, got {text!r}")
        return text

    return AfterValidator(check)


Domain = Annotated[
    str,
    Field(max_length=253),
    _fits(
        r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}",
        "a domain such as example.com or *.example.com, in lower case",
    ),
]


class AcmeCertificate(Model):
    """A certificate that an authority issues. The daemon requests and renews it."""

    domains: Annotated[tuple[Domain, ...], AfterValidator(_unique)] = Field(
        min_length=1,
        max_length=_MAX_DOMAINS,
        description="The names in the certificate, in lower case. A wildcard such as *.example.com needs dns.",
    )
    terms_agreed: bool = Field(
        description="Must be true. It says that you agree to the terms of service of the authority."
    )
    email: Annotated[str, _fits(r"[^@\s,]+@[^@\s,]+", "an address such as ops@example.com")] | None = Field(
        None, description="The address to which the authority sends notices."
    )
    directory: Annotated[str, _fits(r"https://\S+", "an https:// URL")] = Field(
        LETS_ENCRYPT, description="The URL of the authority's directory."
    )
    dns: Name | None = Field(
        None,
        description="A program in the folder dns of the home, which sets a TXT record to prove that the domains are "
        "yours. Without it, the balancer proves that by HTTP.",
    )
    external_account: Name | None = Field(
        None,
        description="Your account at an authority that issues to its customers only: the name of a file "
        "balancer/acme/external/NAME.json of the home.",
    )
    http_port: Port = Field(
        80, description="The port of this machine at which requests to port 80 of the domains arrive."
    )
    trust_store: str | None = Field(
        None,
        description="A PEM file with the authorities that may sign the directory's own certificate, relative to this "
        "file. Those of the system if left out.",
    )

    @field_validator("terms_agreed")
    @classmethod
    def _are_agreed(cls, value: bool) -> bool:
        if not value:
            raise ValueError("must be true: no authority issues a certificate if you do not agree to its terms")
        return value

    @model_validator(mode="after")
    def _can_be_proved(self) -> Self:
        wild = next((domain for domain in self.domains if domain.startswith(_WILDCARD)), None)
        if wild and self.dns is None:
            raise FieldError("dns", f"is missing; the wildcard {wild} can be proved by DNS only")
        return self

    @property
    def id(self) -> str:
        """What names its files. The same domains from the same authority are the same certificate."""
        return hashlib.sha256("\0".join([self.directory, *self.domains]).encode()).hexdigest()[:16]

    @property
    def file(self) -> str:
        """The file with the issued certificate, its chain and its key, relative to the balancer's directory."""
        return f"acme/{self.id}.pem"
