"""Invalid endpoint services and endpoints, and the exact message for each."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad

_OLD = (
    "balancer:\n  target_groups:\n    web:\n      port: 8080\n      health_check: {path: /up, interval: 1s}\n"
    "  load_balancers:\n    edge:\n      listeners:\n        - {port: 8000, default_action: {forward: web}}\n"
)
_SERVICE = "balancer.endpoint_services.inspection"
_ENDPOINT = "balancer.endpoints.office"
_CLIENTS = f"{_ENDPOINT}.networks.clients"


def _bad(
    mistake: str,
    error: str,
    *,
    service: str = "load_balancers: [gw]",
    gateway: str = "",
    endpoint: str = "service: inspection",
    clients: str = "namespace: lab, addresses: [198.18.0.0/24]",
    networks: str = "",
) -> Bad:
    """Return a mistake in a declaration that is valid otherwise: keys of the parts, each on a line of its own."""
    lines = [
        "balancer:",
        "  target_groups:",
        "    web: {port: 8080}",
        "    fw: {protocol: GENEVE}",
        "  load_balancers:",
        "    edge: {listeners: [{port: 8000, default_action: {forward: web}}]}",
        f"    gw: {{type: gateway, {gateway}listeners: [{{default_action: {{forward: fw}}}}]}}",
        "  endpoint_services:",
        f"    inspection: {{{service}}}",
        "  endpoints:",
        "    office:",
        f"      {endpoint}",
        "      networks:",
        f"        clients: {{{clients}}}",
        *([f"        {networks}"] if networks else []),
    ]
    return Bad(mistake, _OLD, "\n".join(lines) + "\n", error)


ENDPOINT_MISTAKES = [
    # Services
    _bad(
        "a service of an unknown load balancer",
        f"19:35: {_SERVICE}.load_balancers[0]: there is no load balancer gv (known: edge, gw)",
        service="load_balancers: [gv]",
    ),
    _bad(
        "a service of an application load balancer",
        f"19:35: {_SERVICE}.load_balancers[0]: load balancer edge is not a gateway load balancer, so it has no endpoints (name one of type: gateway)",
        service="load_balancers: [edge]",
    ),
    _bad(
        "a service of a load balancer twice",
        f"19:34: {_SERVICE}.load_balancers: must hold gw once",
        service="load_balancers: [gw, gw]",
    ),
    _bad(
        "a service without load balancers",
        f"19:5: {_SERVICE}.load_balancers: is missing (Gateway load balancers of this pipeline. An endpoint uses the first one enabled in its zone)",
        service="acceptance_required: false",
    ),
    _bad(
        "a service with no load balancer",
        f"19:34: {_SERVICE}.load_balancers: must have at least one item",
        service="load_balancers: []",
    ),
    _bad(
        "a service with one as text",
        f"19:34: {_SERVICE}.load_balancers: must be a list, got 'gw' (write [gw])",
        service="load_balancers: gw",
    ),
    _bad(
        "a misspelt key of a service",
        f"19:40: {_SERVICE}.acceptance: unknown key (did you mean acceptance_required?)",
        service="load_balancers: [gw], acceptance: false",
    ),
    _bad(
        "acceptance as text",
        f"19:61: {_SERVICE}.acceptance_required: must be true or false, got 'maybe'",
        service="load_balancers: [gw], acceptance_required: maybe",
    ),
    # Endpoints
    _bad(
        "an endpoint of an unknown service",
        f"22:16: {_ENDPOINT}.service: there is no endpoint service inspektion (did you mean inspection?)",
        endpoint="service: inspektion",
    ),
    _bad(
        "an endpoint of an unknown service with the pipeline's name",
        f"22:16: {_ENDPOINT}.service: there is no endpoint service inspektion (did you mean inspection?)",
        endpoint="service: shop/inspektion",
    ),
    _bad(
        "a service with two slashes",
        f"22:16: {_ENDPOINT}.service: must be NAME, or PIPELINE/NAME for an endpoint service of another pipeline, got 'a/b/c'",
        endpoint="service: a/b/c",
    ),
    _bad(
        "an endpoint without a service",
        f"21:5: {_ENDPOINT}.service: is missing (An endpoint service: NAME of this pipeline, or PIPELINE/NAME of another pipeline)",
        endpoint="zone: zone-a",
    ),
    _bad(
        "a misspelt key of an endpoint",
        f"22:7: {_ENDPOINT}.services: unknown key (did you mean service?)",
        endpoint="services: inspection",
    ),
    _bad(
        "a zone in which no load balancer is enabled",
        f"23:13: {_ENDPOINT}.zone: no load balancer of endpoint service inspection is enabled in zone-c (did you mean zone-b?)",
        endpoint="service: inspection\n      zone: zone-c",
        gateway="zones: [zone-a, zone-b], ",
    ),
    # Networks
    _bad(
        "a network without a place",
        f"24:18: {_CLIENTS}: must have one of namespace, docker_network and host, got none",
        clients="addresses: [198.18.0.0/24]",
    ),
    _bad(
        "a network with two places",
        f"24:18: {_CLIENTS}: must have one of namespace, docker_network and host, got namespace and docker_network",
        clients="namespace: lab, docker_network: inspected",
    ),
    _bad(
        "a network that is not the host's",
        f"24:25: {_CLIENTS}.host: must be true, got false",
        clients="host: false, addresses: [198.18.0.0/24]",
    ),
    _bad(
        "a namespace without addresses",
        f"24:9: {_CLIENTS}.addresses: must hold the addresses that are reached through this namespace",
        clients="namespace: lab",
    ),
    _bad(
        "the machine without addresses",
        f"24:9: {_CLIENTS}.addresses: must hold the addresses that are reached through this machine",
        clients="host: true",
    ),
    _bad(
        "addresses as text",
        f"24:46: {_CLIENTS}.addresses: must be a list, got '198.18.0.0/24' (write [198.18.0.0/24])",
        clients="namespace: lab, addresses: 198.18.0.0/24",
    ),
    _bad(
        "an address with bits after the prefix",
        f"24:47: {_CLIENTS}.addresses[0]: must be a network such as 192.0.2.0/24 or 2001:db8::/64, without bits after the prefix, got '198.18.0.5/24'",
        clients="namespace: lab, addresses: [198.18.0.5/24]",
    ),
    _bad(
        "an address that is none",
        f"24:47: {_CLIENTS}.addresses[0]: must be a network such as 192.0.2.0/24 or 2001:db8::/64, without bits after the prefix, got 'office'",
        clients="namespace: lab, addresses: [office]",
    ),
    _bad(
        "an address as a number",
        f"24:47: {_CLIENTS}.addresses[0]: must be text such as 192.0.2.7 or 2001:db8::7, got 10",
        clients="namespace: lab, addresses: [10]",
    ),
    _bad(
        "an address twice",
        f"24:46: {_CLIENTS}.addresses: must hold 198.18.0.0/24 once",
        clients="namespace: lab, addresses: [198.18.0.0/24, 198.18.0.0/24]",
    ),
    _bad(
        "a route twice",
        f"24:71: {_CLIENTS}.routes: must hold 10.0.0.0/8 once",
        clients="namespace: lab, addresses: [198.18.0.0/24], routes: [10.0.0.0/8, 10.0.0.0/8]",
    ),
    _bad(
        "a namespace with a space",
        f"24:30: {_CLIENTS}.namespace: must be a name in /run/netns, or the path of a namespace's file, got 'a b'",
        clients="namespace: a b, addresses: [198.18.0.0/24]",
    ),
    _bad(
        "a namespace above its folder",
        f"24:30: {_CLIENTS}.namespace: must be a name in /run/netns or a path, got '..'",
        clients="namespace: .., addresses: [198.18.0.0/24]",
    ),
    _bad(
        "a network of Docker with a slash",
        f"24:35: {_CLIENTS}.docker_network: must be the name of a network of Docker: letters, digits and characters of _.-, got 'a/b'",
        clients="docker_network: a/b",
    ),
    _bad(
        "IPv6 in a network of Docker",
        f"24:52: {_CLIENTS}.addresses: must be of IPv4, got 2001:db8::/64: Docker gives the gateway address of IPv6 to the bridge",
        clients="docker_network: apps, addresses: ['2001:db8::/64']",
    ),
    _bad(
        "a network by another key",
        f"24:19: {_CLIENTS}.network: unknown key (write docker_network)",
        clients="network: inspected",
    ),
    _bad(
        "a namespace by another key",
        f"24:19: {_CLIENTS}.netns: unknown key (write namespace)",
        clients="netns: lab, addresses: [198.18.0.0/24]",
    ),
    _bad(
        "two networks of one namespace",
        f"25:15: {_ENDPOINT}.networks.more: must be another network than clients",
        networks="more: {namespace: lab, addresses: [198.18.1.0/24]}",
    ),
    _bad(
        "two networks with one address",
        f"25:54: {_ENDPOINT}.networks.more.addresses: must not hold 198.18.0.0/24, which clients has",
        networks="more: {docker_network: inspected, addresses: [198.18.0.0/24]}",
    ),
    _bad(
        "a name of a network with a dot",
        f"25:14: {_ENDPOINT}.networks.a.b: must be 1 to 32 letters, digits and inner dashes, got 'a.b'",
        networks="a.b: {docker_network: inspected}",
    ),
    _bad(
        "a network as text",
        f"25:15: {_ENDPOINT}.networks.more: must be a mapping of keys, got 'inspected' (write {{docker_network: inspected}})",
        networks="more: inspected",
    ),
    _bad(
        "no network",
        f"24:18: {_CLIENTS}: must have one of namespace, docker_network and host, got none",
        networks="",
        clients="",
        endpoint="service: inspection",
    ),
    _bad(
        "two endpoints of one namespace",
        "28:39: balancer.endpoints.other.networks.clients.namespace: namespace lab is attached to endpoint office (a network has one endpoint)",
        networks="more: {docker_network: inspected}\n    other:\n      service: firewall/inspection\n"
        "      networks: {clients: {namespace: lab, addresses: [198.18.1.0/24]}}",
    ),
    _bad(
        "two endpoints of one network of Docker",
        "28:44: balancer.endpoints.other.networks.clients.docker_network: network inspected of Docker is attached to endpoint office (a network has one endpoint)",
        clients="docker_network: inspected",
        networks="more: {host: true, addresses: [0.0.0.0/0]}\n    other:\n      service: firewall/inspection\n"
        "      networks: {clients: {docker_network: inspected}}",
    ),
]
