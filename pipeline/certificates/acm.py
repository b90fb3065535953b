"""ACM's API over the certificates of a home."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call, Operation, Service
from pipeline.certificates.authority import ALGORITHMS, Issued
from pipeline.certificates.describe import detail, summary
from pipeline.certificates.pem import Chain, checked_chain
from pipeline.certificates.store import CertificateStore, StoredCertificate

MAX_TAGS = 50
_DEFAULT_ALGORITHM = "RSA_2048"
# Without a filter, ACM lists no others.
_LISTED_ALGORITHMS = ("RSA_1024", "RSA_2048")
_PUBLIC_ONLY = (
    "CertificateAuthorityArn",
    "ManagedBy",
    "DomainValidationOptions",
    "CertificateUsage",
    "RootHierarchyType",
)
_PUBLIC = "This machine asks no public authority: its own issues the certificate, so there is nothing to validate."

UsedBy = Callable[[str], Mapping[str, Sequence[str]]]
"""Returns the ARNs of the load balancers of an owner that use a certificate, by the certificate's ARN."""


def acm_service(
    store: CertificateStore, used_by: UsedBy, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Service:
    """Return the service. `now` is the time in UTC."""
    acm = _Acm(store, used_by, now)
    operations: dict[str, Operation] = {
        "ImportCertificate": acm.import_certificate,
        "RequestCertificate": acm.request_certificate,
        "DescribeCertificate": acm.describe_certificate,
        "ListCertificates": acm.list_certificates,
        "GetCertificate": acm.get_certificate,
        "DeleteCertificate": acm.delete_certificate,
        "AddTagsToCertificate": acm.add_tags,
        "RemoveTagsFromCertificate": acm.remove_tags,
        "ListTagsForCertificate": acm.list_tags,
    }
    refused = {"ResendValidationEmail": _PUBLIC, "RenewCertificate": "Request a new certificate instead."}
    return Service("acm", "2015-12-08", "acm", operations, refused)


class _Acm:
    def __init__(self, store: CertificateStore, used_by: UsedBy, now: Callable[[], datetime]) -> None:
        self._store = store
        self._used_by = used_by
        self._now = now

    def import_certificate(self, call: Call) -> dict[str, Any]:
        """Import a certificate with its key, or replace an imported one. Its listeners reload it within a minute."""
        given, now = call.parameters, self._now()
        chain = checked_chain(given["Certificate"], given.get("CertificateChain"), given["PrivateKey"], now)
        if "CertificateArn" in given:
            former = self._get(call)
            if "Tags" in given:
                raise _parameter("Tags cannot be changed by importing a certificate again: use AddTagsToCertificate")
            if not former.is_imported:
                raise _parameter(f"{former.arn} was not imported, so it cannot be replaced")
            made = replace(former, changed=now)
        else:
            made = StoredCertificate(str(uuid.uuid4()), call.owner, call.region, True, now, now, tags=_tags(call))
        self._store.put(made, Issued(chain, given["PrivateKey"]))
        return {"CertificateArn": made.arn}

    def request_certificate(self, call: Call) -> dict[str, Any]:
        """Issue a certificate by the home's authority. It is issued when this returns.

        A second call with the same token returns the certificate of the first one.
        """
        _check_request(call)
        given, now = call.parameters, self._now()
        made_id = str(uuid.uuid4())
        if token := given.get("IdempotencyToken"):
            made_id = _id_of(call, token)
        validation = given.get("ValidationMethod")
        made = StoredCertificate(made_id, call.owner, call.region, False, now, now, validation, _tags(call))
        if self._store.find(call.owner, made.arn) is None:
            names = list(dict.fromkeys([given["DomainName"], *given.get("SubjectAlternativeNames", ())]))
            algorithm = given.get("KeyAlgorithm", _DEFAULT_ALGORITHM)
            self._store.put(made, self._store.issue(lambda authority: authority.issue(names, algorithm, now), now))
        return {"CertificateArn": made.arn}

    def describe_certificate(self, call: Call) -> dict[str, Any]:
        """Describe a certificate."""
        found = self._get(call)
        used = self._used_by(call.owner).get(found.arn, ())
        return {"Certificate": detail(found, self._store.chain(found), used, self._now())}

    def list_certificates(self, call: Call) -> dict[str, Any]:
        """List the owner's certificates."""
        used, now = self._used_by(call.owner), self._now()
        all_ = self._store.all(call.owner)
        summaries = [summary(each, self._store.chain(each), used.get(each.arn, ()), now) for each in all_]
        found = [each for each in summaries if _is_listed(call, each)]
        if "SortBy" in call.parameters:
            is_reversed = call.parameters.get("SortOrder") == "DESCENDING"
            found.sort(key=lambda each: each["CreatedAt"], reverse=is_reversed)
        start = _offset(call.parameters.get("NextToken", "0"))
        end = start + call.parameters.get("MaxItems", len(found))
        token = {"NextToken": str(end)} if end < len(found) else {}
        return {"CertificateSummaryList": found[start:end], **token}

    def get_certificate(self, call: Call) -> dict[str, Any]:
        """Return a certificate and its chain in PEM. The key is never returned."""
        chain = self._chain(call)
        return {"Certificate": chain.text, "CertificateChain": chain.issuers_text or None}

    def delete_certificate(self, call: Call) -> dict[str, Any]:
        """Delete a certificate that no load balancer uses."""
        found = self._get(call)

        def check_unused() -> None:
            if used := self._used_by(call.owner).get(found.arn, ()):
                raise AwsError("ResourceInUseException", f"Certificate {found.arn} is in use by {', '.join(used)}")

        self._store.delete(found.owner, found.arn, check_unused)
        return {}

    def add_tags(self, call: Call) -> dict[str, Any]:
        """Add or replace tags."""
        added = _tags(call)
        self._store.change(self._get(call), lambda found: replace(found, tags=_limited({**found.tags, **added})))
        return {}

    def remove_tags(self, call: Call) -> dict[str, Any]:
        """Remove tags by key, and by value if one is given."""
        wanted = {tag["Key"]: tag.get("Value") for tag in call.parameters["Tags"]}

        def without(found: StoredCertificate) -> StoredCertificate:
            def is_kept(key: str, value: str) -> bool:
                return key not in wanted or wanted[key] not in (None, value)

            return replace(found, tags={key: value for key, value in found.tags.items() if is_kept(key, value)})

        self._store.change(self._get(call), without)
        return {}

    def list_tags(self, call: Call) -> dict[str, Any]:
        """List the tags of a certificate."""
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._get(call).tags.items()]}

    def _get(self, call: Call) -> StoredCertificate:
        arn = call.parameters["CertificateArn"]
        found = self._store.find(call.owner, arn)
        if found is None:
            raise AwsError("ResourceNotFoundException", f"Could not find certificate {arn}.")
        return found

    def _chain(self, call: Call) -> Chain:
        return self._store.chain(self._get(call))


def _check_request(call: Call) -> None:
    """Refuse what would need another authority than the home's."""
    given = call.parameters
    for name in _PUBLIC_ONLY:
        if name in given:
            raise _parameter(f"The parameter {name} has no meaning on this machine. {_PUBLIC}")
    if given.get("ValidationMethod", "DNS") != "DNS":
        raise _parameter("ValidationMethod: use DNS. Nobody reads mail for this machine, and it has no CloudFront.")
    if given.get("Options", {}).get("Export") == "ENABLED":
        raise _parameter("Options.Export: keys cannot be exported. Import a certificate whose key you have.")
    algorithm = given.get("KeyAlgorithm", _DEFAULT_ALGORITHM)
    if algorithm not in ALGORITHMS:
        raise _parameter(f"KeyAlgorithm {algorithm} cannot be requested. Use one of {', '.join(ALGORITHMS)}.")


def _is_listed(call: Call, each: Mapping[str, Any]) -> bool:
    given = call.parameters
    wanted = given.get("Includes", {})
    checks = (
        (given.get("CertificateStatuses"), [each["Status"]]),
        (wanted.get("keyTypes") or _LISTED_ALGORITHMS, [each["KeyAlgorithm"]]),
        (wanted.get("keyUsage"), each["KeyUsages"]),
        (wanted.get("extendedKeyUsage"), each["ExtendedKeyUsages"]),
        ([wanted["exportOption"]] if "exportOption" in wanted else None, [each["ExportOption"]]),
    )
    return all(not names or set(names) & set(found) for names, found in checks)


def _tags(call: Call) -> dict[str, str]:
    found = {tag["Key"]: tag.get("Value", "") for tag in call.parameters.get("Tags", ())}
    for key in found:
        if key.startswith("aws:"):
            raise AwsError("InvalidTagException", "Tag keys starting with 'aws:' are reserved for internal use")
    return found


def _limited(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise AwsError("TooManyTagsException", f"A certificate can have at most {MAX_TAGS} tags")
    return tags


def _id_of(call: Call, token: str) -> str:
    digest = hashlib.sha256(f"{call.owner}/{call.region}/{token}/{call.parameters['DomainName']}".encode()).hexdigest()
    return str(uuid.UUID(digest[:32]))


def _offset(token: str) -> int:
    if not token.isdecimal():
        raise AwsError("ValidationException", f"The token {token} is invalid")
    return int(token)


def _parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)
