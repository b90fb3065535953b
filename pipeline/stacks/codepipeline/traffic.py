"""The section `balancer`, from the target group of a service and the listeners that forward to it."""

from __future__ import annotations

import re
from typing import Any

from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import Resource, Resources, members, objects, text_of, texts
from pipeline.stacks.codepipeline.service import Service
from pipeline.stacks.template import JSON

_TYPE = "AWS::ElasticLoadBalancingV2::"
_MAX_NAME = 32
_PORT = 8000
_CHECK = {
    "HealthCheckProtocol": "protocol",
    "HealthCheckPath": "path",
    "HealthCheckIntervalSeconds": "interval",
    "HealthCheckTimeoutSeconds": "timeout",
    "HealthyThresholdCount": "healthy_threshold",
    "UnhealthyThresholdCount": "unhealthy_threshold",
}
_SECONDS = ("interval", "timeout")
_DELAY = "deregistration_delay.timeout_seconds"
# Attributes of target groups that pipeline.yaml has by the same key.
_ATTRIBUTES = ("stickiness.", "load_balancing.", "slow_start.", "target_group_health.")
_CONDITIONS = {
    "path-pattern": ("path_pattern", "PathPatternConfig"),
    "host-header": ("host_header", "HostHeaderConfig"),
}


def short_name(text: str, default: str) -> str:
    """Return a name for pipeline.yaml: letters, digits and hyphens."""
    return re.sub("[^A-Za-z0-9]+", "-", text)[:_MAX_NAME].strip("-").lower() or default


class Traffic:
    """The section `balancer` as it is made."""

    def __init__(self, service: Service, resources: Resources, notes: Notes) -> None:
        self._resources = resources
        self._notes = notes
        self._port = service.port
        found = resources.referred(service.target_group, f"{_TYPE}TargetGroup", "Name")
        groups = resources.of_type(f"{_TYPE}TargetGroup")
        self._group = groups[0] if found is None and len(groups) == 1 else found
        self.group_name = short_name(self._group.name, "web") if self._group else "web"

    def section(self) -> dict[str, Any]:
        """Return the section."""
        return {"target_groups": {self.group_name: self._target_group()}, "load_balancers": self._load_balancers()}

    def _target_group(self) -> dict[str, Any]:
        if self._group is None:
            self._notes.add("the target group is in no given template: its health check has the defaults")
            return {"port": self._port}
        found: dict[str, Any] = {"protocol": self._group.text("Protocol", "HTTP"), "port": self._port}
        check: dict[str, Any] = {}
        for key, name in _CHECK.items():
            if text := self._group.text(key):
                check[name] = f"{text}s" if name in _SECONDS else int(text) if text.isdecimal() else text
        if codes := text_of(members(self._group.properties.get("Matcher")).get("HttpCode")):
            check["matcher"] = codes
        if check:
            found["health_check"] = check
        self._attributes(found)
        return found

    def _attributes(self, found: dict[str, Any]) -> None:
        assert self._group is not None
        for attribute in objects(self._group.properties.get("TargetGroupAttributes")):
            key, value = text_of(attribute.get("Key")), text_of(attribute.get("Value"))
            if key == _DELAY:
                found["deregistration_delay"] = f"{value}s"
            elif key.startswith(_ATTRIBUTES):
                booleans: dict[str, Any] = {"true": True, "false": False}
                number = int(value) if value.isdecimal() else value
                found.setdefault("attributes", {})[key] = booleans.get(value, number)
            else:
                self._notes.add(f"the attribute {key} of the target group is left out")

    def _load_balancers(self) -> dict[str, Any]:
        """Return the load balancers with the listeners that forward to the target group, by their names."""
        found: dict[str, Any] = {}
        for listener in self._resources.of_type(f"{_TYPE}Listener"):
            rules = [
                rule
                for rule in self._resources.of_type(f"{_TYPE}ListenerRule")
                if self._resources.referred(rule.properties.get("ListenerArn"), listener.type, "") == listener
                and self._forwards(rule.properties.get("Actions"))
            ]
            default = self._forwards(listener.properties.get("DefaultActions"))
            redirect = self._redirect(listener)
            if not default and not rules and redirect is None:
                continue
            balancer = self._resources.referred(
                listener.properties.get("LoadBalancerArn"), f"{_TYPE}LoadBalancer", "Name"
            )
            name = short_name(balancer.name, "edge") if balancer else "edge"
            kind = balancer.text("Type", "application") if balancer else "application"
            entry = found.setdefault(name, {"type": kind, "listeners": []})
            entry["listeners"].append(self._listener(listener, rules, default=default, redirect=redirect))
        if not any(self._is_forwarding(entry) for entry in found.values()):
            self._notes.add(f"no listener of a given template forwards to it: HTTP on port {_PORT} is assumed")
            assumed = {"port": _PORT, "default_action": {"forward": self.group_name}}
            return {"edge": {"listeners": [assumed]}}
        return found

    def _is_forwarding(self, entry: dict[str, Any]) -> bool:
        return any("rules" in one or "forward" in one["default_action"] for one in entry["listeners"])

    def _forwards(self, actions: JSON) -> bool:
        """Return whether actions forward to the target group."""
        for action in objects(actions):
            groups = objects(members(action.get("ForwardConfig")).get("TargetGroups"))
            arns = [action.get("TargetGroupArn"), *(group.get("TargetGroupArn") for group in groups)]
            if self._group is not None and any(
                self._resources.referred(arn, self._group.type, "Name") == self._group for arn in arns
            ):
                return True
        return False

    def _redirect(self, listener: Resource) -> dict[str, str] | None:
        for action in objects(listener.properties.get("DefaultActions")):
            if given := members(action.get("RedirectConfig")):
                return {re.sub("(?<!^)([A-Z])", r"_\1", key).lower(): text_of(value) for key, value in given.items()}
        return None

    def _listener(
        self, listener: Resource, rules: list[Resource], *, default: bool, redirect: dict[str, str] | None
    ) -> dict[str, Any]:
        port = listener.text("Port")
        found: dict[str, Any] = {
            "protocol": listener.text("Protocol", "HTTP"),
            "port": int(port) if port.isdecimal() else _PORT,
        }
        if not port.isdecimal():
            self._notes.add(f"the port {port} of {listener.name} is not known: {_PORT} is assumed")
        if found["protocol"] in ("HTTPS", "TLS"):
            files = {"certificate": f"certificates/{port}.pem", "private_key": f"certificates/{port}.key"}
            found["certificates"] = [files]
            self._notes.add(
                f"listener {port}: write its certificate and key into {files['certificate']} and {files['private_key']}"
            )
        if default:
            found["default_action"] = {"forward": self.group_name}
        elif redirect is not None:
            found["default_action"] = {"redirect": redirect}
        else:
            found["default_action"] = {"fixed_response": {"status_code": "404"}}
            self._notes.add(f"listener {port}: its default action is for another service, and becomes a 404")
        if made := [one for rule in rules if (one := self._rule(rule))]:
            found["rules"] = made
        return found

    def _rule(self, rule: Resource) -> dict[str, Any] | None:
        conditions: list[dict[str, Any]] = []
        for condition in objects(rule.properties.get("Conditions")):
            field = text_of(condition.get("Field"))
            name, config = _CONDITIONS.get(field, ("", ""))
            values = texts(condition.get("Values")) or texts(members(condition.get(config)).get("Values"))
            if not name or not values:
                self._notes.add(f"the rule {rule.name} is left out: its condition {field} is not carried over")
                return None
            conditions.append({name: values})
        priority = rule.text("Priority")
        if not priority.isdecimal() or not conditions:
            self._notes.add(f"the rule {rule.name} is left out: its priority or its conditions are not known")
            return None
        return {"priority": int(priority), "conditions": conditions, "action": {"forward": self.group_name}}
