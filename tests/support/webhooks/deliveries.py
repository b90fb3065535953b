"""Webhook deliveries in the documented formats of the forges, signed as the forges sign them."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from pipeline.config.triggers import Forge

SECRET = "correct horse battery staple"
SIGNING_KEY = bytes(range(32))
SIGNING_TOKEN = "whsec_" + base64.b64encode(SIGNING_KEY).decode()
SHA = "8f3c2a1d9b7e6054c1d2e3f4a5b6c7d8e9f00112"
BEFORE = "1122334455667788990011223344556677889900"
NONE = "0" * 40
MARK = "never-in-a-log"
"""A text that is in every body."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sent:
    """A request to a webhook, without the headers for its length."""

    path: str
    headers: Headers
    body: bytes
    method: str = "POST"

    def having(self, **changed: str | None) -> Sent:
        """Return a copy with other headers, as in `content_type="text/plain"`. None removes a header."""
        names = {key.replace("_", "-").lower(): value for key, value in changed.items()}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in names)
        return replace(self, headers=kept + tuple((name, value) for name, value in names.items() if value is not None))

    def adding(self, name: str, value: str) -> Sent:
        """Return a copy with one more header line."""
        return replace(self, headers=(*self.headers, (name, value)))

    def header(self, name: str) -> str:
        """Return the value of a header."""
        return next(value for key, value in self.headers if key.lower() == name.lower())


def signature(body: bytes, secret: str = SECRET) -> str:
    """Return the HMAC SHA-256 of a body in hexadecimal digits."""
    return hmac.new(secret.encode(), body, sha256).hexdigest()


def payload(forge: Forge, ref: object = "refs/heads/main", sha: object = SHA) -> bytes:
    """Return the body of a push."""
    return json.dumps(_PAYLOADS[forge](ref, sha)).encode()


def sent(forge: Forge, body: bytes | None = None, pipeline: str = "shop", event: str = "") -> Sent:
    """Return a signed delivery, by default of a push."""
    body = payload(forge) if body is None else body
    return Sent(f"/webhooks/{pipeline}/{forge}", _HEADERS[forge](body, event), body)


def sent_form(body: bytes) -> Sent:
    """Return a delivery of GitHub's that is sent as a form."""
    form = body if b"=" in body else urlencode({"payload": body}).encode()
    return sent("github", form).having(content_type="application/x-www-form-urlencoded")


def sent_signed(body: bytes | None = None, at: float | None = None, token: str = SIGNING_TOKEN) -> Sent:
    """Return a delivery of GitLab's to the pipeline `signed`, signed with a signing token."""
    body = payload("gitlab") if body is None else body
    name, when = str(uuid.uuid4()), str(int(time.time() if at is None else at))
    key = base64.b64decode(token.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{when}.".encode() + body, sha256).digest()
    return sent("gitlab", body, "signed").having(
        x_gitlab_token=None,
        webhook_id=name,
        webhook_timestamp=when,
        webhook_signature=f"v1,{base64.b64encode(digest).decode()}",
    )


def _github(ref: object, sha: object) -> dict[str, Any]:
    author = {"name": "Ada", "email": "ada@example.com", "username": "ada"}
    commit = {
        "id": sha,
        "tree_id": BEFORE,
        "distinct": True,
        "message": f"Weigh the parcels ({MARK})",
        "timestamp": "2026-11-24T15:00:00+01:00",
        "url": f"https://github.com/ada/shop/commit/{sha}",
        "author": author,
        "committer": author,
        "added": [],
        "removed": [],
        "modified": ["shop/parcels.py"],
    }
    return {
        "ref": ref,
        "before": BEFORE,
        "after": sha,
        "repository": {"id": 17, "name": "shop", "full_name": "ada/shop", "private": False, "pushed_at": 1795000000},
        "pusher": {"name": "ada", "email": "ada@example.com"},
        "sender": {"login": "ada", "id": 4},
        "created": False,
        "deleted": sha == NONE,
        "forced": False,
        "base_ref": None,
        "compare": "https://github.com/ada/shop/compare/112233445566...8f3c2a1d9b7e",
        "commits": [commit],
        "head_commit": commit,
    }


def _gitea(ref: object, sha: object) -> dict[str, Any]:
    commit = {
        "id": sha,
        "message": f"Weigh the parcels ({MARK})\n",
        "url": f"https://git.example.com/ada/shop/commit/{sha}",
        "author": {"name": "Ada", "email": "ada@example.com", "username": "ada"},
        "verification": None,
        "timestamp": "2026-11-24T15:00:00+01:00",
        "added": [],
        "removed": [],
        "modified": ["shop/parcels.py"],
    }
    return {
        "ref": ref,
        "before": BEFORE,
        "after": sha,
        "compare_url": "https://git.example.com/ada/shop/compare/1122...8f3c",
        "commits": [commit],
        "total_commits": 1,
        "head_commit": commit,
        "repository": {"id": 17, "name": "shop", "full_name": "ada/shop", "updated_at": "2026-11-24T14:00:01Z"},
        "pusher": {"id": 4, "login": "ada"},
        "sender": {"id": 4, "login": "ada"},
    }


def _gitlab(ref: object, sha: object) -> dict[str, Any]:
    kind = "tag_push" if str(ref).startswith("refs/tags/") else "push"
    return {
        "object_kind": kind,
        "event_name": kind,
        "before": BEFORE,
        "after": sha,
        "ref": ref,
        "ref_protected": True,
        "checkout_sha": None if sha == NONE else sha,
        "message": None,
        "user_id": 4,
        "user_username": "ada",
        "project_id": 17,
        "project": {"id": 17, "name": "Shop", "path_with_namespace": "ada/shop", "default_branch": "main"},
        "commits": [{"id": sha, "message": f"Weigh the parcels ({MARK})", "modified": ["shop/parcels.py"]}],
        "total_commits_count": 1,
        "push_options": {},
    }


def _github_headers(body: bytes, event: str) -> Headers:
    return (
        ("User-Agent", "GitHub-Hookshot/044aadd"),
        ("Accept", "*/*"),
        ("Content-Type", "application/json"),
        ("X-GitHub-Delivery", str(uuid.uuid4())),
        ("X-GitHub-Event", event or "push"),
        ("X-GitHub-Hook-ID", "292430182"),
        ("X-Hub-Signature", "sha1=" + hmac.new(SECRET.encode(), body, "sha1").hexdigest()),
        ("X-Hub-Signature-256", f"sha256={signature(body)}"),
    )


def _gitea_headers(body: bytes, event: str) -> Headers:
    name = str(uuid.uuid4())
    kinds = (("X-Gitea-Delivery", name), ("X-Gitea-Event", event or "push"), ("X-Gitea-Signature", signature(body)))
    return (
        ("Content-Type", "application/json"),
        *kinds,
        *((key.replace("Gitea", "Gogs"), value) for key, value in kinds),
        ("X-GitHub-Delivery", name),
        ("X-GitHub-Event", event or "push"),
        ("X-Hub-Signature-256", f"sha256={signature(body)}"),
    )


def _gitlab_headers(body: bytes, event: str) -> Headers:
    usual = "Tag Push Hook" if b'"ref": "refs/tags/' in body else "Push Hook"
    return (
        ("Content-Type", "application/json"),
        ("User-Agent", "GitLab/18.0"),
        ("Idempotency-Key", str(uuid.uuid4())),
        ("X-Gitlab-Event", event or usual),
        ("X-Gitlab-Webhook-UUID", str(uuid.uuid4())),
        ("X-Gitlab-Instance", "https://gitlab.example.com"),
        ("X-Gitlab-Token", SECRET),
        ("X-Gitlab-Event-UUID", str(uuid.uuid4())),
    )


_PAYLOADS = {"github": _github, "gitea": _gitea, "gitlab": _gitlab}
_HEADERS = {"github": _github_headers, "gitea": _gitea_headers, "gitlab": _gitlab_headers}


def wire(request: Sent, framing: tuple[tuple[str, str], ...] | None = None) -> bytes:
    """Return the request as bytes on a connection. `framing` replaces its Content-Length."""
    if framing is None:
        framing = (("Content-Length", str(len(request.body))),)
    lines = [f"{request.method} {request.path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in (*request.headers, *framing)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def chunked(request: Sent, size: int = 50) -> bytes:
    """Return the request as bytes with its body in chunks."""
    parts = [request.body[start : start + size] for start in range(0, len(request.body), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
    return wire(replace(request, body=body), (("Transfer-Encoding", "chunked"),))
