"""Verification and parsing of a forge's webhooks: the ref that moved, and its new commit.

Pure: no clock, no network, no disk. A body is parsed only after its signature is verified. Even then a delivery only
triggers a scan of the repository, and the daemon runs only commits that git finds there.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn
from urllib.parse import parse_qs

from pipeline.config.triggers import Forge
from pipeline.triggers.ref_names import is_object_name, is_ref

LIMIT = 25 * 2**20
"""Maximum size of a body in bytes, as of GitHub and GitLab."""
SIGNING_TOKEN = "whsec_"  # noqa: S105
"""Prefix of a GitLab signing token. GitLab sends any other secret as a plain token."""
TOLERANCE = 300
"""Maximum difference in seconds between a signed timestamp of GitLab and the local clock."""

Headers = Sequence[tuple[str, str]]
"""Names and values, one pair per header line of the request. Values are decoded as Latin-1."""

_EVENTS = {
    "github": ("x-github-event",),
    "gitea": ("x-forgejo-event", "x-gitea-event"),
    "gitlab": ("x-gitlab-event",),
}
_PUSHES = {"github": ("push",), "gitea": ("push",), "gitlab": ("Push Hook", "Tag Push Hook")}
# GitLab keeps the Idempotency-Key across retries. Older versions send X-Gitlab-Event-UUID instead.
_IDS = {
    "github": ("x-github-delivery",),
    "gitea": ("x-forgejo-delivery", "x-gitea-delivery"),
    "gitlab": ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")
# During a key rotation, a forge may sign with the old and the new key.
_MAX_SIGNATURES = 4
# In bytes. GitLab's keys have 32. A truncated one could be guessed.
_MIN_KEY_LENGTH = 16


@dataclass(frozen=True)
class Delivery:
    """A moved branch or tag, as reported by a forge.

    `ref` is a full name (refs/heads/… or refs/tags/…) that is valid for git and cannot be read as an option. `sha` is
    its new object, in full: a commit or an annotated tag. `id` is the forge's id of the delivery, or empty. Deliveries
    with the same `digest` are retries of one delivery.
    """

    forge: Forge
    ref: str
    sha: str
    id: str
    digest: str


@dataclass(frozen=True)
class IgnoredDelivery:
    """A verified delivery that starts nothing: a ping, a deleted branch, another kind of event."""

    reason: str


class WebhookRejected(Exception):
    """A rejected request. `status` is the HTTP status. `reason` contains nothing of the body or signature."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class DeliveryHeaders:
    """The parsed headers of a delivery, before its body is read.

    One of `signatures` must match `prefix` and the body, signed with `key`. None: the headers alone authenticate the
    sender.
    """

    event: str
    id: str
    is_form: bool
    key: bytes = b""
    prefix: bytes = b""
    signatures: tuple[bytes, ...] | None = None

    def verify(self, body: bytes) -> bool:
        """Return True if a signature matches the body. Compares in constant time."""
        if self.signatures is None:
            return True
        signing = hmac.new(self.key, self.prefix, sha256)
        signing.update(body)
        expected = signing.digest()
        return any(hmac.compare_digest(expected, signature) for signature in self.signatures)


def parse_delivery(forge: Forge, headers: Headers, body: bytes, secret: str, now: float) -> Delivery | IgnoredDelivery:
    """Verify and parse a delivery. `now` is Unix time in seconds.

    Raises `WebhookRejected`: 401 if it is not signed with `secret`, 413 above `LIMIT`, 415 for an unknown content type,
    400 for a verified body that is malformed or has an invalid ref or object name.
    """
    head = parse_headers(forge, headers, secret, now)
    if len(body) > LIMIT:
        raise too_large()
    if not head.verify(body):
        raise WebhookRejected(401, "the signature does not match the body; check the secret on both sides")
    if head.event not in _PUSHES[forge]:
        return IgnoredDelivery(f"{head.event} events start nothing")
    payload = _parse(_payload_of_form(body) if head.is_form else body)
    ref, sha = payload.get("ref"), payload.get("after")
    if not is_ref(ref):
        raise WebhookRejected(400, "ref must be the full name of a branch or a tag, such as refs/heads/main")
    if not is_object_name(sha):
        raise WebhookRejected(400, "after must be a full commit id of 40 or 64 hexadecimal digits")
    if not sha.strip("0"):
        return IgnoredDelivery(f"{ref} was deleted")
    return Delivery(forge, ref, sha, head.id, _digest(forge, head.id, body))


def parse_headers(forge: Forge, headers: Headers, secret: str, now: float) -> DeliveryHeaders:
    """Parse the headers. Raises `WebhookRejected` if no body can match them."""
    if not secret:
        raise WebhookRejected(404, "no such webhook")  # any sender can sign with an empty key
    is_form = _is_form(forge, headers)
    key, prefix, signatures = _VERIFIERS[forge](headers, secret, now)
    event = _first(headers, _EVENTS[forge])
    if event is None or not _WORD.fullmatch(event):
        raise WebhookRejected(400, f"{_EVENTS[forge][-1]} must name the event")
    delivery = _first(headers, _IDS[forge]) or ""
    if delivery and not _WORD.fullmatch(delivery):
        raise WebhookRejected(400, f"{_IDS[forge][-1]} is not a valid delivery id")
    return DeliveryHeaders(event, delivery, is_form, key, prefix, signatures)


def too_large() -> WebhookRejected:
    """Return the rejection of a body above `LIMIT`."""
    return WebhookRejected(413, f"the body must be at most {LIMIT >> 20} MiB")


_Proof = tuple[bytes, bytes, tuple[bytes, ...] | None]
"""The key, the prefix of the signed text and the signatures of `DeliveryHeaders`."""


def _github(headers: Headers, secret: str, _: float) -> _Proof:
    given = _only(headers, "x-hub-signature-256")
    if given is None and _only(headers, "x-hub-signature") is not None:
        raise WebhookRejected(401, "X-Hub-Signature-256 is required; X-Hub-Signature is SHA-1, which is not secure")
    if given is None:
        raise WebhookRejected(401, "X-Hub-Signature-256 is missing; set the secret of the webhook")
    if not given.startswith("sha256="):
        raise _malformed_signature("X-Hub-Signature-256")
    return secret.encode(), b"", (_from_hex("X-Hub-Signature-256", given.removeprefix("sha256=")),)


def _gitea(headers: Headers, secret: str, _: float) -> _Proof:
    # Forgejo sends both. Only the first is checked, so that a valid one cannot make up for an invalid one.
    given = _first(headers, ("x-forgejo-signature", "x-gitea-signature"))
    if not given:
        raise WebhookRejected(401, "X-Gitea-Signature is missing; set the secret of the webhook")
    return secret.encode(), b"", (_from_hex("X-Gitea-Signature", given),)


def _gitlab(headers: Headers, secret: str, now: float) -> _Proof:
    if secret.startswith(SIGNING_TOKEN):
        return _gitlab_signed(headers, secret, now)
    given = _only(headers, "x-gitlab-token")
    if given is None:
        raise WebhookRejected(401, "X-Gitlab-Token is missing; set the secret token of the webhook")
    if not hmac.compare_digest(given.encode("latin-1", "replace"), secret.encode()):
        raise WebhookRejected(401, "X-Gitlab-Token does not match; check the secret token on both sides")
    return b"", b"", None


def _gitlab_signed(headers: Headers, secret: str, now: float) -> _Proof:
    """Verify a GitLab signing token by the Standard Webhooks specification, which also signs id and time."""
    delivery, sent, given = (_only(headers, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if delivery is None or sent is None or given is None:
        raise WebhookRejected(
            401, "webhook-id, webhook-timestamp and webhook-signature are required; set the signing token"
        )
    if not _SECONDS.fullmatch(sent) or abs(now - int(sent)) > TOLERANCE:
        raise WebhookRejected(401, f"webhook-timestamp must be within {TOLERANCE} s of the local clock")
    signatures = [part.removeprefix("v1,") for part in given.split(" ") if part.startswith("v1,")]
    if not 0 < len(signatures) <= _MAX_SIGNATURES:
        raise _malformed_signature("webhook-signature")
    prefix = f"{delivery}.{sent}.".encode("latin-1", "replace")
    key = _from_base64("the signing token", secret.removeprefix(SIGNING_TOKEN))
    if len(key) < _MIN_KEY_LENGTH:
        raise WebhookRejected(404, "the configured signing token is not valid")
    return key, prefix, tuple(_from_base64("webhook-signature", signature) for signature in signatures)


_VERIFIERS = {"github": _github, "gitea": _gitea, "gitlab": _gitlab}


def _from_hex(name: str, text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise _malformed_signature(name)
    return bytes.fromhex(text)


def _from_base64(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed_signature(name) from None


def _malformed_signature(name: str) -> WebhookRejected:
    return WebhookRejected(401, f"{name} is not a valid HMAC SHA-256 signature")


def _is_form(forge: Forge, headers: Headers) -> bool:
    """Return True if the body is a form, False if it is JSON. Only GitHub may send a form."""
    if (_only(headers, "content-encoding") or "identity").lower() != "identity":
        raise WebhookRejected(415, "the body must not be compressed")
    media_type, _, parameters = (_only(headers, "content-type") or "").partition(";")
    charset = parameters.strip().lower()
    if charset and charset.replace('"', "") != "charset=utf-8":
        raise WebhookRejected(415, "the body must be UTF-8")
    if media_type.strip().lower() == "application/json":
        return False
    if forge == "github" and media_type.strip().lower() == "application/x-www-form-urlencoded":
        return True
    raise WebhookRejected(415, "the body must be application/json; set the content type of the webhook")


def _payload_of_form(body: bytes) -> bytes:
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=1, errors="strict")
    except ValueError:
        raise WebhookRejected(400, "the form must have the single field payload") from None
    if list(fields) != ["payload"]:
        raise WebhookRejected(400, "the form must have the single field payload")
    return fields["payload"][0].encode()


def _parse(text: bytes) -> dict[str, object]:
    try:
        payload = json.loads(text.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise WebhookRejected(400, "the body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise WebhookRejected(400, "the body must be a JSON object")
    return payload


def _no_constant(_: str) -> NoReturn:
    """Reject NaN and Infinity, which Python's parser accepts."""
    raise ValueError


def _digest(forge: Forge, delivery: str, body: bytes) -> str:
    """Return the digest that identifies retries of a delivery, made of authenticated parts only.

    GitHub and Gitea do not sign the delivery's id, so an attacker could change it. GitLab authenticates the id, and it
    is needed: with pushes from A to B, B to A and A to B, the third has the body of the first.
    """
    named = delivery if forge == "gitlab" else ""
    return sha256(b"\0".join((forge.encode(), named.encode(), body))).hexdigest()


def _only(headers: Headers, name: str) -> str | None:
    """Return a header's value, or None. A repeated header is rejected, since proxies could read it differently."""
    values = [value.strip() for key, value in headers if key.lower() == name]
    if len(values) > 1:
        raise WebhookRejected(400, f"{name} must not be repeated")
    return values[0] if values else None


def _first(headers: Headers, names: Sequence[str]) -> str | None:
    """Return the value of the first header that is present, or None. None of them may be repeated."""
    values = [_only(headers, name) for name in names]
    return next((value for value in values if value is not None), None)
