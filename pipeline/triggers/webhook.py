"""What a forge's webhook says, once it has proved that it comes from the forge: which ref moved, and where to.

Pure: no clock, no network, no disk. Nothing of a body is interpreted before its signature holds. What a delivery says
is a hint all the same: it makes us look at the repository, and only what git finds there is run.
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
"""The most that a body may hold, in bytes: GitHub and GitLab send no more."""
SIGNING_TOKEN = "whsec_"  # noqa: S105
"""What a GitLab signing token begins with. Any other GitLab secret is a token that is sent along."""
TOLERANCE = 300
"""How far GitLab's clock and ours may differ where it signs the time as well, in seconds."""

Headers = Sequence[tuple[str, str]]
"""Names and values as they came, one pair a line of the request; the values decoded as Latin-1."""

_EVENTS = {
    "github": ("x-github-event",),
    "gitea": ("x-forgejo-event", "x-gitea-event"),
    "gitlab": ("x-gitlab-event",),
}
_PUSHES = {"github": ("push",), "gitea": ("push",), "gitlab": ("Push Hook", "Tag Push Hook")}
# GitLab keeps the Idempotency-Key when it tries again; the older X-Gitlab-Event-UUID is there where it is not.
_IDS = {
    "github": ("x-github-delivery",),
    "gitea": ("x-forgejo-delivery", "x-gitea-delivery"),
    "gitlab": ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")
# A forge that changes its key may sign with the old and the new one.
_MOST_SIGNATURES = 4
# In bytes. GitLab's have 32; one that is cut short could be guessed.
_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Delivery:
    """A branch or a tag that moved, as a forge tells it.

    `ref` is a full name (refs/heads/… or refs/tags/…) that git takes for one and that no command takes for an option;
    `sha` is what it points to now, in full: a commit, or an annotated tag. `id` is the forge's name for the delivery,
    empty where it gives none. Two deliveries with one `digest` are one delivery, sent again.
    """

    forge: Forge
    ref: str
    sha: str
    id: str
    digest: str


@dataclass(frozen=True)
class IgnoredDelivery:
    """A genuine delivery that asks for nothing: a ping, a deleted branch, an event of another kind."""

    reason: str


class WebhookRejected(Exception):
    """A request that is not taken. `status` is HTTP's; `reason` says why, without a word of its body or signature."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class DeliveryHeaders:
    """What the headers of a delivery promise, the body unseen.

    `signatures` are those of `prefix` and the body, made with `key`: one has to be right. None: the headers have proved
    by themselves who sends.
    """

    event: str
    id: str
    is_form: bool
    key: bytes = b""
    prefix: bytes = b""
    signatures: tuple[bytes, ...] | None = None

    def verify(self, body: bytes) -> bool:
        """Whether the body is what was signed. Takes the same time wherever a wrong signature differs."""
        if self.signatures is None:
            return True
        signing = hmac.new(self.key, self.prefix, sha256)
        signing.update(body)
        expected = signing.digest()
        return any(hmac.compare_digest(expected, signature) for signature in self.signatures)


def parse_delivery(forge: Forge, headers: Headers, body: bytes, secret: str, now: float) -> Delivery | IgnoredDelivery:
    """What a delivery says. `now` is Unix time, in seconds.

    Raises `WebhookRejected`: 401 if it is not signed with `secret`, 413 past `LIMIT`, 415 where the body is in no known
    form, 400 where a genuine body is malformed or names what is no ref or no object of git's.
    """
    head = parse_headers(forge, headers, secret, now)
    if len(body) > LIMIT:
        raise too_large()
    if not head.verify(body):
        raise WebhookRejected(401, "the signature is not that of this body: is the secret the same at both ends?")
    if head.event not in _PUSHES[forge]:
        return IgnoredDelivery(f"{head.event} events start nothing")
    payload = _parse(_payload_of_form(body) if head.is_form else body)
    ref, sha = payload.get("ref"), payload.get("after")
    if not is_ref(ref):
        raise WebhookRejected(400, "ref is not the full name of a branch or a tag, such as refs/heads/main")
    if not is_object_name(sha):
        raise WebhookRejected(400, "after is not the full name of a commit: 40 or 64 hexadecimal digits")
    if not sha.strip("0"):
        return IgnoredDelivery(f"{ref} was deleted")
    return Delivery(forge, ref, sha, head.id, _digest(forge, head.id, body))


def parse_headers(forge: Forge, headers: Headers, secret: str, now: float) -> DeliveryHeaders:
    """What the headers promise. Raises `WebhookRejected` if no body can match them."""
    if not secret:
        raise WebhookRejected(404, "no such webhook")  # anybody can sign with an empty key
    is_form = _is_form(forge, headers)
    key, prefix, signatures = _VERIFIERS[forge](headers, secret, now)
    event = _first(headers, _EVENTS[forge])
    if event is None or not _WORD.fullmatch(event):
        raise WebhookRejected(400, f"{_EVENTS[forge][-1]} has to name the event")
    delivery = _first(headers, _IDS[forge]) or ""
    if delivery and not _WORD.fullmatch(delivery):
        raise WebhookRejected(400, f"{_IDS[forge][-1]} is no name of a delivery")
    return DeliveryHeaders(event, delivery, is_form, key, prefix, signatures)


def too_large() -> WebhookRejected:
    """What a body past `LIMIT` is answered."""
    return WebhookRejected(413, f"the body is larger than {LIMIT >> 20} MiB")


_Proof = tuple[bytes, bytes, tuple[bytes, ...] | None]


def _github(headers: Headers, secret: str, _: float) -> _Proof:
    given = _only(headers, "x-hub-signature-256")
    if given is None and _only(headers, "x-hub-signature") is not None:
        raise WebhookRejected(401, "X-Hub-Signature is SHA-1, which proves nothing: X-Hub-Signature-256 is needed")
    if given is None:
        raise WebhookRejected(401, "X-Hub-Signature-256 is missing: give the webhook its secret")
    if not given.startswith("sha256="):
        raise _no_signature("X-Hub-Signature-256")
    return secret.encode(), b"", (_from_hex("X-Hub-Signature-256", given.removeprefix("sha256=")),)


def _gitea(headers: Headers, secret: str, _: float) -> _Proof:
    # Forgejo sends both. A good one does not make up for a bad one: the first that is there counts.
    given = _first(headers, ("x-forgejo-signature", "x-gitea-signature"))
    if not given:
        raise WebhookRejected(401, "X-Gitea-Signature is missing: give the webhook its secret")
    return secret.encode(), b"", (_from_hex("X-Gitea-Signature", given),)


def _gitlab(headers: Headers, secret: str, now: float) -> _Proof:
    if secret.startswith(SIGNING_TOKEN):
        return _gitlab_signed(headers, secret, now)
    given = _only(headers, "x-gitlab-token")
    if given is None:
        raise WebhookRejected(401, "X-Gitlab-Token is missing: give the webhook its secret token")
    if not hmac.compare_digest(given.encode("latin-1", "replace"), secret.encode()):
        raise WebhookRejected(401, "X-Gitlab-Token is not the secret: is it the same at both ends?")
    return b"", b"", None


def _gitlab_signed(headers: Headers, secret: str, now: float) -> _Proof:
    """GitLab's signing tokens follow the Standard Webhooks specification: the delivery's id and time are signed too."""
    delivery, sent, given = (_only(headers, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if delivery is None or sent is None or given is None:
        raise WebhookRejected(
            401, "webhook-id, webhook-timestamp and webhook-signature are needed: give it the signing token"
        )
    if not _SECONDS.fullmatch(sent) or abs(now - int(sent)) > TOLERANCE:
        raise WebhookRejected(401, f"webhook-timestamp is more than {TOLERANCE} s from our clock")
    signatures = [part.removeprefix("v1,") for part in given.split(" ") if part.startswith("v1,")]
    if not 0 < len(signatures) <= _MOST_SIGNATURES:
        raise _no_signature("webhook-signature")
    prefix = f"{delivery}.{sent}.".encode("latin-1", "replace")
    key = _from_base64("the signing token", secret.removeprefix(SIGNING_TOKEN))
    if len(key) < _SHORTEST_KEY:
        raise WebhookRejected(404, "the signing token configured here is none")
    return key, prefix, tuple(_from_base64("webhook-signature", signature) for signature in signatures)


_VERIFIERS = {"github": _github, "gitea": _gitea, "gitlab": _gitlab}


def _from_hex(name: str, text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise _no_signature(name)
    return bytes.fromhex(text)


def _from_base64(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _no_signature(name) from None


def _no_signature(name: str) -> WebhookRejected:
    return WebhookRejected(401, f"{name} has not the form of an HMAC SHA-256 signature")


def _is_form(forge: Forge, headers: Headers) -> bool:
    """Whether the body is a form; otherwise it is JSON. GitHub alone signs a form as it is sent."""
    if (_only(headers, "content-encoding") or "identity").lower() != "identity":
        raise WebhookRejected(415, "a compressed body is not taken")
    media_type, _, parameters = (_only(headers, "content-type") or "").partition(";")
    charset = parameters.strip().lower()
    if charset and charset.replace('"', "") != "charset=utf-8":
        raise WebhookRejected(415, "the body has to be UTF-8")
    if media_type.strip().lower() == "application/json":
        return False
    if forge == "github" and media_type.strip().lower() == "application/x-www-form-urlencoded":
        return True
    raise WebhookRejected(415, "the body has to be application/json: set the webhook's content type to it")


def _payload_of_form(body: bytes) -> bytes:
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=1, errors="strict")
    except ValueError:
        raise WebhookRejected(400, "the body is not a form with the one field payload") from None
    if list(fields) != ["payload"]:
        raise WebhookRejected(400, "the body is not a form with the one field payload")
    return fields["payload"][0].encode()


def _parse(text: bytes) -> dict[str, object]:
    try:
        payload = json.loads(text.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise WebhookRejected(400, "the body is not JSON") from None
    if not isinstance(payload, dict):
        raise WebhookRejected(400, "the body is not a JSON object")
    return payload


def _no_constant(_: str) -> NoReturn:
    """NaN and Infinity, which Python takes for JSON."""
    raise ValueError


def _digest(forge: Forge, delivery: str, body: bytes) -> str:
    """What a delivery is known by when it comes again: what its sender proved to have said, and no more.

    The delivery's name is outside of what GitHub and Gitea sign, so a thief could change it. GitLab's is signed, or
    stands beside the token, and is needed: the third push from A to B, B to A, A to B has the body of the first.
    """
    named = delivery if forge == "gitlab" else ""
    return sha256(b"\0".join((forge.encode(), named.encode(), body))).hexdigest()


def _only(headers: Headers, name: str) -> str | None:
    """A header's value, or None. Twice, it means one thing to us and another to whoever stands before us."""
    values = [value.strip() for key, value in headers if key.lower() == name]
    if len(values) > 1:
        raise WebhookRejected(400, f"{name} is there more than once")
    return values[0] if values else None


def _first(headers: Headers, names: Sequence[str]) -> str | None:
    """The first of these headers that is there. Each is looked at: none may be there twice."""
    values = [_only(headers, name) for name in names]
    return next((value for value in values if value is not None), None)
