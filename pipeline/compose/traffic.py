"""The section `balancer`: target groups and listeners for the published ports of services."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pipeline.base.quantity import format_duration
from pipeline.compose.health import checked_port, needed_start, page_check
from pipeline.compose.ports import DEBUG_PORTS, Published
from pipeline.compose.report import Report
from pipeline.compose.service import ComposeService
from pipeline.compose.traefik import Routes, routes_of

_COMMAND_PORT = re.compile(
    r"(?:0\.0\.0\.0|\[::\]|localhost|127\.0\.0\.1|--port[= ]|--http[= ]|-p |\s):?(\d{4,5})(?![\w.])"
)
_DEFAULT_PORT = 8080
_DEFAULT_TIMEOUT = timedelta(seconds=60)
_NOTHING: dict[str, Any] = {"fixed_response": {"status_code": "404"}}

Exposed = Callable[[ComposeService], int | None]
"""Returns the port in the EXPOSE of a service's Dockerfile, or None."""


class Traffic:
    """The section `balancer` as it is made. `names` are the names of services in pipeline.yaml."""

    def __init__(self, names: Mapping[str, str], report: Report, exposed: Exposed) -> None:
        self._names = names
        self._report = report
        self._exposed = exposed
        self._groups: dict[str, Any] = {}
        self._balancers: dict[str, Any] = {}
        self._used: dict[tuple[str, int, str], str] = {}
        self.timeouts: dict[str, str] = {}
        """`deploy_timeout` of services whose health check takes longer than the default, by their names."""

    @property
    def published(self) -> dict[tuple[int, str], str]:
        """The owners of the ports of this machine, by port and protocol."""
        return {(number, kind): owner for (_, number, kind), owner in self._used.items()}

    def section(self) -> dict[str, Any]:
        """Return the section, empty if no service gets requests."""
        if not self._groups:
            return {}
        balancers = {name: {key: balancer[key] for key in balancer} for name, balancer in self._balancers.items()}
        return {"target_groups": self._groups, "load_balancers": balancers}

    def group_of(self, service: ComposeService) -> str | None:
        """Return the name of a service's target group, or None."""
        name = self._names[service.name]
        return name if name in self._groups else None

    def publish(self, service: ComposeService) -> None:
        """Give a service that publishes ports a target group, and a listener for each port."""
        main = _main_port(service.ports)
        if main is None:
            return
        ports = [each for each in service.ports if each.target == main.target]
        for other in service.ports:
            if other.target == main.target:
                continue
            reason = "it is for a debugger" if other.target in DEBUG_PORTS else "a service is in one target group"
            self._report.left_out(other.place, f"port {other.text} of {service.name}", reason)
        protocol = "HTTP" if main.is_http else _transport(ports)
        for port in ports if protocol != "UDP" else [each for each in ports if each.protocol == "udp"]:
            if protocol == "TCP_UDP" and port.protocol == "udp":
                continue
            if not port.is_chosen:
                self._report.note(
                    f"{port.place}: {service.name} has no fixed port of this machine: {port.published} is assumed"
                )
            self._listen(service, port.ip, port.published, protocol, self._names[service.name], port)
        if any(self._names[service.name] == owner for owner in self._used.values()):
            self._add_group(service, main.target, protocol)

    def publish_behind(self, service: ComposeService, ports: list[Published]) -> None:
        """Give a service the ports of the reverse proxy in front of it."""
        self._add_group(service, self._port(service), "HTTP")
        for port in ports:
            self._listen(service, port.ip, port.published, "HTTP", self._names[service.name], port)

    def route(self, service: ComposeService, routes: Routes, ports: list[Published]) -> None:
        """Add the routes of a service to the listeners of the reverse proxy."""
        name = self._names[service.name]
        if name not in self._groups:
            self._add_group(service, routes.port or self._port(service), "HTTP")
        for port in ports or [Published(service.place, "", 80, 80, "tcp")]:
            listener = self._shared_listener(port)
            for conditions in routes.rules:
                rules = listener.setdefault("rules", [])
                rules.append(
                    {"priority": 10 * (len(rules) + 1), "conditions": list(conditions), "action": {"forward": name}}
                )
            if routes.is_default:
                listener["default_action"] = {"forward": name}

    def _shared_listener(self, port: Published) -> dict[str, Any]:
        """Return the listener of a port, to which several services add rules."""
        for listener in self._balancer(port.ip, is_network=False)["listeners"]:
            if listener["port"] == port.published:
                found: dict[str, Any] = listener
                return found
        listener = {"port": port.published, "default_action": dict(_NOTHING)}
        self._used[port.ip, port.published, "tcp"] = "the routes"
        self._balancer(port.ip, is_network=False)["listeners"].append(listener)
        return listener

    def _add_group(self, service: ComposeService, port: int, protocol: str) -> None:
        group: dict[str, Any] = {} if protocol == "HTTP" else {"protocol": protocol}
        group["port"] = port
        check = service.check
        if protocol == "HTTP":
            names = frozenset({service.name.lower(), self._names[service.name].lower()})
            page = page_check(check, port, names) if check and check.words else None
            group["health_check"] = page or {"protocol": "TCP"}
            if page is None and check and check.words:
                reason = "the balancer only connects to the port; write health_check.path to request a page"
                self._report.left_out(check.view.data.place, check.view.path, reason)
        elif check and check.words:
            self._report.left_out(
                check.view.data.place, check.view.path, "the balancer checks by connecting to the port"
            )
        if protocol == "UDP":
            self._report.note(
                f"{service.place}: {service.name} must accept TCP too, for its health check: see health_check.port"
            )
        if (
            check
            and needed_start(check) > _DEFAULT_TIMEOUT
            and (check.start_period or timedelta(0)) > timedelta(seconds=30)
        ):
            self.timeouts[service.name] = format_duration(needed_start(check))
        self._groups[self._names[service.name]] = group

    def _listen(
        self, service: ComposeService, ip: str, number: int, protocol: str, group: str, port: Published
    ) -> None:
        transport = "udp" if protocol == "UDP" else "tcp"
        other = next(
            (
                owner
                for (address, used, kind), owner in self._used.items()
                if used == number and kind == transport and (address == ip or not address or not ip)
            ),
            None,
        )
        if other is not None:
            self._report.left_out(port.place, f"port {port.text} of {service.name}", f"{other} has the port {number}")
            return
        self._used[ip, number, transport] = group
        listener: dict[str, Any] = {"protocol": protocol} if protocol != "HTTP" else {}
        listener |= {"port": number, "default_action": {"forward": group}}
        self._balancer(ip, is_network=protocol != "HTTP")["listeners"].append(listener)

    def _balancer(self, ip: str, *, is_network: bool) -> dict[str, Any]:
        is_local = ip in ("127.0.0.1", "::1")
        name = "edge" if not ip else "local" if is_local else f"at-{re.sub('[^0-9a-f]+', '-', ip.lower()).strip('-')}"
        name += "-network" if is_network else ""
        if name not in self._balancers:
            balancer: dict[str, Any] = {"type": "network"} if is_network else {}
            if ip == "127.0.0.1":
                balancer["scheme"] = "internal"
            elif ip:
                balancer["address"] = ip
            self._balancers[name[:32].strip("-")] = {**balancer, "listeners": []}
        found: dict[str, Any] = self._balancers[name[:32].strip("-")]
        return found

    def _port(self, service: ComposeService) -> int:
        """Return the port of a service that publishes none."""
        if service.exposed:
            return service.exposed[0]
        if service.check and service.check.words and (port := checked_port(service.check)):
            return port
        view = service.view
        given = {name: value for name, value, _ in view.pairs("environment")}.get("PORT") or ""
        text = view.variables.resolve(given, view.place("environment"), view.where("environment"))
        if re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) <= 65535:
            return int(text)
        match = _COMMAND_PORT.search(" ".join(map(str, view.words("command") or ())))
        found = int(match[1]) if match else self._exposed(service)
        if not found or found > 65535:
            self._report.note(f"{service.place}: the port of {service.name} is not known: {_DEFAULT_PORT} is assumed")
            return _DEFAULT_PORT
        return found


def _main_port(ports: list[Published]) -> Published | None:
    """Return the port that gets the target group: the first of HTTP, else of TCP, else of UDP."""
    ranked = sorted(
        (each for each in ports if each.target not in DEBUG_PORTS or len(ports) == 1),
        key=lambda each: (not each.is_http, each.protocol != "tcp"),
    )
    return ranked[0] if ranked else None


def _transport(ports: list[Published]) -> str:
    kinds = {each.protocol for each in ports}
    return "TCP_UDP" if kinds == {"tcp", "udp"} else "UDP" if kinds == {"udp"} else "TCP"


def publish_all(
    traffic: Traffic, services: list[ComposeService], proxies: list[ComposeService], report: Report
) -> None:
    """Publish all services, also those behind reverse proxies, which the balancer replaces."""
    entries = [port for proxy in proxies for port in proxy.ports]
    plain = [
        port
        for port in entries
        if port.is_http and port.target not in (443, 8443) and port.published not in (443, 8443)
    ]
    plain = list({(port.ip, port.published): port for port in plain}.values())
    plain = [port for port in plain if port.target in (80, 8080, 8000, 8081, 3000) or len(plain) == 1]
    for service in services:
        traffic.publish(service)
    found = {each.name: routes_of(each) for each in services}
    routed = {name: routes for name, routes in found.items() if routes and (routes.rules or routes.is_default)}
    for service in services:
        if service.name in routed:
            traffic.route(service, routed[service.name], plain)
    for proxy in proxies:
        _replace_proxy(traffic, proxy, services, [port for port in plain if port in proxy.ports], bool(routed), report)


def _replace_proxy(
    traffic: Traffic,
    proxy: ComposeService,
    services: list[ComposeService],
    ports: list[Published],
    has_routes: bool,
    report: Report,
) -> None:
    for port in proxy.ports:
        if port.published == 443 or port.target == 443:
            report.left_out(
                port.place,
                f"port {port.text} of {proxy.name}",
                "HTTPS needs certificates: see certificates: [{acme: …}]",
            )
    behind = [each for each in services if each.name in proxy.depends_on] or [each for each in services if each.exposed]
    behind = behind or [each for each in services if each.build and not each.ports][:1]
    target = next((each for each in behind if traffic.group_of(each) is None), None)
    if target is not None and ports and not has_routes:
        traffic.publish_behind(target, ports)
        what = f"port {ports[0].published} forwards to {target.name}; write its other routes as rules of the listener"
    else:
        what = "the routes in labels are its rules" if has_routes else "write its routes as rules of a listener"
    report.left_out(proxy.place, f"services.{proxy.name}", f"the balancer takes the place of the reverse proxy: {what}")
