"""Listeners: create, describe, modify, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.actions import kept_actions, parse_actions, shown_actions
from pipeline.balancer.elbv2.api import Api, checked
from pipeline.balancer.elbv2.certificates import default_certificate
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.load_balancers import listener_ids
from pipeline.balancer.elbv2.pages import page
from pipeline.balancer.elbv2.ssl_policies import check_policy
from pipeline.balancer.elbv2.view import View, created_key
from pipeline.balancer.model import Action
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.gateway.listener import NO_PORT, GatewayListenerSettings
from pipeline.balancer.model.network.listener import NetworkListenerSettings
from pipeline.balancer.model.protocol import GENEVE, transports
from pipeline.balancer.model.variants import AnyListenerSettings
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import CertificateResource, ListenerResource, LoadBalancerResource

Result = Mapping[str, Any]
DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"
"""The policy of a listener for which none is given, as in AWS."""
_PROTOCOLS = {"application": ("HTTP", "HTTPS"), "network": ("UDP", "TCP", "TLS", "TCP_UDP"), "gateway": (GENEVE,)}
_NO_TARGET = Action.model_validate({"fixed_response": {"status_code": "503"}})
_SECURE = ("HTTPS", "TLS")
_NO_TRUST_STORES = "there are no trust stores; declare the listener in pipeline.yaml to verify clients' certificates"


def create_listener(api: Api, call: Call) -> Result:
    """CreateListener. It accepts connections when this returns. The same call again returns what it made."""
    kind = api.view(call).load_balancer(call.parameters["LoadBalancerArn"]).settings.type
    given = _with_place(call.parameters, kind)
    fields = api.new(call, actions=kept_actions(given["DefaultActions"]))
    _check_protocol(kind, given["Protocol"])
    if given["Protocol"] in _SECURE and not given.get("Certificates"):
        raise AwsError("ValidationError", f"A certificate must be specified for {given['Protocol']} listeners")
    certificate = default_certificate(api, call, given.get("Certificates", ()), given["Protocol"] in _SECURE)

    def change(view: View) -> Registry:
        balancer = view.changeable(view.load_balancer(given["LoadBalancerArn"]))
        made = ListenerResource(**fields, load_balancer=balancer.id, settings=_settings(view, given))
        if same := _on_port(view, balancer, made):
            _check_same(view, same, made, certificate)
            return view.registry
        check_limit(LIMITS.listeners, len(view.listeners(balancer)))
        found = [CertificateResource(**certificate, listener=made.id)] if certificate else []
        return view.registry.put(made, *found)

    view = api.change(call, change)
    balancer = view.load_balancer(given["LoadBalancerArn"])
    listeners = [one for one in view.listeners(balancer) if one.settings.port == given["Port"]]
    found = next((one for one in listeners if one.id == fields["id"]), listeners[0])
    return {"Listeners": [shown_listener(view, found)]}


def _with_place(given: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return parameters with a port and a protocol, which the listener of a gateway load balancer must not have."""
    for name, noun in (("Port", "port"), ("Protocol", "protocol")):
        if kind == "gateway" and name in given:
            raise AwsError("ValidationError", f"A {noun} cannot be specified for gateway listeners")
        if kind != "gateway" and name not in given:
            raise AwsError("ValidationError", f"A listener {noun} must be specified")
    return {**given, "Port": NO_PORT, "Protocol": GENEVE} if kind == "gateway" else given


def _check_protocol(kind: str, protocol: str) -> None:
    known = _PROTOCOLS[kind]
    if protocol not in known:
        names = ", ".join(known)
        raise AwsError("ValidationError", f"Listener protocol '{protocol}' must be one of '{names}'")


def _settings(view: View, given: Mapping[str, Any]) -> AnyListenerSettings:
    protocol = given["Protocol"]
    settings: dict[str, Any] = {
        "protocol": protocol,
        "port": given["Port"],
        "default_action": _default_action(view, protocol, given["DefaultActions"]),
    }
    if protocol in _SECURE:
        settings["ssl_policy"] = check_policy(given.get("SslPolicy", DEFAULT_POLICY))
    elif "SslPolicy" in given:
        raise AwsError("ValidationError", f"An SSL policy cannot be specified for listeners of protocol {protocol}")
    return _model(protocol, settings | _alpn(given, protocol) | _mutual(given, protocol))


def _default_action(view: View, protocol: str, given: Sequence[Mapping[str, Any]]) -> Action:
    """Return a default action. Without one, there is no target, and ELB's answer to that is 503."""
    if not given and protocol in _PROTOCOLS["application"]:
        return _NO_TARGET
    return parse_actions(view, given)


def _model(protocol: str, settings: Mapping[str, Any]) -> AnyListenerSettings:
    if protocol == GENEVE:
        return checked(GatewayListenerSettings, {name: value for name, value in settings.items() if name != "port"})
    if protocol in _PROTOCOLS["application"]:
        return checked(ListenerSettings, settings)
    return checked(NetworkListenerSettings, settings)


def _alpn(given: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    policies = given.get("AlpnPolicy")
    if not policies:
        return {}
    if protocol != "TLS" or len(policies) > 1:
        raise AwsError("InvalidConfigurationRequest", "Only a TLS listener has an ALPN policy, and exactly one")
    return {"alpn_policy": policies[0]}


def _mutual(given: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    mutual = given.get("MutualAuthentication")
    if mutual is None:
        return {}
    mode = mutual.get("Mode", "off")
    if mode == "verify":
        raise AwsError("TrustStoreNotFound", f"Mutual authentication cannot verify: {_NO_TRUST_STORES}")
    if mode not in ("off", "passthrough"):
        raise AwsError(
            "ValidationError", f"Mutual authentication mode '{mode}' must be one of 'off, passthrough, verify'"
        )
    if mode == "passthrough" and protocol != "HTTPS":
        raise AwsError("InvalidConfigurationRequest", "Mutual authentication needs an HTTPS listener")
    return {"mutual_authentication": {"mode": mode} if mode == "passthrough" else None}


def _on_port(view: View, balancer: LoadBalancerResource, made: ListenerResource) -> ListenerResource | None:
    """Return another listener of the load balancer that accepts the same traffic."""
    if isinstance(made.settings, GatewayListenerSettings):
        return next((one for one in view.listeners(balancer) if one.id != made.id), None)
    wanted = transports(made.settings.protocol)
    known = (one for one in view.listeners(balancer) if one.settings.port == made.settings.port)
    return next((one for one in known if one.id != made.id and transports(one.settings.protocol) & wanted), None)


def _check_same(view: View, known: ListenerResource, made: ListenerResource, certificate: Any) -> None:
    """Check that a listener was created by the same call. Attributes may have changed since."""
    names = made.settings.model_fields_set - {"attributes"}
    same = all(getattr(known.settings, name) == getattr(made.settings, name) for name in names)
    arns = [view.arn(one) for one in view.certificates(known) if one.position == 0]
    if not same and isinstance(made.settings, GatewayListenerSettings):
        check_limit(LIMITS.gateway_listeners, 1)
    if not (same and arns == ([certificate["kept"]["arn"]] if certificate else [])):
        arn = view.arn(view.balancer_of(known))
        raise AwsError("DuplicateListener", f"A listener already exists on this port for this load balancer '{arn}'")


def describe_listeners(api: Api, call: Call) -> Result:
    """DescribeListeners: those of a load balancer, or those named."""
    view, given = api.view(call), call.parameters
    if arns := given.get("ListenerArns"):
        found = [view.listener(arn) for arn in arns]
    elif "LoadBalancerArn" in given:
        found = view.listeners(view.load_balancer(given["LoadBalancerArn"]))
    else:
        raise AwsError("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
    shown, more = page(sorted(found, key=created_key), given, created_key)
    return {"Listeners": [shown_listener(view, one) for one in shown], **more}


def modify_listener(api: Api, call: Call) -> Result:
    """ModifyListener."""
    given, arn = call.parameters, call.parameters["ListenerArn"]
    known = api.view(call).listener(arn)
    protocol = given.get("Protocol", known.settings.protocol or "HTTP")
    if isinstance(known.settings, GatewayListenerSettings):
        _with_place(given, "gateway")
    elif protocol not in (*_PROTOCOLS["application"], *_PROTOCOLS["network"]):
        raise AwsError("UnsupportedProtocol", f"Protocol {protocol} is not supported")
    certificate = None
    # A listener that becomes one without TLS loses its certificates.
    if "Certificates" in given or (protocol in _SECURE and not known.settings.secure):
        certificate = default_certificate(api, call, given.get("Certificates", ()), protocol in _SECURE)

    def change(view: View) -> Registry:
        return _modified(view, view.changeable(view.listener(arn)), given, certificate)

    view = api.change(call, change)
    return {"Listeners": [shown_listener(view, view.listener(arn))]}


def _modified(view: View, known: ListenerResource, given: Mapping[str, Any], certificate: Any) -> Registry:
    settings, balancer = known.settings, view.balancer_of(known)
    protocol = given.get("Protocol", settings.protocol or "HTTP")
    _check_protocol(balancer.settings.type, protocol)
    values: dict[str, Any] = {name: getattr(settings, name) for name in settings.model_fields_set}
    kept = dict(known.kept)
    values |= {"protocol": protocol, "port": given.get("Port", settings.port)}
    if "DefaultActions" in given:
        values["default_action"] = _default_action(view, protocol, given["DefaultActions"])
        kept["actions"] = kept_actions(given["DefaultActions"])
    if protocol in _SECURE:
        policy = given.get("SslPolicy") or getattr(settings, "ssl_policy", None) or DEFAULT_POLICY
        values["ssl_policy"] = check_policy(policy)
    else:
        for name in ("ssl_policy", "alpn_policy", "mutual_authentication"):
            values.pop(name, None)
    values |= _alpn(given, protocol) | _mutual(given, protocol)
    changed = known.model_copy(update={"settings": _model(protocol, values), "kept": kept})
    if _on_port(view, balancer, changed):
        arn = view.arn(balancer)
        raise AwsError("DuplicateListener", f"A listener already exists on this port for this load balancer '{arn}'")
    return _with_certificate(view, changed, certificate)


def _with_certificate(view: View, changed: ListenerResource, certificate: Any) -> Registry:
    """Return the registry with a changed listener, and its default certificate replaced if there is another one."""
    known = view.certificates(changed)
    gone = [one.id for one in known if not changed.settings.secure or (certificate and one.position == 0)]
    registry = view.registry.without(*gone)
    found = [CertificateResource(**certificate, listener=changed.id)] if certificate else []
    return registry.put(changed, *found)


def delete_listener(api: Api, call: Call) -> Result:
    """DeleteListener, with its rules."""

    def change(view: View) -> Registry:
        found = view.changeable(view.listener(call.parameters["ListenerArn"]))
        return view.registry.drop(*listener_ids(view, found))

    api.change(call, change)
    return {}


def shown_listener(view: View, found: ListenerResource) -> Result:
    """Return a listener in AWS's shape."""
    settings, balancer = found.settings, view.balancer_of(found)
    protocol = settings.protocol or "HTTP"
    action = settings.default_action
    shown: dict[str, Any] = {
        "ListenerArn": view.arn(found),
        "LoadBalancerArn": view.arn(balancer),
        "DefaultActions": shown_actions(view, action, found.kept.get("actions")) if action else [],
    }
    if isinstance(settings, GatewayListenerSettings):
        return shown
    shown |= {"Port": settings.port, "Protocol": protocol}
    if settings.secure:
        default = [one for one in view.certificates(found) if one.position == 0]
        shown["Certificates"] = [{"CertificateArn": view.arn(one)} for one in default]
        shown["SslPolicy"] = check_policy(settings.ssl_policy)
    if isinstance(settings, NetworkListenerSettings) and settings.alpn_policy:
        shown["AlpnPolicy"] = [settings.alpn_policy]
    if isinstance(settings, ListenerSettings) and settings.secure:
        mutual = settings.mutual_authentication
        shown["MutualAuthentication"] = {"Mode": mutual.mode if mutual else "off"}
    return shown
