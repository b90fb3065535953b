"""The reference page with every key of pipeline.yaml, generated from the models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.alarms.condition import (
    CommandCondition,
    CountCondition,
    PromqlCondition,
    RatioCondition,
    ResponseTimeCondition,
)
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.balancer.model import (
    Action,
    ApplicationTargetGroup,
    Condition,
    FixedResponse,
    Forward,
    GatewayListener,
    GatewayLoadBalancer,
    GatewayTargetGroup,
    HealthCheck,
    Listener,
    LoadBalancer,
    NetworkListener,
    NetworkLoadBalancer,
    NetworkTargetGroup,
    Redirect,
    Rule,
)
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.balancer.model.alternate_group import HeaderMatch, TestTraffic
from pipeline.balancer.model.application.action import GroupStickiness, WeightedTargetGroup
from pipeline.balancer.model.application.attributes import (
    ApplicationGroupAttributes,
    ListenerAttributes,
    LoadBalancerAttributes,
)
from pipeline.balancer.model.application.condition import (
    HostHeader,
    HttpHeader,
    HttpRequestMethod,
    PathPattern,
    QueryString,
    QueryStringValue,
    SourceIp,
)
from pipeline.balancer.model.application.jwt import Claim, JwtValidation
from pipeline.balancer.model.application.rule import Rewrite, Transforms
from pipeline.balancer.model.endpoint import Zone
from pipeline.balancer.model.gateway.attached_network import AttachedNetwork
from pipeline.balancer.model.gateway.attributes import (
    GatewayGroupAttributes,
    GatewayListenerAttributes,
    GatewayLoadBalancerAttributes,
)
from pipeline.balancer.model.gateway.endpoint_service import EndpointService
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpoint
from pipeline.balancer.model.network.attributes import (
    NetworkGroupAttributes,
    NetworkListenerAttributes,
    NetworkLoadBalancerAttributes,
)
from pipeline.balancer.model.tls import Certificate, MutualAuthentication
from pipeline.base.quantity import Amount, Duration, Percentage, Size, format_duration, format_percentage, format_size
from pipeline.base.schema import Shorthand, is_hidden
from pipeline.config.accessory import Accessory, Backup, Restore
from pipeline.config.circuit_breaker import CircuitBreaker
from pipeline.config.container_log import ContainerLog
from pipeline.config.deploy import OF_RELEASE, Deploy, Service
from pipeline.config.deploy_hosts import DeployHost
from pipeline.config.gpus import GpuRequest
from pipeline.config.hooks import Hook, Hooks, HttpCall
from pipeline.config.job import OF_JOB
from pipeline.config.joined_networks import Membership
from pipeline.config.logging_driver import Logging
from pipeline.config.mirror import Mirror
from pipeline.config.models import Build, Parameter, Pipeline, SecretSource, Source
from pipeline.config.on_drain import OnDrain
from pipeline.config.reporters import reporter_types
from pipeline.config.retention import Retention
from pipeline.config.service import Rolling, ServiceHealthCheck
from pipeline.config.stages import stage_options
from pipeline.config.steps import Approval, Readiness, ReleaseCommand, Retry, Tests, TestService
from pipeline.config.strategy import (
    AllAtOnceStrategy,
    BlueGreenStrategy,
    CanaryStrategy,
    LinearStrategy,
    RollingStrategy,
)
from pipeline.config.triggers import ScheduledRun, Triggers, WebhookTrigger
from pipeline.config.ulimits import UlimitRange
from pipeline.event_kinds import EventKind
from pipeline.scaling.policy import ScalingPolicy, ScalingTarget, ScheduledAction

_FORMATS: dict[str, Callable[[Any], str | None]] = {"size": format_size, "percentage": format_percentage}
_CONDITION = "deploy.rollback_on.conditions[]"
_LISTENER = "balancer.load_balancers.NAME.listeners[]"
_NETWORK, _OF_NETWORK = "type: network", "protocol: TCP"
_GATEWAY, _OF_GATEWAY = "type: gateway", "protocol: GENEVE"
# Inherited fields that a section refuses.
_HIDDEN: dict[type[BaseModel], Collection[str]] = {Service: OF_RELEASE, Deploy: OF_JOB}
_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", Pipeline),
    ("parameters.NAME", Parameter),
    ("secrets", SecretSource),
    ("source", Source),
    ("triggers", Triggers),
    ("triggers.schedule[]", ScheduledRun),
    ("triggers.webhooks.FORGE", WebhookTrigger),
    ("build", Build),
    ("build.test", Tests),
    ("build.test.retry", Retry),
    ("build.test.services.HOST", TestService),
    ("build.test.services.HOST.readiness", Readiness),
    ("deploy", Deploy),
    ("deploy.hosts[]", DeployHost),
    ("deploy.services.NAME", Service),
    ("deploy.strategy, type: rolling", RollingStrategy),
    ("deploy.strategy, type: blue_green", BlueGreenStrategy),
    ("deploy.strategy, type: canary", CanaryStrategy),
    ("deploy.strategy, type: linear", LinearStrategy),
    ("deploy.strategy, type: all_at_once", AllAtOnceStrategy),
    ("deploy.strategy.test_traffic", TestTraffic),
    ("deploy.strategy.test_traffic.header", HeaderMatch),
    ("deploy.strategy.mirror", Mirror),
    ("deploy.rollback_on", RollbackOn),
    (f"{_CONDITION}, metric: http_5xx_ratio", RatioCondition),
    (f"{_CONDITION}, metric: response_time", ResponseTimeCondition),
    (f"{_CONDITION}, metric: restarts", CountCondition),
    (f"{_CONDITION}, command", CommandCondition),
    (f"{_CONDITION}, promql", PromqlCondition),
    ("deploy.rolling", Rolling),
    ("deploy.scaling", ScalingPolicy),
    ("deploy.scaling.target", ScalingTarget),
    ("deploy.scaling.schedule[]", ScheduledAction),
    ("deploy.health_check", ServiceHealthCheck),
    ("deploy.log", ContainerLog),
    ("deploy.logging", Logging),
    ("deploy.ulimits.NAME", UlimitRange),
    ("deploy.gpus[]", GpuRequest),
    ("deploy.networks.NAME", Membership),
    ("deploy.circuit_breaker", CircuitBreaker),
    ("deploy.hooks", Hooks),
    ("deploy.hooks.EVENT[]", Hook),
    ("deploy.hooks.EVENT[].http", HttpCall),
    ("deploy.on_drain", OnDrain),
    ("deploy.approval", Approval),
    ("deploy.release_command", ReleaseCommand),
    ("accessories.NAME", Accessory),
    ("accessories.NAME.backup", Backup),
    ("accessories.NAME.restore", Restore),
    ("retention", Retention),
    ("balancer.target_groups.NAME", ApplicationTargetGroup),
    ("balancer.target_groups.NAME.health_check", HealthCheck),
    ("balancer.target_groups.NAME.attributes", ApplicationGroupAttributes),
    ("balancer.load_balancers.NAME", LoadBalancer),
    ("balancer.load_balancers.NAME.zones.ZONE", Zone),
    ("balancer.load_balancers.NAME.attributes", LoadBalancerAttributes),
    (_LISTENER, Listener),
    (f"{_LISTENER}.attributes", ListenerAttributes),
    (f"{_LISTENER}.certificates[]", Certificate),
    (f"{_LISTENER}.certificates[].acme", AcmeCertificate),
    (f"{_LISTENER}.mutual_authentication", MutualAuthentication),
    (f"{_LISTENER}.rules[]", Rule),
    (f"balancer.target_groups.NAME, {_OF_NETWORK}", NetworkTargetGroup),
    (f"balancer.target_groups.NAME.attributes, {_OF_NETWORK}", NetworkGroupAttributes),
    (f"balancer.load_balancers.NAME, {_NETWORK}", NetworkLoadBalancer),
    (f"balancer.load_balancers.NAME.attributes, {_NETWORK}", NetworkLoadBalancerAttributes),
    (f"{_LISTENER}, {_NETWORK}", NetworkListener),
    (f"{_LISTENER}.attributes, {_NETWORK}", NetworkListenerAttributes),
    (f"balancer.target_groups.NAME, {_OF_GATEWAY}", GatewayTargetGroup),
    (f"balancer.target_groups.NAME.attributes, {_OF_GATEWAY}", GatewayGroupAttributes),
    (f"balancer.load_balancers.NAME, {_GATEWAY}", GatewayLoadBalancer),
    (f"balancer.load_balancers.NAME.attributes, {_GATEWAY}", GatewayLoadBalancerAttributes),
    (f"{_LISTENER}, {_GATEWAY}", GatewayListener),
    (f"{_LISTENER}.attributes, {_GATEWAY}", GatewayListenerAttributes),
    ("balancer.endpoint_services.NAME", EndpointService),
    ("balancer.endpoints.NAME", GatewayEndpoint),
    ("balancer.endpoints.NAME.networks.NETWORK", AttachedNetwork),
    ("CONDITION", Condition),
    ("CONDITION.host_header", HostHeader),
    ("CONDITION.path_pattern", PathPattern),
    ("CONDITION.http_header", HttpHeader),
    ("CONDITION.http_request_method", HttpRequestMethod),
    ("CONDITION.query_string", QueryString),
    ("CONDITION.query_string.values[]", QueryStringValue),
    ("CONDITION.source_ip", SourceIp),
    ("TRANSFORMS", Transforms),
    ("TRANSFORMS.host_header_rewrite", Rewrite),
    ("ACTION", Action),
    ("ACTION.forward", Forward),
    ("ACTION.forward.target_groups[]", WeightedTargetGroup),
    ("ACTION.forward.stickiness", GroupStickiness),
    ("ACTION.redirect", Redirect),
    ("ACTION.fixed_response", FixedResponse),
    ("ACTION.jwt_validation", JwtValidation),
    ("ACTION.jwt_validation.additional_claims[]", Claim),
)

_INTRODUCTION = """\
# pipeline.yaml

Every key with its type, default and meaning. `pipeline schema --reference` generates this page from the models.
`pipeline schema` prints them as JSON Schema for editors.

Values may contain references, which are resolved when the file is read:

| reference | value |
|---|---|
| `${name}` | the parameter `name`; keeps its type if it is the whole value |
| `${env:NAME}`, `${env:NAME:-default}` | an environment variable of the command |
| `${secret:NAME}` | a secret from the environment or from `secrets`, in [some places](configuration.md#secrets) only |
| `$${` | a literal `${` |

A duration is written as `500ms`, `30s`, `2m`, `1h`, or as a sum such as `1m30s`. A size is written as `256MiB`,
`512m` or `1.5g`; as in Docker, all units are binary. A key without a value has its default. A key that is not listed
here is an error.
"""

_EVENTS = """\
# Events

Every event kind of `pipeline events`, `--json`, the control API and webhooks, with its fields. Each event also has
`at`, `pipeline`, `run` and `message`. Compare kinds and fields, never messages.
"""


def reference_page() -> str:
    """Return the page as Markdown."""
    reporters = ((f"reporters.NAME, type: {name}", model) for name, model in reporter_types().items())
    stages = ((f"{section}.with, uses: {name}", model) for section, name, model in stage_options())
    sections = "".join(_section(path, model) for path, model in (*_SECTIONS, *stages, *reporters))
    return _INTRODUCTION + sections + _events()


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"`{path}`" if path else "The whole file"
    # The model of a plug-in may lack a docstring.
    summary = (model.__doc__ or "").strip().partition("\n")[0] or "Options."
    shorthand = (
        f" If only `{model.shorthand}` is set, its value may be written alone." if issubclass(model, Shorthand) else ""
    )
    lines = ["", f"## {title}", "", summary + shorthand, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    hidden = _HIDDEN.get(model, ())
    shown = {name: field for name, field in model.model_fields.items() if name not in hidden and not is_hidden(field)}
    lines += [_row(field.alias or name, field) for name, field in shown.items()]
    return "\n".join(lines) + "\n"


def _events() -> str:
    rows = [
        f"| `{kind}` | {', '.join(f'`{name}`' for name in sorted(kind.fields))} | {kind.description} |"
        for kind in EventKind
    ]
    return "\n".join(["", _EVENTS, "| kind | fields | emitted when |", "|---|---|---|", *rows]) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    kind = _kind(field.annotation, field.metadata)
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if value is not None and kind in _FORMATS:
        value = _FORMATS[kind](value)
    default = "**required**" if field.is_required() else _default(value)
    return f"| `{name}` | {kind} | {default} | {field.description} |"


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, tuple):
        return f"`{', '.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(annotation: Any, metadata: list[Any]) -> str:
    kinds = ((Duration, "duration"), (Size, "size"), (Amount, "amount"), (Percentage, "percentage"))
    named = {repr(get_args(alias)[1]): word for alias, word in kinds}
    for item in metadata:
        if repr(item) in named:
            return named[repr(item)]
    return " or ".join(dict.fromkeys(_words(annotation))) + _range(metadata)


def _range(metadata: list[Any]) -> str:
    least = next((item.ge for item in metadata if isinstance(item, Ge)), None)
    most = next((item.le for item in metadata if isinstance(item, Le)), None)
    if least is None:
        return ""
    return f", {least} to {most}" if most is not None else f", from {least}"


def _words(annotation: Any) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield _kind(arguments[0], list(arguments[1:]))
    elif origin is Literal:
        yield " ".join(f"`{str(word).lower() if isinstance(word, bool) else word}`" for word in arguments)
    elif origin in (Union, UnionType):
        for argument in arguments:
            if argument is not type(None):
                yield from _words(argument)
    elif origin is dict:
        yield "mapping"
    elif origin is tuple:
        yield "list"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "section"
    else:
        names = {str: "text", int: "number", float: "number", bool: "true or false", timedelta: "duration"}
        names |= {IPv4Address: "IPv4 address", IPv6Address: "IPv6 address"}
        names |= {IPv4Network: "IPv4 network", IPv6Network: "IPv6 network"}
        yield names.get(annotation, str(annotation))
