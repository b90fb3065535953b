"""A service of a Compose file, as far as its role needs it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.compose.health import Check, check_of
from pipeline.compose.places import Map, Place, Seq, kind
from pipeline.compose.ports import Published, exposed_ports, ports_of
from pipeline.compose.view import View, is_scalar
from pipeline.compose.volumes import Mounts, VolumeReader
from pipeline.config.container_values import ImageName

_IMAGE: TypeAdapter[str] = TypeAdapter(ImageName)
COMPLETED = "service_completed_successfully"
_CONDITIONS = frozenset({"service_started", "service_healthy", COMPLETED})
_DATABASES = re.compile(
    r"(?:^|[/_-])(?:postgres(?:ql)?|postgis|pgvector|timescaledb(?:-ha)?|mysql(?:-server)?|mariadb|percona|redis(?:-stack(?:-server)?)?|"
    r"valkey|keydb|dragonfly|mongo(?:db)?(?:-community-server)?|rabbitmq|memcached|elasticsearch|opensearch|minio|"
    r"cassandra|scylla|couchdb|clickhouse(?:-server)?|influxdb|neo4j|nats|kafka|zookeeper|meilisearch|typesense|qdrant|"
    r"weaviate|chroma|milvus|etcd|consul|vault|solr|cockroach|arangodb|rethinkdb|mosquitto|emqx|"
    r"activemq(?:-artemis)?|localstack|rustfs|garage|seaweedfs|surrealdb|edgedb|questdb|victoria-metrics)$"
)
_PROXY = re.compile(r"(?:^|[/_-])(?:nginx(?:-proxy|-unprivileged)?|traefik|caddy|haproxy|envoy|nginx-proxy-manager)$")
_PROXY_NAME = re.compile(r"(?:^|[/_-])(?:nginx|traefik|caddy|haproxy|(?:reverse[_-]?)?proxy)(?:$|[_-])")


@dataclass(frozen=True)
class BuildKey:
    """What makes two builds the same image."""

    context: str
    dockerfile: str
    target: str
    args: tuple[tuple[str, str], ...]


@dataclass
class ComposeService:
    """A service with the parts by which its role is chosen. `depends_on` maps to the conditions."""

    name: str
    view: View
    image: str | None
    build: BuildKey | None
    ports: list[Published]
    exposed: list[int]
    check: Check | None
    depends_on: dict[str, str]
    mounts: Mounts = field(default_factory=Mounts)
    builder: View | None = None
    """The service whose `build` makes its image."""

    @property
    def repository(self) -> str:
        """The image's name without registry, version and digest."""
        plain = self.view.variables.resolve(
            str(self.view.data.get("image") or ""), self.place, self.view.where("image")
        )
        last = plain.partition("@")[0].rpartition("/")
        return f"{last[0]}/{last[2].partition(':')[0]}".lstrip("/").lower()

    @property
    def place(self) -> Place:
        """The place of the service."""
        return self.view.data.place

    @property
    def is_database(self) -> bool:
        """True if its image is that of a known database, cache or queue."""
        last = self.repository.rpartition("/")[2]
        return not self.build and (bool(_DATABASES.search(last)) or self.repository.endswith("mssql/server"))

    @property
    def is_proxy(self) -> bool:
        """True if it is a reverse proxy, by its image, or by its name if it is built."""
        if self.build:
            context = posixpath.basename(self.build.context)
            return bool(_PROXY_NAME.search(self.name.lower()) or _PROXY_NAME.search(context.lower()))
        return bool(_PROXY.search(self.repository))

    @property
    def restart(self) -> str:
        """Its restart policy, empty if none is set."""
        return str(self.view.text("restart") or "")


def service_of(name: str, view: View, volumes: VolumeReader) -> ComposeService:
    """Return a service. Mistakes are in the view's report."""
    build = _build_key(view)
    image = view.reference("image")
    if view.data.get("build") is None and view.data.get("image") in (None, ""):
        hint = "a file that overrides another one is a further FILE: compose.yaml override.yaml"
        view.report.mistake(view.data.place, view.path, "must have an image or a build", hint)
    _check_image(view)
    service = ComposeService(
        name, view, image, build, ports_of(view), exposed_ports(view), check_of(view), _dependencies(view)
    )
    service.builder = view if build else None
    service.mounts = volumes.read(view, is_built=build is not None)
    return service


def _check_image(view: View) -> None:
    text = view.text("image") if view.data.get("image") is not None else None
    if text is None:
        return
    try:
        _IMAGE.validate_python(text)
    except ValidationError:
        view.mistake("image", f"must be the name of an image, got {text!r}", view.hint("image"))


def _build_key(view: View) -> BuildKey | None:
    value = view.data.get("build")
    if value is None:
        return None
    if isinstance(value, str):
        return BuildKey(view.text("build") or ".", "Dockerfile", "", ())
    build = view.view("build")
    if build is None:
        return None
    args = tuple((name, text or "") for name, text, _ in build.pairs("args"))
    return BuildKey(
        build.text("context") or ".", build.text("dockerfile") or "Dockerfile", build.text("target") or "", args
    )


def _dependencies(view: View) -> dict[str, str]:
    """Return the services that a service depends on, each with its condition."""
    value = view.data.get("depends_on")
    found: dict[str, str] = {}
    if isinstance(value, Map):
        found = {name: _condition(view, name, options, place) for name, options, place in value.entries()}
    elif isinstance(value, Seq):
        for item in value:
            if is_scalar(item):
                found[str(item)] = "service_started"
            else:
                view.mistake("depends_on", f"must be names of services, got {kind(item)}")
    elif value is not None:
        view.mistake("depends_on", f"must be a list or a mapping, got {kind(value)}")
    for link in view.texts("links"):
        name, _, alias = link.partition(":")
        found.setdefault(name, "service_started")
        if alias not in ("", name):
            view.left_out("links", f"the name {alias} does not exist in the pipeline's network; use {name}")
    return found


def _condition(view: View, name: str, options: Any, place: Place) -> str:
    path = f"{view.where('depends_on')}.{name}"
    if options is not None and not isinstance(options, Map):
        view.report.mistake(place, path, f"must be a mapping, got {kind(options)}")
    condition = options.get("condition") if isinstance(options, Map) else None
    if condition is not None and (not isinstance(condition, str) or condition not in _CONDITIONS):
        known = ", ".join(sorted(_CONDITIONS))
        view.report.mistake(place, path, f"must have one of the conditions {known}, got {kind(condition)}")
    return str(condition or "service_started")
