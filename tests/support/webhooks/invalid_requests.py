"""Invalid webhook requests, each with the HTTP status that it must get."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256, sha512
from urllib.parse import urlencode

from pipeline.config.triggers import Forge
from pipeline.triggers.webhook import LIMIT
from tests.support.webhooks.deliveries import (
    BEFORE,
    MARK,
    SECRET,
    SHA,
    SIGNING_KEY,
    SIGNING_TOKEN,
    chunked,
    payload,
    sent,
    sent_form,
    sent_signed,
    signature,
    wire,
)

FORGES: tuple[Forge, ...] = ("github", "gitea", "gitlab")
_SIGNED: dict[Forge, tuple[str, str]] = {
    "github": ("X-Hub-Signature-256", "sha256="),
    "gitea": ("X-Gitea-Signature", ""),
}


@dataclass(frozen=True)
class Forgery:
    """A request and the status that it must get. With `is_cut` the client closes its side after sending."""

    name: str
    status: int
    request: bytes
    is_cut: bool = False


def forgeries() -> list[Forgery]:
    """Return all invalid requests. Each has a different name."""
    kinds = (signatures, tokens, signing_tokens, strangers, types, paths, methods, sizes, cut, broken, hostile, headers)
    return [forgery for kind in kinds for forgery in kind()]


def signatures() -> Iterator[Forgery]:
    """Yield GitHub and Gitea deliveries with a wrong or missing signature."""
    for forge, (name, prefix) in _SIGNED.items():
        good = sent(forge)
        right = signature(good.body)
        wrong = {
            "of another secret": signature(good.body, "incorrect horse"),
            "of no secret": signature(good.body, ""),
            "of another body": signature(good.body + b" "),
            "of no body": signature(b""),
            "too short": right[:-1],
            "too long": right + "0",
            "twice as long": right * 2,
            "of half the length": right[:32],
            "empty": "",
            "zeros": "0" * 64,
            "in capitals": right.upper(),
            "no digits": "g" * 64,
            "of other digits": "٣".encode().decode("latin-1") * 32,
            "in base64": base64.b64encode(bytes.fromhex(right)).decode(),
            "of another hash": hmac.new(SECRET.encode(), good.body, sha512).hexdigest(),
            "a plain hash": sha256(good.body).hexdigest(),
            "the secret": SECRET,
            "two in one": f"{'0' * 64}, {right}",
            "spaced": f"{right[:32]} {right[32:]}",
            "0x": f"0x{right}",
        }
        for what, value in wrong.items():
            yield Forgery(f"{forge}: signature {what}", 401, wire(good.having(**{name: prefix + value})))
        for place in (0, 31, 63):
            turned = right[:place] + f"{int(right[place], 16) ^ 1:x}" + right[place + 1 :]
            yield Forgery(f"{forge}: digit {place} wrong", 401, wire(good.having(**{name: prefix + turned})))
        for place in (1, len(good.body) // 2, len(good.body) - 1):
            body = good.body[:place] + bytes([good.body[place] ^ 1]) + good.body[place + 1 :]
            yield Forgery(f"{forge}: byte {place} of the body changed", 401, wire(replace(good, body=body)))
        yield Forgery(f"{forge}: a newline more", 401, wire(replace(good, body=good.body + b"\n")))
        yield Forgery(f"{forge}: no signature", 401, wire(good.having(**{name: None})))
        yield Forgery(f"{forge}: signature twice", 400, wire(good.adding(name, prefix + right)))
        bad = good.having(**{name: prefix + "0" * 64})
        yield Forgery(f"{forge}: a bad signature, then a good one", 400, wire(bad.adding(name, prefix + right)))
    yield from _signature_names()


def _signature_names() -> Iterator[Forgery]:
    github, gitea = sent("github"), sent("gitea")
    right = signature(github.body)
    old = hmac.new(SECRET.encode(), github.body, "sha1").hexdigest()
    for what, value in {
        "without its prefix": right,
        "of capitals": f"SHA256={right}",
        "sha1 said to be sha256": f"sha256={old}",
        "sha1": f"sha1={old}",
        "sha512": "sha512=" + hmac.new(SECRET.encode(), github.body, sha512).hexdigest(),
        "prefix twice": f"sha256=sha256={right}",
    }.items():
        yield Forgery(f"github: prefix {what}", 401, wire(github.having(x_hub_signature_256=value)))
    yield Forgery("github: SHA-1 alone", 401, wire(github.having(x_hub_signature_256=None)))
    bare = github.having(x_hub_signature=None, x_hub_signature_256=None)
    yield Forgery("github: signed as Gitea does", 401, wire(bare.adding("X-Gitea-Signature", right)))
    gitea_right = signature(gitea.body)
    yield Forgery("gitea: GitHub's header alone", 401, wire(gitea.having(x_gitea_signature=None)))
    yield Forgery("gitea: with a prefix", 401, wire(gitea.having(x_gitea_signature=f"sha256={gitea_right}")))
    yield Forgery("gitea: Forgejo's is bad, Gitea's good", 401, wire(gitea.adding("X-Forgejo-Signature", "0" * 64)))


def tokens() -> Iterator[Forgery]:
    """Yield GitLab deliveries with a wrong or missing secret token."""
    good = sent("gitlab")
    for what, value in {
        "empty": "",
        "cut short": SECRET[:-1],
        "longer": SECRET + "x",
        "in capitals": SECRET.upper(),
        "turned round": SECRET[::-1],
        "quoted": f'"{SECRET}"',
        "of another character": SECRET[:-1] + "ë",
        "a signature": signature(good.body),
        "a bearer": f"Bearer {SECRET}",
        "twice in one": f"{SECRET}, {SECRET}",
        "very long": "x" * 8000,
    }.items():
        yield Forgery(f"gitlab: token {what}", 401, wire(good.having(x_gitlab_token=value)))
    bare = good.having(x_gitlab_token=None)
    yield Forgery("gitlab: no token", 401, wire(bare))
    yield Forgery("gitlab: token twice", 400, wire(good.adding("X-Gitlab-Token", SECRET)))
    yield Forgery(
        "gitlab: a wrong token, then the right one",
        400,
        wire(good.having(x_gitlab_token="x").adding("X-Gitlab-Token", SECRET)),
    )
    yield Forgery(
        "gitlab: signed as GitHub does", 401, wire(bare.adding("X-Hub-Signature-256", f"sha256={signature(bare.body)}"))
    )
    yield Forgery(
        "gitlab: the token in the query", 401, wire(replace(bare, path=f"{bare.path}?token={SECRET.replace(' ', '+')}"))
    )


def signing_tokens() -> Iterator[Forgery]:
    """Yield GitLab deliveries with a wrong signature by a signing token."""
    good = sent_signed()
    right = good.header("webhook-signature")
    for name in ("webhook_id", "webhook_timestamp", "webhook_signature"):
        yield Forgery(f"signed: no {name}", 401, wire(good.having(**{name: None})))
    for what, value in {
        "of another version": right.replace("v1,", "v2,"),
        "of a key pair": right.replace("v1,", "v1a,"),
        "without a version": right.removeprefix("v1,"),
        "no base64": "v1,!!!!",
        "cut short": right[:-4],
        "empty": "",
        "of no text": "v1,",
        "of many": " ".join([f"v1,{base64.b64encode(bytes(32)).decode()}"] * 5),
        "of zeros": f"v1,{base64.b64encode(bytes(32)).decode()}",
        "in digits": "v1," + hmac.new(SIGNING_KEY, good.body, sha256).hexdigest(),
        "of the body alone": "v1," + base64.b64encode(hmac.digest(SIGNING_KEY, good.body, sha256)).decode(),
    }.items():
        yield Forgery(f"signed: signature {what}", 401, wire(good.having(webhook_signature=value)))
    for what, value in {"words": "now", "negative": "-1", "float": "1e9", "empty": "", "far": "9" * 30}.items():
        yield Forgery(f"signed: time {what}", 401, wire(good.having(webhook_timestamp=value)))
    yield Forgery("signed: long ago", 401, wire(sent_signed(at=time.time() - 4000)))
    yield Forgery("signed: in the future", 401, wire(sent_signed(at=time.time() + 40000)))
    yield Forgery("signed: another time", 401, wire(good.having(webhook_timestamp=str(int(time.time()) + 1))))
    yield Forgery("signed: another id", 401, wire(good.having(webhook_id="another")))
    yield Forgery("signed: another body", 401, wire(replace(good, body=good.body + b" ")))
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    yield Forgery("signed: with another key", 401, wire(sent_signed(token=other)))
    token = good.having(webhook_signature=None).adding("X-Gitlab-Token", SIGNING_TOKEN)
    yield Forgery("signed: the token itself", 401, wire(token))


def strangers() -> Iterator[Forgery]:
    """Yield genuine deliveries to a webhook of another forge, pipeline or secret."""
    for forge in FORGES:
        other = {"github": "gitea", "gitea": "gitlab", "gitlab": "github"}[forge]
        good = sent(forge)
        yield Forgery(f"{forge}: sent to {other}", 401, wire(replace(good, path=f"/webhooks/shop/{other}")))
        yield Forgery(
            f"{forge}: signed for shop, sent to another", 401, wire(replace(good, path=f"/webhooks/other/{forge}"))
        )
        yield Forgery(f"{forge}: not configured", 404, wire(replace(good, path=f"/webhooks/bare/{forge}")))
        yield Forgery(f"{forge}: its secret is empty", 404, wire(replace(good, path=f"/webhooks/empty/{forge}")))
        yield Forgery(f"{forge}: no such pipeline", 404, wire(replace(good, path=f"/webhooks/nobody/{forge}")))


def types() -> Iterator[Forgery]:
    """Yield deliveries with a wrong content type or encoding."""
    kinds = [
        "text/plain", "application/xml", "application/x-json", "application/jsonx", "text/json", "json", "*/*", "",
        "application/octet-stream", "multipart/form-data; boundary=x", "application/json; charset=utf-16",
        "application/json; charset=latin-1", "application/json, text/plain",
    ]  # fmt: skip
    for kind in kinds:
        yield Forgery(f"content type {kind or 'empty'}", 415, wire(sent("github").having(content_type=kind)))
    for forge in FORGES:
        good = sent(forge)
        yield Forgery(f"{forge}: no content type", 415, wire(good.having(content_type=None)))
        yield Forgery(f"{forge}: compressed", 415, wire(good.adding("Content-Encoding", "gzip")))
        yield Forgery(f"{forge}: content type twice", 400, wire(good.adding("Content-Type", "application/json")))
        if forge != "github":
            form = "application/x-www-form-urlencoded"
            yield Forgery(f"{forge}: a form", 415, wire(good.having(content_type=form)))


def paths() -> Iterator[Forgery]:
    """Yield genuine deliveries to paths that are similar to a webhook's."""
    good = sent("github")
    names = [
        "/", "/webhooks", "/webhooks/", "/webhooks/shop", "/webhooks/shop/", "/webhooks/shop/github/",
        "//webhooks/shop/github",
        "/webhooks//shop/github", "/webhooks/shop//github", "/webhooks/shop/github/x", "/webhooks/shop/./github",
        "/webhooks/../webhooks/shop/github", "/webhooks/x/../shop/github", "/webhooks/shop/github/..",
        "/./webhooks/shop/github",
        "/webhooks/shop%2Fgithub", "/webhooks%2Fshop%2Fgithub", "/webhooks/%2e%2e/webhooks/shop/github",
        "/webhooks/s%68op/github",
        "/webhooks/shop/git%68ub", "/%77ebhooks/shop/github", "/webhooks/shop%00/github", "/webhooks/%00/github",
        "/webhooks/shop%0a/github",
        "/webhooks/shop%20/github", "/webhooks/shop;a=b/github", "/webhooks/shop/github;x", "/webhooks/shop/GitHub",
        "/webhooks/SHOP/github",
        "/WEBHOOKS/shop/github", "/webhooks/shop/forgejo", "/webhooks/shop/bitbucket", "/webhooks/sh%C3%B6p/github",
        "/webhooks/%F0%9F%9A%80/github",
        "/webhooks/\uff53hop/github".encode().decode("latin-1"), "/webhooks/%FF%FE/github", "/webhooks/%ZZ/github",
        "/webhooks/%/github",
        "/webhooks/" + "a" * 33 + "/github", "/webhooks/" + "a" * 9000 + "/github", "/webhooks/shop/" + "github" * 1000,
        "/" + "../" * 200 + "etc/passwd", "/webhooks/..%2f..%2fetc%2fpasswd/github", "/webhooks/shop\\github",
        "/webhooks/shop/github%23x",
        "/webhooks/shop%3f/github", "/webhooks/-/github", "/webhooks/__proto__/github",
        "http://localhost/webhooks/shop/github",
        "/webhooks/shop/github%00", "/webhooks/shop/github%2F",
    ]  # fmt: skip
    for name in names:
        # Bytes beyond ASCII do not stand in a path at all: that is malformed, and answered before anybody looks for it.
        status = 404 if name.isascii() else 400
        yield Forgery(f"path {name[:60]} ({len(name)})", status, wire(replace(good, path=name)))


def methods() -> Iterator[Forgery]:
    """Yield deliveries with other methods than POST."""
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "post", "PROPFIND"):
        yield Forgery(f"method {method}", 405, wire(replace(sent("github"), method=method)))


def sizes() -> Iterator[Forgery]:
    """Yield deliveries that are too large or have no valid length."""
    for forge in FORGES:
        good = sent(forge)
        for length in (LIMIT + 1, 2**30, 10**18):
            yield Forgery(f"{forge}: {length} bytes declared", 413, wire(good, (("Content-Length", str(length)),)))
        yield Forgery(f"{forge}: no length", 411, wire(good, ()))
        both = (("Content-Length", str(len(good.body))), ("Transfer-Encoding", "chunked"))
        yield Forgery(f"{forge}: a length and chunks", 400, wire(good, both))
    good = sent("github")
    for text in ("-1", "+5", "abc", "1 0", "0x10", "", "9" * 30):
        yield Forgery(f"length {text!r}", 400, wire(good, (("Content-Length", text),)))
    two = (("Content-Length", "1"), ("Content-Length", str(len(good.body))))
    yield Forgery("two lengths", 400, wire(good, two))
    large = good.having(x_hub_signature_256="sha256=" + "0" * 64)
    yield Forgery("chunks past the limit", 413, chunked(replace(large, body=bytes(LIMIT + 1)), 2**20))
    yield Forgery("the most that is read, signed by nobody", 401, wire(replace(large, body=bytes(LIMIT))))
    yield Forgery("too many headers", 400, wire(good.adding("X-Padding", "x" * 20_000))[:20_000])


def cut() -> Iterator[Forgery]:
    """Yield deliveries whose body ends early or is not chunked correctly."""
    for forge in FORGES:
        good = sent(forge)
        whole = wire(good)
        yield Forgery(f"{forge}: cut short", 400, whole[:-10], is_cut=True)
        yield Forgery(f"{forge}: no body", 400, whole[: -len(good.body)], is_cut=True)
        yield Forgery(f"{forge}: the last chunk missing", 400, chunked(good)[:-5], is_cut=True)
    shorter = sent("github")
    yield Forgery("shorter than was signed", 401, wire(replace(shorter, body=shorter.body[:-1])))
    coded = (("Transfer-Encoding", "chunked"),)
    for what, body in {
        "no number": b"zz\r\nab\r\n0\r\n\r\n",
        "negative": b"-1\r\nab\r\n",
        "too long": b"f" * 30 + b"\r\nab",
    }.items():
        yield Forgery(f"chunk {what}", 400, wire(replace(shorter, body=body), coded))
    yield Forgery("coded twice", 400, wire(shorter, (("Transfer-Encoding", "gzip, chunked"),)))


def broken() -> Iterator[Forgery]:
    """Yield correctly signed deliveries whose body no forge sends."""
    bodies = {
        "nothing": b"",
        "half an object": payload("github")[:-1],
        "an object and more": payload("github") + b"x",
        "two objects": payload("github") * 2,
        "null": b"null",
        "an array": b"[" + payload("github") + b"]",
        "a number": b"17",
        "a string": json.dumps(MARK).encode(),
        "true": b"true",
        "NaN": b'{"x": NaN, "ref": "refs/heads/main", "after": "' + SHA.encode() + b'"}',
        "single quotes": b"{'ref': 'refs/heads/main'}",
        "no UTF-8": b'{"ref": "refs/heads/\xff\xfe"}',
        "UTF-16": payload("github").decode().encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + payload("github"),
        "depth": b"[" * 200_000 + b"]" * 200_000,
        "depth in an object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "a very long number": b'{"ref": ' + b"9" * 10_000 + b"}",
        "an empty object": b"{}",
        "a ping's body": b'{"zen": "Keep it logically awesome.", "hook_id": 1}',
    }
    for what, body in bodies.items():
        yield Forgery(f"body: {what}", 400, wire(sent("github", body)))
    for forge in ("gitea", "gitlab"):
        for what in ("nothing", "half an object", "an array", "depth", "null"):
            yield Forgery(f"{forge}: body: {what}", 400, wire(sent(forge, bodies[what])))
    good = payload("github").decode()
    for what, form in {
        "no payload": urlencode({"data": good}),
        "two payloads": urlencode([("payload", good), ("payload", good)]),
        "more fields": urlencode({"payload": good, "x": "y"}),
        "an empty payload": "payload=",
        "no form": "payload",
        "no UTF-8": "payload=%ff%fe",
        "half a payload": urlencode({"payload": good[:-1]}),
        "an array": urlencode({"payload": "[]"}),
        "raw bytes": "payload=ÿ",
    }.items():
        yield Forgery(f"form: {what}", 400, wire(sent_form(form.encode())))
    unsigned = sent_form(payload("github")).having(x_hub_signature_256=f"sha256={signature(payload('github'))}")
    yield Forgery("form: its payload signed instead of it", 401, wire(unsigned))


def hostile() -> Iterator[Forgery]:
    """Yield correctly signed pushes of refs and objects that must not reach git."""
    refs: list[object] = [
        "", "main", "heads/main", "refs/heads/", "refs/heads", "refs/tags/", "refs/remotes/origin/main",
        "refs/notes/x", "HEAD",
        "refs/pull/1/head", "refs/heads/-x", "refs/heads/--upload-pack=touch x", "refs/heads/--output=/etc/passwd",
        "refs/heads/a/-b",
        "refs/heads/../../config", "refs/heads/..", "refs/heads/a..b", "refs/heads/.hidden", "refs/heads/a/.b",
        "refs/heads/a.lock",
        "refs/heads/a.lock/b", "refs/heads/a.", "refs/heads/a/", "refs/heads//a", "refs/heads/a//b",
        "/refs/heads/main", "refs/heads/a b",
        "refs/heads/a~1", "refs/heads/a^", "refs/heads/a:b", "refs/heads/a?b", "refs/heads/a*b", "refs/heads/[a]",
        "refs/heads/a\\b",
        "refs/heads/a@{1}", "refs/heads/@", "refs/heads/HEAD", "refs/heads/a\nb", "refs/heads/a\r\nb",
        "refs/heads/a\x00b", "refs/heads/a\x7f",
        "refs/heads/a\tb", "refs/heads/\u202egnp.exe", "refs/heads/a\u200bb", "refs/heads/a\u2028b",
        "refs/heads/\ud800", "+refs/heads/main",
        "refs/heads/main:refs/heads/evil", "refs/heads/" + "a" * 5000, "ext::sh -c touch% x", "--upload-pack=touch x",
        "refs/heads/\u00a0a",
        None, 1, True, ["refs/heads/main"], {"name": "refs/heads/main"},
    ]  # fmt: skip
    for ref in refs:
        yield Forgery(f"ref {str(ref)[:40]!r} ({len(str(ref))})", 400, wire(sent("github", payload("github", ref))))
    objects: list[object] = [
        "", "main", "HEAD", SHA[:39], SHA + "0", SHA[:7], SHA.upper(), SHA[:-1] + "g", " " + SHA[:-1],
        SHA[:-1] + "\n", SHA * 2,
        "-" + SHA[1:], "--exec=" + SHA, "0x" + SHA[2:], SHA + "^{}", SHA + "\n", "٣" * 40, "0" * 39, "0" * 41, None,
        0, 8.5, [SHA],
    ]  # fmt: skip
    for sha in objects:
        yield Forgery(
            f"object {str(sha)[:44]!r} ({len(str(sha))})", 400, wire(sent("github", payload("github", sha=sha)))
        )
    for forge in ("gitea", "gitlab"):
        for ref in ("refs/heads/--upload-pack=x", "refs/heads/../x", "refs/heads/a\nb", "main"):
            yield Forgery(f"{forge}: ref {ref!r}", 400, wire(sent(forge, payload(forge, ref))))
        for sha in ("--exec", SHA[:39], BEFORE.upper().replace("1", "A")):
            yield Forgery(f"{forge}: object {sha!r}", 400, wire(sent(forge, payload(forge, sha=sha))))


def headers() -> Iterator[Forgery]:
    """Yield deliveries with repeated, empty or overlong headers."""
    names = {"github": "X-GitHub", "gitea": "X-Gitea", "gitlab": "X-Gitlab"}
    for forge in FORGES:
        event = f"{names[forge]}-Event"
        delivery = "Idempotency-Key" if forge == "gitlab" else f"{names[forge]}-Delivery"
        good = sent(forge)
        yield Forgery(f"{forge}: event twice", 400, wire(good.adding(event, "push")))
        yield Forgery(
            f"{forge}: event twice, the other way", 400, wire(good.having(**{event: "ping"}).adding(event, "push"))
        )
        yield Forgery(f"{forge}: delivery twice", 400, wire(good.adding(delivery, "x")))
        yield Forgery(f"{forge}: no event", 400, wire(good.having(**{event: None})))
        yield Forgery(f"{forge}: an empty event", 400, wire(good.having(**{event: ""})))
        yield Forgery(f"{forge}: a long event", 400, wire(good.having(**{event: "push" * 100})))
        yield Forgery(f"{forge}: an event of markup", 400, wire(good.having(**{event: "<script>"})))
        yield Forgery(f"{forge}: an event of escapes", 400, wire(good.having(**{event: "push\x80\x9b31m"})))
        yield Forgery(f"{forge}: a delivery of markup", 400, wire(good.having(**{delivery: "'; DROP TABLE runs; --"})))
        yield Forgery(f"{forge}: a long delivery", 400, wire(good.having(**{delivery: "x" * 101})))
        folded = wire(good).replace(f"{event}: ".encode(), f"{event} : ".encode(), 1)
        yield Forgery(f"{forge}: a space before the colon", 400, folded)
