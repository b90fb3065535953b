"""Verification of requests that are signed with Signature Version 4."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.keys import AccessKey
from pipeline.aws.message import HttpRequest

MAX_SKEW = timedelta(minutes=5)
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential="
    r"(?P<key>[^/,\s]+)/(?P<date>[0-9]{8})/(?P<region>[^/,\s]+)/(?P<scope>[^/,\s]+)/aws4_request"
    r" *, *SignedHeaders=(?P<headers>[^,\s]+) *, *Signature=(?P<signature>[0-9a-f]{64})"
)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method."
)


@dataclass(frozen=True)
class Credential:
    """What a request says about its signer. Nothing of it is verified."""

    key_id: str
    date: str
    region: str
    scope: str
    signed_headers: tuple[str, ...]
    signature: str

    @classmethod
    def from_request(cls, request: HttpRequest) -> Credential:
        """Read the header `Authorization`. Raises `AwsError` if it is missing or of another kind."""
        header = request.headers.get("authorization")
        if header is None:
            if "X-Amz-Signature=" in request.query:
                raise _incomplete("presigned requests are not supported: sign the header Authorization instead")
            raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        found = _AUTHORIZATION.fullmatch(header)
        if found is None:
            raise _incomplete(
                "the header Authorization must be 'AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, "
                "SignedHeaders=…, Signature=…'"
            )
        signed = tuple(found["headers"].split(";"))
        return cls(found["key"], found["date"], found["region"], found["scope"], signed, found["signature"])


def verify(
    request: HttpRequest, credential: Credential, find_key: Callable[[str], AccessKey | None], now: datetime
) -> AccessKey:
    """Return the key that signed a request. Raises `AwsError` with status 403 if it was not signed by a known key.

    A request is accepted for five minutes before and after the time in it. In that time it can be sent again, as with
    AWS.
    """
    key = find_key(credential.key_id)
    if key is None or "x-amz-security-token" in request.headers:
        raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    _check_signed_headers(request, credential)
    time = _time(request, credential)
    if not hmac.compare_digest(_signature(request, credential, key, time), credential.signature):
        raise _mismatch(_MISMATCH)
    # Only now: the time is that of the signer.
    _check_time(time, now)
    return key


def _check_signed_headers(request: HttpRequest, credential: Credential) -> None:
    """Refuse a request of which a part that matters is not signed."""
    needed = {name for name in request.headers if name == "host" or name.startswith("x-amz-")} | {"host", "x-amz-date"}
    missing = sorted(needed - set(credential.signed_headers)) or sorted(
        set(credential.signed_headers) - request.headers.keys()
    )
    if missing:
        name = missing[0]
        raise _mismatch(f"'{name}' must be a header of the request, and a 'SignedHeader' in the AWS Authorization.")


def _time(request: HttpRequest, credential: Credential) -> datetime:
    text = request.headers["x-amz-date"]
    try:
        time = datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete(f"X-Amz-Date must look like 20260131T235959Z, got {text}") from None
    if text[:8] != credential.date:
        raise _mismatch(
            f"Date in Credential scope does not match YYYYMMDD of X-Amz-Date: {credential.date} is not {text}"
        )
    return time


def _check_time(time: datetime, now: datetime) -> None:
    shown, limit = time.strftime(_TIME_FORMAT), now.strftime(_TIME_FORMAT)
    if time < now - MAX_SKEW:
        earliest = (now - MAX_SKEW).strftime(_TIME_FORMAT)
        raise _mismatch(f"Signature expired: {shown} is now earlier than {earliest} ({limit} - 5 min.)")
    if time > now + MAX_SKEW:
        latest = (now + MAX_SKEW).strftime(_TIME_FORMAT)
        raise _mismatch(f"Signature not yet current: {shown} is still later than {latest} ({limit} + 5 min.)")


def _signature(request: HttpRequest, credential: Credential, key: AccessKey, time: datetime) -> str:
    # 10 MB, which a daemon without requests does not need.
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    # The hash of what was received. A client's header with the hash is signed, but the body that it belongs to is not.
    digest = sha256(request.body).hexdigest()
    if request.headers.get("x-amz-content-sha256", digest) != digest:
        raise _mismatch("The provided 'x-amz-content-sha256' header does not match what was computed.")
    headers = {name: request.headers[name] for name in credential.signed_headers}
    query = f"?{request.query}" if request.query else ""
    # The signature contains the header Host, and only the path and the query of the URL.
    signed: Any = AWSRequest(request.method, f"http://host{request.path}{query}", headers, request.body)
    signed.context["timestamp"] = time.strftime(_TIME_FORMAT)
    signer: Any = SigV4Auth(Credentials(key.id, key.secret), credential.scope, credential.region)
    # botocore never signs some headers, such as User-Agent. Other clients do.
    signer.headers_to_sign = lambda request: request.headers
    return str(signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed))


def _incomplete(message: str) -> AwsError:
    return AwsError("IncompleteSignature", message, 403)


def _mismatch(message: str) -> AwsError:
    return AwsError("SignatureDoesNotMatch", message, 403)
