"""Mistakes in Compose files: each has its place and says what to write."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ConfigError
from tests.support.compose_imports import imported


def service(line: str) -> str:
    """Return a Compose file with one service and one further key, which is on line 4."""
    return f"services:\n  web:\n    image: shop\n    {line}\n"


MISTAKES = [
    ("", "compose.yaml:1:1: is empty (write services:)"),
    ("# nothing", "compose.yaml:1:1: is empty (write services:)"),
    ("- a", "compose.yaml:1:1: must be a mapping with services:"),
    ("text", "compose.yaml:1:1: must be a mapping with services:"),
    ("a: [", "compose.yaml:1:5: is not valid YAML: expected the node content, but found '<stream end>'"),
    ("a: 1\n---\nb: 2", "compose.yaml:2:1: must contain one document (remove ---)"),
    ("services:\n\tweb: {}", "compose.yaml:2:1: is not valid YAML: found character '\\t' that cannot start any token"),
    ("services: \x01", "compose.yaml:1:1: contains the unprintable character '\\x01'"),
    ("a: *b", "compose.yaml:1:4: is not valid YAML: found undefined alias 'b'"),
    (
        "web:\n  image: shop\ndb:\n  image: postgres",
        "compose.yaml:1:1: has no services: it has the form of version 1 (put the services below services:)",
    ),
    ("version: '3'", "compose.yaml:1:1: has no services"),
    ("services: [web]", "compose.yaml:1:1: services: must be a mapping, got a list"),
    ("services: {}", "compose.yaml:1:1: services: must have at least one service"),
    ("services: text", "compose.yaml:1:1: services: must be a mapping, got 'text'"),
    ("services: {web: }", "compose.yaml:1:12: services.web: must be a mapping, got nothing"),
    ("services: {web: shop}", "compose.yaml:1:12: services.web: must be a mapping, got 'shop'"),
    (
        "services: {'a b': {image: x}}",
        "compose.yaml:1:12: services.a b: must have a name of letters, digits, dots, hyphens and underscores",
    ),
    ("services: {[a]: {image: x}}", "compose.yaml:1:12: services: a key must be text"),
    (
        "services:\n  web: {image: a}\n  web: {image: b}",
        "compose.yaml:3:3: services.web: duplicate key; the first is on line 2",
    ),
    (
        "services: {web: {command: a}}",
        "compose.yaml:1:12: services.web: must have an image or a build (a file that overrides another "
        "one is a further FILE: compose.yaml override.yaml)",
    ),
    ("services: {web: {image: !x a}}", "compose.yaml:1:25: services.web.image: unknown tag !x (remove it)"),
    ("services: {web: {image: A B}}", "compose.yaml:1:18: services.web.image: must be the name of an image, got 'A B'"),
    (
        "services: {web: {image: 'shop:$TAG'}}",
        "compose.yaml:1:18: services.web.image: must be the name of an image, got 'shop:' (it has "
        "variables: set them in .env, or name another file with --env-file)",
    ),
    ("services: {web: {image: [a]}}", "compose.yaml:1:18: services.web.image: must be text, got a list"),
    (
        "services: {web: {<<: text, image: a}}",
        "compose.yaml:1:22: services.web.<<: must be a mapping, or a list of mappings",
    ),
    (
        "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
        "compose.yaml:1:26: services.a.depends_on: has a cycle: a needs b needs a",
    ),
    (
        service("depends_on: [dbb]"),
        "compose.yaml:4:5: services.web.depends_on: there is no service dbb (if another file has it, name both files)",
    ),
    (service("depends_on: 5"), "compose.yaml:4:5: services.web.depends_on: must be a list or a mapping, got '5'"),
    (service("depends_on: [[a]]"), "compose.yaml:4:5: services.web.depends_on: must be names of services, got a list"),
    (
        service("depends_on: {b: {condition: service_ready}}") + "  b: {image: b}\n",
        "compose.yaml:4:18: services.web.depends_on.b: must have one of the conditions "
        "service_completed_successfully, service_healthy, service_started, got 'service_ready'",
    ),
    (service("build: 5"), "compose.yaml:4:5: services.web.build: must be a mapping, got '5'"),
    (service("ports: 80"), "compose.yaml:4:5: services.web.ports: must be a list, got '80'"),
    (
        service("ports: [abc]"),
        "compose.yaml:4:13: services.web.ports[0]: must be a port such as 8000:80 or 127.0.0.1:8000:80/tcp, got 'abc'",
    ),
    (
        service("ports: ['0:80']"),
        "compose.yaml:4:13: services.web.ports[0]: must be ports from 1 to 65535 and an address of this "
        "machine, got '0:80'",
    ),
    (
        service("ports: ['99999:80']"),
        "compose.yaml:4:13: services.web.ports[0]: must be ports from 1 to 65535 and an address of this "
        "machine, got '99999:80'",
    ),
    (
        service("ports: ['999.0.0.1:80:80']"),
        "compose.yaml:4:13: services.web.ports[0]: must be ports from 1 to 65535 and an address of this "
        "machine, got '999.0.0.1:80:80'",
    ),
    (
        service("ports: ['1000-1002:80-81']"),
        "compose.yaml:4:13: services.web.ports[0]: must have two ranges of the same length, got 1000-1002:80-81",
    ),
    (
        service("ports: [{published: 80}]"),
        "compose.yaml:4:13: services.web.ports[0].target: must be a port from 1 to 65535, got ''",
    ),
    (
        service("ports: [{target: 80, published: x}]"),
        "compose.yaml:4:13: services.web.ports[0].published: must be a port from 1 to 65535, got 'x'",
    ),
    (service("ports: [[80]]"), "compose.yaml:4:13: services.web.ports[0]: must be a port such as 8000:80, got a list"),
    (service("expose: [x]"), "compose.yaml:4:5: services.web.expose: must be ports such as 8000, got 'x'"),
    (service("volumes: text"), "compose.yaml:4:5: services.web.volumes: must be a list, got 'text'"),
    (
        service("volumes: ['data:/data']"),
        "compose.yaml:4:15: services.web.volumes[0]: there is no volume data (add volumes: {data: })",
    ),
    (
        service("volumes: ['/srv:data']"),
        "compose.yaml:4:15: services.web.volumes[0]: must have an absolute path in the container, got 'data'",
    ),
    (
        service("volumes: ['/srv:/data:rx']"),
        "compose.yaml:4:15: services.web.volumes[0]: has the unknown mode 'rx'; write ro or rw",
    ),
    (
        service("volumes: [{target: /data}]"),
        "compose.yaml:4:15: services.web.volumes[0]: must have a type such as bind or volume",
    ),
    (
        service("environment: text"),
        "compose.yaml:4:5: services.web.environment: must be a mapping or a list of NAME=value, got 'text'",
    ),
    (service("environment: {A: [1]}"), "compose.yaml:4:19: services.web.environment.A: must be text, got a list"),
    (
        service("environment: [{A: 1}]"),
        "compose.yaml:4:19: services.web.environment: must be NAME=value, got a mapping",
    ),
    (
        service("environment: ['A B=1']"),
        "compose.yaml:4:19: services.web.environment.A B: must be the name of a variable, got 'A B'",
    ),
    (
        service("environment: {A: '${B'}"),
        "compose.yaml:4:5: services.web.environment.A: has a ${ without a }; write $$ for a $",
    ),
    (
        service("environment: {A: '$'}"),
        "compose.yaml:4:5: services.web.environment.A: has a $ that begins no variable; write $$ for a $",
    ),
    (
        service("environment: {A: '${B!}'}"),
        "compose.yaml:4:5: services.web.environment.A: has ${B...}, which must continue with :-, :? or "
        ":+; write $$ for a $",
    ),
    (service("env_file: {a: b}"), "compose.yaml:4:5: services.web.env_file: must be a list, got a mapping"),
    (service("env_file: [5]"), "compose.yaml:4:5: services.web.env_file: must be the path of a file, got '5'"),
    (service("command: {a: b}"), "compose.yaml:4:5: services.web.command: must be text or a list, got a mapping"),
    (
        service("command: 'a \"b'"),
        "compose.yaml:4:5: services.web.command: cannot be split into words: no closing quotation",
    ),
    (service("command: [[a]]"), "compose.yaml:4:5: services.web.command: [0] must be text, got a list"),
    (service("healthcheck: text"), "compose.yaml:4:5: services.web.healthcheck: must be a mapping, got 'text'"),
    (
        service("healthcheck: {test: [curl, -f, x]}"),
        "compose.yaml:4:19: services.web.healthcheck.test: must begin with CMD, CMD-SHELL or NONE, got "
        "'curl' (write [CMD, curl, -f, URL])",
    ),
    (
        service("healthcheck: {interval: 5}"),
        "compose.yaml:4:19: services.web.healthcheck.interval: must be a duration such as 1m30s, got '5'",
    ),
    (
        service("stop_grace_period: soon"),
        "compose.yaml:4:5: services.web.stop_grace_period: must be a duration such as 1m30s, got 'soon'",
    ),
    (service("mem_limit: much"), "compose.yaml:4:5: services.web.mem_limit: must be a size such as 512m, got 'much'"),
    (service("cpus: some"), "compose.yaml:4:5: services.web.cpus: must be a number, got 'some'"),
    (service("init: perhaps"), "compose.yaml:4:5: services.web.init: must be true or false, got 'perhaps'"),
    (service("scale: two"), "compose.yaml:4:5: services.web.scale: must be a whole number, got 'two'"),
    (
        service("ulimits: {nofile: {soft: 5}}"),
        "compose.yaml:4:15: services.web.ulimits.nofile: must have soft and hard",
    ),
    (service("extra_hosts: [a]"), "compose.yaml:4:5: services.web.extra_hosts: must be NAME:ADDRESS, got 'a'"),
    (
        service("logging: {options: {max-size: big}}"),
        "compose.yaml:4:15: services.web.logging.options: max-size must be a size such as 10m, got 'big'",
    ),
    (service("networks: text"), "compose.yaml:4:5: services.web.networks: must be a list or a mapping, got 'text'"),
    (service("secrets: text"), "compose.yaml:4:5: services.web.secrets: must be a list, got 'text'"),
    (
        service("extends: {file: a}"),
        "compose.yaml:4:5: services.web.extends: must be a service, or a mapping with service, got a mapping",
    ),
    (service("extends: base"), "compose.yaml:4:5: services.web.extends: there is no service base in compose.yaml"),
    (service("extends: web"), "compose.yaml:4:5: services.web.extends: has a cycle: web extends web"),
    (service("extends: {file: other.yaml, service: web}"), "other.yaml does not exist"),
    ("include: [5]\nservices: {web: {image: a}}", "compose.yaml:1:1: include: must be paths of files, got '5'"),
    (
        "include: [compose.yaml]\nservices: {web: {image: a}}",
        "compose.yaml includes itself: compose.yaml includes compose.yaml",
    ),
    ("services: {web: {image: a, profiles: [debug]}}", "every service belongs to a profile"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    """A file that Compose would refuse is refused, with the position and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        imported(text)
    assert caught.value.message == message


def test_all_mistakes_are_told_at_once() -> None:
    """Mistakes of several files are one error, each with the file's name."""
    override = "services:\n  web:\n    ports: [x]\n"
    with pytest.raises(ConfigError) as caught:
        imported(service("init: x"), {"b.yaml": override}, files=["compose.yaml", "b.yaml"])
    assert [line.partition(": ")[0] for line in caught.value.message.splitlines()] == [
        "b.yaml:3:13",
        "compose.yaml:4:5",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("services: {web: {image: a, x: " + "[" * 60 + "]" * 60 + "}}", "is nested deeper than 50 levels"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(6)),
            "must have at most 50000 values, aliases included",
        ),
        ("#" * (1024 * 1024 + 1), "must be at most 1024 KiB"),
    ],
    ids=["deep", "aliases", "large"],
)
def test_a_file_out_of_bounds_is_refused(text: str, reason: str) -> None:
    """Depth, size and the number of values have limits."""
    with pytest.raises(ConfigError, match=reason):
        imported(text)
