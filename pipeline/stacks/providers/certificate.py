"""AWS::CertificateManager::Certificate."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.certificates.authority import ALGORITHMS
from pipeline.certificates.store import CertificateStore, StoredCertificate
from pipeline.stacks.provider import Pending, Properties, StackContext, State
from pipeline.stacks.providers.ec2 import Tag

TYPE = "AWS::CertificateManager::Certificate"
_REASON = "issued by this home's own authority, so nothing is validated; `authority.pem` in the home's folder `aws`"


class CertificateProperties(Properties):
    """The properties of a certificate. Those of validation are accepted, and mean nothing."""

    domain_name: str = Field(min_length=1, max_length=253)
    subject_alternative_names: list[str] = Field(default_factory=list)
    key_algorithm: str = "RSA_2048"
    validation_method: Literal["DNS", "EMAIL"] | None = None
    domain_validation_options: list[dict[str, Any]] = Field(default_factory=list)
    certificate_transparency_logging_preference: Literal["ENABLED", "DISABLED"] | None = None
    certificate_export: Literal["DISABLED"] | None = None
    tags: tuple[Tag, ...] = ()


class Certificate:
    """Makes certificates by the authority of the home."""

    properties = CertificateProperties
    replaces = frozenset(
        {"DomainName", "DomainValidationOptions", "KeyAlgorithm", "SubjectAlternativeNames", "ValidationMethod"}
    )

    def __init__(
        self, store: CertificateStore, context: StackContext, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._context = context
        self._now = now

    def create(self, token: str, properties: CertificateProperties) -> State | Pending:
        """Issue a certificate."""
        if properties.key_algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise ConfigError(f"KeyAlgorithm must be one of {known}, got {properties.key_algorithm}")
        found, now = self._made(token), self._now()
        if found is None:
            found = StoredCertificate(
                id=_id(token),
                owner=self._context.owner,
                region=self._context.region,
                is_imported=False,
                created=now,
                changed=now,
                validation=properties.validation_method,
                tags=self._tags(properties),
            )
            names = list(dict.fromkeys([properties.domain_name, *properties.subject_alternative_names]))
            algorithm = properties.key_algorithm
            issued = self._store.issue(lambda authority: authority.issue(names, algorithm, now), now)
            self._store.put(found, issued)
        return self._state(found)

    def find(self, token: str) -> str | None:
        """Find a certificate by the id that follows from the token."""
        found = self._made(token)
        return found.arn if found else None

    def read(self, physical_id: str) -> State | None:
        """Return a certificate."""
        found = self._store.find(self._context.owner, physical_id)
        return self._state(found) if found else None

    def update(
        self,
        physical_id: str,
        before: CertificateProperties,  # noqa: ARG002
        after: CertificateProperties,
    ) -> State | Pending:
        """Change the tags."""
        found = self._store.find(self._context.owner, physical_id)
        if found is None:
            raise ConfigError(f"{physical_id} does not exist")
        changed = replace(found, tags=self._tags(after))
        self._store.change(found, lambda known: replace(known, tags=changed.tags))
        return self._state(changed)

    def delete(self, physical_id: str) -> Pending | None:
        """Delete a certificate."""
        self._store.delete(self._context.owner, physical_id)
        return None

    def _made(self, token: str) -> StoredCertificate | None:
        return next((each for each in self._store.all(self._context.owner) if each.id == _id(token)), None)

    def _tags(self, properties: CertificateProperties) -> dict[str, str]:
        return {**self._context.tags, **{tag.key: tag.value for tag in properties.tags}}

    def _state(self, found: StoredCertificate) -> State:
        return State(found.arn, {"Id": found.arn}, reason=_REASON)


def _id(token: str) -> str:
    return str(uuid.UUID(hashlib.sha256(token.encode()).hexdigest()[:32]))
