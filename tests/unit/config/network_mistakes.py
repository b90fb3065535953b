"""Invalid declarations of a network load balancer, and the exact message for each."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad

_GROUP = "      port: 8080\n      health_check: {path: /up, interval: 1s}\n  load_balancers:\n    edge:\n"
_LISTENER = "        - {port: 8000, default_action: {forward: web}}\n"
_GROUP_THEN_LISTENER = f"{_GROUP}      listeners:\n{_LISTENER}"


def _bad(mistake: str, error: str, *, group: str = "", listener: str = "", balancer: str = "") -> Bad:
    """Return a mistake in a declaration that is valid otherwise: keys of the group, the listener or the balancer."""
    listens = f"        - {{{listener or 'protocol: TCP, port: 8000, default_action: {forward: web}'}}}\n"
    written = (
        f"      {{{group or 'protocol: TCP, port: 8080'}}}\n  load_balancers:\n    edge:\n"
        f"      type: {balancer or 'network'}\n      listeners:\n{listens}"
    )
    return Bad(mistake, _GROUP_THEN_LISTENER, written, error)


def _inner(mistake: str, error: str, *, front: str = "", inner: str = "", outer: str = "TCP") -> Bad:
    """Return a mistake in an NLB `edge` before an ALB `inner`. `front`: more of the NLB's group. `inner`: the ALB."""
    alb = inner or "{listeners: [{port: 80, default_action: {forward: web}}]}"
    certified = ", certificates: [{certificate: a.pem}]" if outer == "TLS" else ""
    written = (
        f"      port: 8080\n    front: {{protocol: TCP, {front}}}\n  load_balancers:\n    inner: {alb}\n    edge:\n"
        "      type: network\n      listeners:\n"
        f"        - {{port: 8000, protocol: {outer}, default_action: {{forward: front}}{certified}}}\n"
    )
    return Bad(mistake, _GROUP_THEN_LISTENER, written, error)


_EDGE = "balancer.load_balancers.edge"
_FIRST = f"{_EDGE}.listeners[0]"
_WEB = "balancer.target_groups.web"
_CROSS_ZONE = "load_balancing.cross_zone.enabled"
_COUNT = "minimum_healthy_targets.count"
_ROUTING, _FAILOVER = (f"target_group_health.{kind}.{_COUNT}" for kind in ("unhealthy_state_routing", "dns_failover"))


def _bad_zones(mistake: str, error: str, zones: str) -> Bad:
    return _bad(mistake, error, balancer=f"network\n      {zones}")


NETWORK_MISTAKES = [
    _bad(
        "a classic load balancer",
        f"17:13: {_EDGE}.type: classic is not supported: declare type: application for HTTP and HTTPS, or type: network "
        "for TCP and TLS; `pipeline balancer import-classic FILE` translates the description of a classic one",
        balancer="classic",
    ),
    _bad(
        "a misspelt type of load balancer",
        f"17:13: {_EDGE}.type: must be one of application, network, gateway, got 'netwrok' (did you mean network?)",
        balancer="netwrok",
    ),
    _bad(
        "a protocol that no target group has",
        f"14:18: {_WEB}.protocol: must be one of HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP, GENEVE, got 'TCPP' (did you mean TCP?)",
        group="protocol: TCPP, port: 8080",
    ),
    _bad(
        "a target group of UDP that hides the client",
        "16:45: balancer.target_groups.dns.attributes: preserve_client_ip.enabled must be true with protocol: UDP",
        group="protocol: TCP, port: 8080}\n    dns:\n      {protocol: UDP, port: 53, "
        "attributes: {preserve_client_ip.enabled: false}",
    ),
    _bad(
        "a target group of UDP with a published port",
        "16:46: balancer.target_groups.dns.target_type: must be ip with protocol: UDP",
        group="protocol: TCP, port: 8080}\n    dns:\n      {protocol: UDP, port: 53, target_type: instance, "
        "health_check: {protocol: HTTP}",
    ),
    _bad(
        "a target group of both with a PROXY header",
        "16:49: balancer.target_groups.dns.attributes: proxy_protocol_v2.enabled must be false with protocol: TCP_UDP",
        group="protocol: TCP, port: 8080}\n    dns:\n      {protocol: TCP_UDP, port: 53, "
        "attributes: {proxy_protocol_v2.enabled: true}",
    ),
    _bad(
        "a UDP listener on loopback",
        f"20:9: {_EDGE}.listeners: must not have protocol UDP at 127.0.0.1, whose packets the kernel does not forward; "
        "set address to one of the machine's own, or scheme: internet-facing",
        group="protocol: UDP, port: 8080",
        listener="protocol: UDP, port: 8000, default_action: {forward: web}",
        balancer="network\n      scheme: internal",
    ),
    _bad(
        "a network listener without a protocol",
        f"19:11: {_FIRST}.protocol: is missing (Protocol of clients. With TLS, the load balancer decrypts. UDP and "
        "TCP_UDP need the kernel's data plane, and so CAP_NET_ADMIN)",
        listener="port: 8000, default_action: {forward: web}",
    ),
    _bad(
        "a network listener without an action",
        f"19:11: {_FIRST}.default_action: is missing (The target groups that connections are forwarded to)",
        listener="protocol: TCP, port: 8000",
    ),
    _bad(
        "a misspelt key of a network listener",
        f"19:39: {_FIRST}.alpn_polciy: unknown key (did you mean alpn_policy?)",
        listener="protocol: TCP, port: 8000, alpn_polciy: None, default_action: {forward: web}",
    ),
    _bad(
        "rules of a network listener",
        f"19:71: {_FIRST}.rules: unknown key (known: alpn_policy, attributes, certificates, default_action, port, "
        "protocol, ssl_policy)",
        listener="protocol: TCP, port: 8000, default_action: {forward: web}, rules: []",
    ),
    _bad(
        "HTTP on a network load balancer",
        f"19:22: {_FIRST}.protocol: HTTP needs a load balancer of type: application",
        group="protocol: HTTP, port: 8080",
        listener="protocol: HTTP, port: 8000, default_action: {forward: web}",
    ),
    _bad(
        "stickiness to a target group of a network listener",
        f"19:65: {_FIRST}.default_action.forward: must have no stickiness, which needs cookies",
        listener="protocol: TCP, port: 8000, default_action: {forward: {target_groups: web, stickiness: {duration: "
        "1h}}}",
    ),
    _bad(
        "certificates of a TCP listener",
        f"19:53: {_FIRST}.certificates: needs protocol: TLS",
        listener="protocol: TCP, port: 8000, certificates: [{certificate: a.pem}], default_action: {forward: web}",
    ),
    _bad(
        "a TLS listener without certificates",
        f"19:11: {_FIRST}.certificates: must not be empty for a TLS listener",
        listener="protocol: TLS, port: 8000, default_action: {forward: web}",
    ),
    _bad(
        "an idle timeout that is too short",
        f"19:110: {_FIRST}.attributes.tcp.idle_timeout.seconds: must be at least 60, got 59",
        listener="protocol: TCP, port: 8000, default_action: {forward: web}, attributes: "
        "{tcp.idle_timeout.seconds: 59}",
    ),
    _bad(
        "an idle timeout of a UDP listener",
        f"19:83: {_FIRST}.attributes: must not set tcp.idle_timeout.seconds with protocol: UDP, whose flows always end "
        "after 120 s",
        group="protocol: UDP, port: 8080",
        listener="protocol: UDP, port: 8000, default_action: {forward: web}, attributes: "
        "{tcp.idle_timeout.seconds: 600}",
    ),
    _bad(
        "a zone of IPv6 before containers that only the kernel reaches",
        f"18:14: {_EDGE}.zones: 2001:db8::7 is an address of IPv6, from which the kernel forwards nothing to the "
        "containers of target group web; HAProxy does not carry UDP (use addresses of IPv4, or protocol: TCP "
        "without preserve_client_ip.enabled)",
        group="protocol: UDP, port: 8080",
        listener="protocol: UDP, port: 8000, default_action: {forward: web}",
        balancer="network\n      zones: {a: 192.0.2.7, b: '2001:db8::7'}",
    ),
    _bad(
        "an address of IPv6 before containers that see the client's",
        f"18:16: {_EDGE}.address: 2001:db8::7 is an address of IPv6, from which the kernel forwards nothing to the "
        "containers of target group web; target group web has preserve_client_ip.enabled, and HAProxy connects "
        "from its own address (use addresses of IPv4, or protocol: TCP without preserve_client_ip.enabled)",
        group="protocol: TCP, port: 8080, attributes: {preserve_client_ip.enabled: true}",
        balancer="network\n      address: '2001:db8::7'",
    ),
    _bad(
        "a path of a check that only connects",
        f"14:49: {_WEB}.health_check: must have protocol: HTTP or HTTPS with a path; the default is TCP",
        group="protocol: TCP, port: 8080, health_check: {path: /up}",
    ),
    _bad(
        "a code that no check of a network load balancer accepts",
        f"14:49: {_WEB}.health_check: matcher must hold codes from 200 to 599, got 600",
        group="protocol: TCP, port: 8080, health_check: {protocol: HTTP, matcher: '600'}",
    ),
    _bad(
        "connections that outlive the delay",
        f"14:101: {_WEB}.attributes.deregistration_delay.connection_termination.enabled: must be true, because a "
        "deployment stops the container at the end of the delay; set deregistration_delay, up to 1h, for longer "
        "connections",
        group="protocol: TCP, port: 8080, attributes: {deregistration_delay.connection_termination.enabled: false}",
    ),
    _bad(
        "an interval for connections that are closed at once",
        f"14:105: {_WEB}.attributes.target_health_state.unhealthy.draining_interval_seconds: needs "
        "target_health_state.unhealthy.connection_termination.enabled: false, which keeps the connections",
        group="protocol: TCP, port: 8080, attributes: {target_health_state.unhealthy.draining_interval_seconds: 60}",
    ),
    _bad(
        "an attribute of application load balancers",
        f"14:77: {_WEB}.attributes.slow_start.duration_seconds: is not supported: it is for application load balancers",
        group="protocol: TCP, port: 8080, attributes: {slow_start.duration_seconds: 30}",
    ),
    _bad(
        "functions behind a network load balancer",
        f"14:48: {_WEB}.target_type: must be one of ip, instance, alb, got 'lambda'",
        group="protocol: TCP, port: 8080, target_type: lambda",
    ),
    _bad(
        "a check by TCP of a published port",
        f"14:7: {_WEB}: a TCP check of target_type: instance always passes, because Docker accepts each connection to "
        "a published port, also if nothing listens in the container (set health_check.protocol to HTTP or HTTPS, or "
        "target_type to ip)",
        group="protocol: TCP, port: 8080, target_type: instance",
    ),
    _bad(
        "an attribute that configures AWS's network",
        f"18:60: {_EDGE}.attributes.secondary_ips.auto_assigned.per_subnet: is not supported: it configures AWS's "
        "network",
        balancer="network\n      attributes: {secondary_ips.auto_assigned.per_subnet: 1}",
    ),
    _bad_zones(
        "zones beside an address",
        f"19:16: {_EDGE}.address: must be left out with zones, because each zone has its own",
        "zones: {a: 127.0.0.2, b: 127.0.0.3}\n      address: 127.0.0.4",
    ),
    _bad_zones("no zone", f"18:14: {_EDGE}.zones: must have at least one item", "zones: {}"),
    _bad_zones(
        "two zones with one address",
        f"18:14: {_EDGE}.zones: a and b must not both have the address 127.0.0.2",
        "zones: {a: 127.0.0.2, b: 127.0.0.2}",
    ),
    _bad_zones(
        "a zone with every address",
        f"18:18: {_EDGE}.zones.a: must be the address of one node, got 0.0.0.0",
        "zones: {a: 0.0.0.0}",
    ),
    _bad_zones(
        "a zone with a number as its address",
        f"18:18: {_EDGE}.zones.a: must be text such as 192.0.2.7 or 2001:db8::7, got 10",
        "zones: {a: 10}",
    ),
    _bad_zones(
        "a zone with an address of a group",
        f"18:18: {_EDGE}.zones.a: must be an address of this machine, got 224.0.0.1",
        "zones: {a: 224.0.0.1}",
    ),
    _bad_zones(
        "an address with an interface",
        f"18:16: {_EDGE}.address: must have no interface after %, got fe80::1%eth0",
        "address: fe80::1%eth0",
    ),
    _bad_zones(
        "one address in the notations of both families",
        f"18:14: {_EDGE}.zones: a and b must not both have the address 192.0.2.7",
        "zones: {a: 192.0.2.7, b: '::ffff:192.0.2.7'}",
    ),
    _bad(
        "preserved addresses where only HAProxy listens",
        f"20:55: {_FIRST}.default_action: target group web has preserve_client_ip.enabled, and HAProxy connects "
        "from its own address, but the kernel does not forward what is sent to 127.0.0.1 (set address on the load "
        "balancer to one of the machine's own, or scheme: internet-facing)",
        group="protocol: TCP, port: 8080, attributes: {preserve_client_ip.enabled: true}",
        balancer="network\n      scheme: internal",
    ),
    _bad(
        "two load balancers with one port and address",
        "24:33: balancer.load_balancers.other.listeners[0].port: port 8000 is used by the listener on line 19",
        balancer="network\n      zones: {a: 127.0.0.2}\n"
        "      listeners: [{protocol: TCP, port: 8000, default_action: {forward: web}}]\n"
        "    other:\n      type: network\n      address: 127.0.0.2",
    ),
    _bad_zones(
        "a zone with a name as its address",
        f"18:18: {_EDGE}.zones.a: must be an IP address such as 192.0.2.7 or 2001:db8::7, got 'zone-a'",
        "zones: {a: zone-a}",
    ),
    _bad_zones(
        "a network with host bits",
        f"18:48: {_EDGE}.zones.a.network: must be a network such as 192.0.2.0/24 or 2001:db8::/64, without bits "
        "after the prefix, got '10.0.1.7/24'",
        "zones: {a: {address: 127.0.0.2, network: 10.0.1.7/24}}",
    ),
    _bad_zones(
        "zones whose clients are the same",
        f"18:14: {_EDGE}.zones: a and b must not have networks that overlap",
        "zones: {a: {address: 127.0.0.2, network: 10.0.0.0/8}, b: {address: 127.0.0.3, network: 10.1.0.0/16}}",
    ),
    _bad_zones(
        "a public zone of an internal load balancer",
        f"18:14: {_EDGE}.zones: a must not have a public address with scheme: internal",
        "zones: {a: 1.1.1.1}\n      scheme: internal",
    ),
    _bad(
        "a cross-zone setting that is no setting",
        f"14:83: {_WEB}.attributes.{_CROSS_ZONE}: must be true, false or use_load_balancer_configuration, got 'on'",
        group=f"protocol: TCP, port: 8080, attributes: {{{_CROSS_ZONE}: on}}",
    ),
    _bad(
        "a threshold for names below the one for routing",
        f"14:190: {_WEB}.attributes.{_FAILOVER}: must be at least 3, the value of {_ROUTING}, or left out",
        group=f"protocol: TCP, port: 8080, attributes: {{{_ROUTING}: 3, {_FAILOVER}: 2}}",
    ),
    _bad(
        "cross-zone balancing off for an application load balancer",
        f"18:55: {_EDGE}.attributes.{_CROSS_ZONE}: must be true for an application load balancer; set {_CROSS_ZONE} on "
        "the target group",
        group="port: 8080",
        listener="port: 8000, default_action: {forward: web}",
        balancer=f"application\n      attributes: {{{_CROSS_ZONE}: false}}",
    ),
    _bad(
        "stickiness without cross-zone balancing",
        f"14:53: {_WEB}.attributes.stickiness.enabled: must be false with {_CROSS_ZONE}: false",
        group=f"port: 8080, attributes: {{stickiness.enabled: true, {_CROSS_ZONE}: false}}",
        listener="port: 8000, default_action: {forward: web}",
        balancer="application",
    ),
    _bad(
        "functions without cross-zone balancing",
        f"14:53: {_WEB}.attributes: must not have {_CROSS_ZONE}: false with target_type: lambda",
        group=f"port: 8080, target_type: lambda, attributes: {{{_CROSS_ZONE}: false}}",
        listener="port: 8000, default_action: {forward: web}",
        balancer="application",
    ),
    _bad(
        "a TCP listener before HTTP targets",
        f"19:65: {_FIRST}.default_action.forward: a listener of protocol TCP cannot forward to target group web, "
        "which has "
        "protocol HTTP (set protocol: TCP on the target group)",
        group="port: 8080",
    ),
    _bad(
        "a TCP listener before TLS targets",
        f"19:65: {_FIRST}.default_action.forward: a listener of protocol TCP cannot forward to target group web, "
        "which has "
        "protocol TLS (set protocol: TCP on the target group)",
        group="protocol: TLS, port: 8080",
    ),
    _bad(
        "an HTTP listener before TCP targets",
        f"19:50: {_FIRST}.default_action.forward: a listener of protocol HTTP cannot forward to target group web, "
        "which "
        "has protocol TCP (set protocol: HTTP or HTTPS on the target group)",
        listener="port: 8000, default_action: {forward: web}",
        balancer="application",
    ),
    _bad(
        "TCP on an application load balancer",
        f"19:22: {_FIRST}.protocol: TCP needs a load balancer of type: network",
        balancer="application",
    ),
    _inner(
        "a group of a load balancer without its name",
        "15:5: balancer.target_groups.front.load_balancer: is missing; with target_type: alb, name an application load balancer",
        front="target_type: alb, port: 80",
    ),
    _inner(
        "the name of a load balancer in a group of containers",
        "15:53: balancer.target_groups.front.load_balancer: needs target_type: alb",
        front="port: 80, load_balancer: inner",
    ),
    _inner(
        "a load balancer as an unknown target",
        "15:61: balancer.target_groups.front.load_balancer: there is no load balancer iner (did you mean inner?)",
        front="target_type: alb, load_balancer: iner, port: 80",
    ),
    _inner(
        "a network load balancer as a target",
        "15:61: balancer.target_groups.front.load_balancer: load balancer edge is not an application load balancer, so it cannot be a target (name one of type: application)",
        front="target_type: alb, load_balancer: edge, port: 8000",
    ),
    _inner(
        "a port that the target has no listener on",
        "15:74: balancer.target_groups.front.port: load balancer inner has no listener on port 81 (its ports: 80)",
        front="target_type: alb, load_balancer: inner, port: 81",
    ),
    _inner(
        "a listener of another pipeline as a target",
        "15:74: balancer.target_groups.front.port: the listener of inner on port 80 has no default_action, so it belongs to another pipeline (add a default_action to the listener)",
        front="target_type: alb, load_balancer: inner, port: 80",
        inner="{listeners: [{port: 80, rules: [{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: web}}]}]}",
    ),
    _inner(
        "a check by HTTP of an HTTPS listener",
        "15:74: balancer.target_groups.front.port: a check by HTTP cannot pass, because the listener of inner on port 80 has HTTPS (set health_check.protocol: HTTPS)",
        front="target_type: alb, load_balancer: inner, port: 80",
        inner="{listeners: [{port: 80, protocol: HTTPS, certificates: [{certificate: a.pem}], default_action: {forward: web}}]}",
    ),
    _inner(
        "a check by TCP of a load balancer",
        "15:92: balancer.target_groups.front.health_check: must have protocol: HTTP or HTTPS with target_type: alb",
        front="target_type: alb, load_balancer: inner, port: 80, health_check: {protocol: TCP}",
    ),
    _inner(
        "a check of another port of a load balancer",
        "15:92: balancer.target_groups.front.health_check: must have no port with target_type: alb; it checks the group's port",
        front="target_type: alb, load_balancer: inner, port: 80, health_check: {port: 81}",
    ),
    _inner(
        "a PROXY header before a load balancer",
        "15:90: balancer.target_groups.front.attributes: must not set proxy_protocol_v2.enabled with target_type: alb, which sees the client's address anyway",
        front="target_type: alb, load_balancer: inner, port: 80, attributes: {proxy_protocol_v2.enabled: true}",
    ),
    _inner(
        "cross-zone load balancing of a load balancer",
        "15:90: balancer.target_groups.front.attributes: must not set load_balancing.cross_zone.enabled with target_type: alb, which has the load balancer's setting",
        front="target_type: alb, load_balancer: inner, port: 80, attributes: {load_balancing.cross_zone.enabled: true}",
    ),
    _inner(
        "a TLS listener before a load balancer",
        "21:65: balancer.load_balancers.edge.listeners[0].default_action.forward: a TLS listener cannot forward to target group front, whose target is an application load balancer (set protocol: TCP on the listener, and HTTPS on that of the application load balancer)",
        front="target_type: alb, load_balancer: inner, port: 80",
        outer="TLS",
    ),
    _bad(
        "a load balancer as the target of a group of requests",
        "15:36: balancer.target_groups.front.target_type: alb needs protocol: TCP, because a network load balancer forwards to it",
        group="port: 8080}\n    front: {port: 80, target_type: alb",
        listener="port: 8000, default_action: {forward: web}",
        balancer="application",
    ),
    _bad(
        "a deployment into a group of a load balancer",
        "9:17: deploy.target_group: target group web has target_type: alb, so its target is a load balancer, not a container (name the target group that this load balancer forwards to)",
        group="protocol: TCP, port: 80, target_type: alb, load_balancer: inner}\n    app: {port: 80",
        balancer="network\n      listeners: [{protocol: TCP, port: 8000, default_action: {forward: web}}]\n    inner:",
        listener="port: 80, default_action: {forward: app}",
    ),
]
