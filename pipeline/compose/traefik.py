"""The routes in the labels of Traefik."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.compose.service import ComposeService
from pipeline.compose.view import View

_RULE = re.compile(r"traefik\.http\.routers\.([^.]+)\.rule", re.IGNORECASE)
_PORT = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port", re.IGNORECASE)
_MATCHER = re.compile(r"(Host|PathPrefix|Path)\(((?:[`'\"][^`'\"]*[`'\"]\s*,?\s*)+)\)")
_VALUES = re.compile(r"[`'\"]([^`'\"]*)[`'\"]")
_LOCAL = re.compile(r"Host\(`localhost`\)|PathPrefix\(`/`\)")
_HOST = re.compile(r"[A-Za-z0-9.*-]+\.[A-Za-z]+")
_PATH = re.compile(r"/[A-Za-z0-9_.$/~@:+-]*")


@dataclass(frozen=True)
class Routes:
    """The rules of a service, each a list of conditions, and the port of its containers, if the labels have one.

    `is_default` is true if it gets every request, as with a rule for localhost only.
    """

    rules: tuple[tuple[dict[str, list[str]], ...], ...]
    port: int | None
    is_default: bool


def routes_of(service: ComposeService) -> Routes | None:
    """Return the routes of a service, or None if it has no labels of Traefik. What is not clear is noted."""
    labels = _labels(service.view)
    if labels.get("traefik.enable", "").lower() == "false" or not any(key.startswith("traefik.") for key in labels):
        return None
    rules, port, is_default = [], None, not any(map(_RULE.fullmatch, labels))
    for key, value in labels.items():
        if _PORT.fullmatch(key) and value.isdigit() and 0 < int(value) <= 65535:
            port = int(value)
        if match := _RULE.fullmatch(key):
            conditions = _conditions(value)
            if _LOCAL.fullmatch(value.strip()):
                is_default = True
            elif conditions is None:
                reason = "write it as a rule of a listener"
                service.view.report.left_out(service.view.place("labels"), f"the rule {value} of {match[1]}", reason)
            elif conditions not in rules:
                rules.append(conditions)
        if ".middlewares" in key:
            service.view.report.left_out(
                service.view.place("labels"), key, "see rules, transforms and actions of a listener"
            )
    return Routes(tuple(rules), port, is_default) if rules or port or is_default else None


def _labels(view: View) -> dict[str, str]:
    found = {}
    deploy = view.view("deploy")
    for each in filter(None, (view, deploy)):
        for name, value, place in each.pairs("labels"):
            found[name] = each.variables.resolve(value or "", place, each.where("labels"))
    return found


def _conditions(rule: str) -> tuple[dict[str, list[str]], ...] | None:
    """Return the conditions of a rule whose parts must all match, or None if it has another form."""
    found: dict[str, list[str]] = {}
    for part in rule.split("&&"):
        plain = part.strip()
        plain = plain[1:-1] if plain.startswith("(") and plain.endswith(")") else plain
        matchers = [_MATCHER.fullmatch(each.strip()) for each in plain.split("||")]
        kinds = {match[1] for match in matchers if match}
        if not all(matchers) or len(kinds) != 1:
            return None
        (kind,) = kinds
        values = [value for match in matchers if match for value in _VALUES.findall(match[2])]
        key = "host_header" if kind == "Host" else "path_pattern"
        pattern = _HOST if kind == "Host" else _PATH
        if key in found or not values or not all(pattern.fullmatch(value) for value in values):
            return None
        found[key] = values if kind != "PathPrefix" else [each for value in values for each in _prefix(value)]
    return tuple({key: values} for key, values in found.items() if len(values) <= 5) or None


def _prefix(path: str) -> list[str]:
    plain = path.rstrip("/")
    return [plain, f"{plain}/*"] if plain else ["/*"]
