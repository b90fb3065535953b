"""Invalid declarations of a gateway load balancer, and the exact message for each."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad

_OLD = (
    "  target_group: web\n  replicas: 3\nbalancer:\n  target_groups:\n    web:\n      port: 8080\n"
    "      health_check: {path: /up, interval: 1s}\n  load_balancers:\n    edge:\n      listeners:\n"
    "        - {port: 8000, default_action: {forward: web}}\n"
)
_GW = "balancer.load_balancers.gw"
_LISTENER = f"{_GW}.listeners[0]"
_FW = "balancer.target_groups.fw"
_ALL = "the listener of a gateway load balancer takes the packets of all ports and protocols"
_NO_ADDRESS = "a gateway load balancer has no address; networks reach it by the endpoints of its endpoint service"
_NO_TLS = "a gateway load balancer passes packets on as they are, encrypted or not"
_APP = "is not supported: it is for application load balancers"
_NET = "is not supported: it is for network load balancers"
_RESET = "is not supported: the ends of a flow get no reset; leave it out, or write false"
_BOTH = "is not supported: it is for application and network load balancers"


def _bad(
    mistake: str,
    error: str,
    *,
    group: str = "",
    check: str = "",
    group_attributes: str = "",
    balancer: str = "",
    attributes: str = "",
    listener: str = "default_action: {forward: fw}",
    listener_attributes: str = "",
    deploy: str = "",
) -> Bad:
    """Return a mistake in a declaration that is valid otherwise. Each part has a line of its own."""
    lines = [
        "  target_group: fw",
        *([f"  {deploy}"] if deploy else []),
        "balancer:",
        "  target_groups:",
        "    fw:",
        "      protocol: GENEVE",
        *([f"      {group}"] if group else []),
        *([f"      health_check: {{{check}}}"] if check else []),
        *([f"      attributes: {{{group_attributes}}}"] if group_attributes else []),
        "  load_balancers:",
        "    gw:",
        "      type: gateway",
        *([f"      {balancer}"] if balancer else []),
        *([f"      attributes: {{{attributes}}}"] if attributes else []),
        "      listeners:",
        f"        - {listener}",
        *([f"          attributes: {{{listener_attributes}}}"] if listener_attributes else []),
    ]
    return Bad(mistake, _OLD, "\n".join(lines) + "\n", error)


GATEWAY_MISTAKES = [
    # Load balancer
    _bad("a scheme of a gateway", f"17:15: {_GW}.scheme: must be left out: {_NO_ADDRESS}", balancer="scheme: internal"),
    _bad(
        "an address of a gateway",
        f"17:16: {_GW}.address: must be left out: {_NO_ADDRESS}",
        balancer="address: 192.0.2.1",
    ),
    _bad(
        "zones of a gateway with addresses",
        f"17:14: {_GW}.zones: must be a list of names, got a mapping; write [zone-a], because {_NO_ADDRESS}",
        balancer="zones: {zone-a: 127.0.0.1}",
    ),
    _bad(
        "zones of a gateway as text",
        f"17:14: {_GW}.zones: must be a list, got 'zone-a' (write [zone-a])",
        balancer="zones: zone-a",
    ),
    _bad("no zone of a gateway", f"17:14: {_GW}.zones: must have at least one item", balancer="zones: []"),
    _bad(
        "a zone of a gateway with a wrong name",
        f"17:15: {_GW}.zones[0]: must be 1 to 32 letters, digits and inner dashes, got 'zone_a'",
        balancer="zones: [zone_a]",
    ),
    _bad(
        "a zone of a gateway twice",
        f"17:14: {_GW}.zones: must name each zone once, got a twice",
        balancer="zones: [a, b, a]",
    ),
    _bad("a misspelt key of a gateway", f"17:7: {_GW}.zone: unknown key (did you mean zones?)", balancer="zone: [a]"),
    _bad(
        "zonal shifts of a gateway",
        f"17:48: {_GW}.attributes.zonal_shift.config.enabled: {_BOTH}",
        attributes="zonal_shift.config.enabled: true",
    ),
    _bad(
        "an access log of a gateway",
        f"17:44: {_GW}.attributes.access_logs.s3.enabled: is not supported: logs are not written to S3",
        attributes="access_logs.s3.enabled: true",
    ),
    _bad(
        "the idle timeout of an application load balancer for a gateway",
        f"17:50: {_GW}.attributes.idle_timeout.timeout_seconds: {_APP}; set tcp.idle_timeout.seconds on the listener",
        attributes="idle_timeout.timeout_seconds: 60",
    ),
    _bad(
        "a routing policy of names for a gateway",
        f"17:54: {_GW}.attributes.dns_record.client_routing_policy: {_NET}; a gateway load balancer has no name in DNS",
        attributes="dns_record.client_routing_policy: any_availability_zone",
    ),
    _bad(
        "a gateway that denies traffic of internet gateways",
        f"17:47: {_GW}.attributes.ipv6.deny_all_igw_traffic: {_BOTH}",
        attributes="ipv6.deny_all_igw_traffic: true",
    ),
    _bad(
        "HTTP/2 of a gateway",
        f"17:43: {_GW}.attributes.routing.http2.enabled: {_APP}",
        attributes="routing.http2.enabled: true",
    ),
    _bad(
        "cross-zone balancing of a gateway that is neither on nor off",
        f"17:55: {_GW}.attributes.load_balancing.cross_zone.enabled: must be true or false, got 'maybe'",
        attributes="load_balancing.cross_zone.enabled: maybe",
    ),
    _bad(
        "a misspelt attribute of a gateway",
        f"17:20: {_GW}.attributes.deletion_protection.enabeld: unknown key (did you mean deletion_protection.enabled?)",
        attributes="deletion_protection.enabeld: true",
    ),
    _bad(
        "a web application firewall of a gateway",
        f"17:43: {_GW}.attributes.waf.fail_open.enabled: {_APP}",
        attributes="waf.fail_open.enabled: true",
    ),
    _bad(
        "a keep-alive of a gateway's clients",
        f"17:47: {_GW}.attributes.client_keep_alive.seconds: {_APP}",
        attributes="client_keep_alive.seconds: 3600",
    ),
    _bad(
        "addresses of a gateway's subnets",
        f"17:60: {_GW}.attributes.secondary_ips.auto_assigned.per_subnet: {_NET}",
        attributes="secondary_ips.auto_assigned.per_subnet: 1",
    ),
    _bad(
        "a connection log of a gateway",
        f"17:48: {_GW}.attributes.connection_logs.s3.enabled: {_APP}",
        attributes="connection_logs.s3.enabled: true",
    ),
    # Listener
    _bad(
        "a port of a gateway's listener",
        f"18:18: {_LISTENER}.port: must be left out: {_ALL}",
        listener="{port: 80, default_action: {forward: fw}}",
    ),
    _bad(
        "a protocol of a gateway's listener",
        f"18:22: {_LISTENER}.protocol: must be left out: {_ALL}",
        listener="{protocol: TCP, default_action: {forward: fw}}",
    ),
    _bad(
        "a protocol and a port of a gateway's listener",
        f"18:22: {_LISTENER}.protocol: must be left out: {_ALL}\npipeline.yaml:18:36: {_LISTENER}.port: "
        f"must be left out: {_ALL}",
        listener="{protocol: GENEVE, port: 6081, default_action: {forward: fw}}",
    ),
    _bad(
        "rules of a gateway's listener",
        f"18:50: {_LISTENER}.rules: must be left out: it has no rules; its only action is default_action",
        listener="{default_action: {forward: fw}, rules: []}",
    ),
    _bad(
        "certificates of a gateway's listener",
        f"18:57: {_LISTENER}.certificates: must be left out: {_NO_TLS}",
        listener="{default_action: {forward: fw}, certificates: [{certificate: a.pem}]}",
    ),
    _bad(
        "a TLS policy of a gateway's listener",
        f"18:55: {_LISTENER}.ssl_policy: must be left out: {_NO_TLS}",
        listener="{default_action: {forward: fw}, ssl_policy: ELBSecurityPolicy-2016-08}",
    ),
    _bad(
        "an ALPN policy of a gateway's listener",
        f"18:56: {_LISTENER}.alpn_policy: must be left out: {_NO_TLS}",
        listener="{default_action: {forward: fw}, alpn_policy: HTTP1Only}",
    ),
    _bad(
        "certificates of a gateway's clients",
        f"18:66: {_LISTENER}.mutual_authentication: must be left out: {_NO_TLS}",
        listener="{default_action: {forward: fw}, mutual_authentication: {mode: passthrough}}",
    ),
    _bad(
        "a gateway's listener without an action",
        f"18:11: {_LISTENER}.default_action: is missing (The target group whose appliances get the packets)",
        listener="{attributes: {}}",
    ),
    _bad(
        "a redirect of packets",
        "9:17: deploy.target_group: no listener forwards to fw, so the deployment would be unreachable "
        f"(add default_action: {{forward: fw}} to a listener)\npipeline.yaml:18:39: "
        f"{_LISTENER}.default_action.redirect: needs a load balancer of type: application; write forward",
        listener="{default_action: {redirect: {port: '443', protocol: HTTPS, status_code: HTTP_301}}}",
    ),
    _bad(
        "a fixed response to packets",
        "9:17: deploy.target_group: no listener forwards to fw, so the deployment would be unreachable "
        f"(add default_action: {{forward: fw}} to a listener)\npipeline.yaml:18:45: "
        f"{_LISTENER}.default_action.fixed_response: needs a load balancer of type: application; write "
        "forward",
        listener="{default_action: {fixed_response: {status_code: 503}}}",
    ),
    _bad(
        "two target groups of a gateway",
        f"20:38: {_LISTENER}.default_action.forward: must name one target group, got 2; remove the others",
        listener="{default_action: {forward: [fw, fw2]}}",
        group="port: 6081\n    fw2: {protocol: GENEVE}",
    ),
    _bad(
        "a weight of a gateway's target group",
        f"18:38: {_LISTENER}.default_action.forward: must have no weight other than 1 for its only target group, got 2",
        listener="{default_action: {forward: [{target_group: fw, weight: 2}]}}",
    ),
    _bad(
        "no share for a gateway's target group",
        f"18:29: {_LISTENER}.default_action.forward.target_groups: must have a weight above 0",
        listener="{default_action: {forward: [{target_group: fw, weight: 0}]}}",
    ),
    _bad(
        "stickiness of a gateway's forward",
        f"18:38: {_LISTENER}.default_action.forward: must have no stickiness; set stickiness.enabled on "
        "the target group",
        listener="{default_action: {forward: {target_groups: [fw], stickiness: {duration: 1h}}}}",
    ),
    _bad(
        "an unknown target group of a gateway",
        f"18:38: {_LISTENER}.default_action.forward: there is no target group fww (did you mean fw?)",
        listener="{default_action: {forward: fww}}",
    ),
    _bad(
        "two listeners of a gateway",
        f"18:9: {_GW}.listeners: must have one item, got 2; one listener takes all packets",
        listener="{default_action: {forward: fw}}\n        - {default_action: {forward: fw}}",
    ),
    _bad(
        "an idle timeout of flows too short",
        f"19:50: {_LISTENER}.attributes.tcp.idle_timeout.seconds: must be at least 60, got 59",
        listener_attributes="tcp.idle_timeout.seconds: 59",
    ),
    _bad(
        "an idle timeout of flows too long",
        f"19:50: {_LISTENER}.attributes.tcp.idle_timeout.seconds: must be at most 6000, got 6001",
        listener_attributes="tcp.idle_timeout.seconds: 6001",
    ),
    _bad(
        "an idle timeout of flows that is no whole number",
        f"19:50: {_LISTENER}.attributes.tcp.idle_timeout.seconds: must be a whole number, got 10.5",
        listener_attributes="tcp.idle_timeout.seconds: 10.5",
    ),
    _bad(
        "a response header of a gateway",
        f"19:62: {_LISTENER}.attributes.routing.http.response.server.enabled: {_APP}",
        listener_attributes="routing.http.response.server.enabled: true",
    ),
    _bad(
        "resets to the ends of a flow that is idle",
        f"19:64: {_LISTENER}.attributes.send_tcp_reset.on_idle_timeout.enabled: {_RESET}",
        listener_attributes="send_tcp_reset.on_idle_timeout.enabled: true",
    ),
    _bad(
        "resets to the ends of a flow of an unhealthy appliance",
        f"14:57: {_FW}.attributes.send_tcp_reset.on_unhealthy.enabled: {_RESET}",
        group_attributes="send_tcp_reset.on_unhealthy.enabled: true",
    ),
    _bad(
        "a misspelt attribute of a gateway's listener",
        f"19:24: {_LISTENER}.attributes.tcp.idle_timeout.second: unknown key (did you mean tcp.idle_timeout.seconds?)",
        listener_attributes="tcp.idle_timeout.second: 60",
    ),
    _bad(
        "tokens in packets",
        f"18:58: {_LISTENER}.default_action.jwt_validation: needs a load balancer of type: application; write forward",
        listener="{default_action: {forward: fw, jwt_validation: {issuer: i, jwks: 'https://a'}}}",
    ),
    _bad(
        "a misspelt key of a gateway's listener",
        f"18:12: {_LISTENER}.defualt_action: unknown key (did you mean default_action?)",
        listener="{defualt_action: {forward: fw}}",
    ),
    # Target group
    _bad(
        "another port of appliances",
        f"14:13: {_FW}.port: must be 6081 with protocol: GENEVE, or left out, got 8080",
        group="port: 8080",
    ),
    _bad(
        "a name as the port of appliances",
        f"14:13: {_FW}.port: must be a whole number, got 'geneve'",
        group="port: geneve",
    ),
    _bad(
        "appliances at published ports",
        f"14:20: {_FW}.target_type: must be ip with protocol: GENEVE, whose packets go to the appliance "
        "itself, got instance",
        group="target_type: instance",
    ),
    _bad(
        "functions as appliances",
        f"14:20: {_FW}.target_type: must be ip with protocol: GENEVE, whose packets go to the appliance "
        "itself, got lambda",
        group="target_type: lambda",
    ),
    _bad(
        "a load balancer as an appliance",
        "9:17: deploy.target_group: target group fw has target_type: alb, so its target is a load "
        "balancer, not a container (name the target group that this load balancer forwards "
        f"to)\npipeline.yaml:15:22: {_FW}.load_balancer: must be left out: it is for target_type: alb, "
        "and the targets of protocol GENEVE are appliances",
        group="target_type: alb\n      load_balancer: edge",
    ),
    _bad(
        "a version of HTTP for appliances",
        f"14:25: {_FW}.protocol_version: must be left out: it is for protocol: HTTP and HTTPS",
        group="protocol_version: HTTP2",
    ),
    _bad(
        "a load balancer beside appliances",
        f"14:22: {_FW}.load_balancer: must be left out: it is for target_type: alb, and the targets of "
        "protocol GENEVE are appliances",
        group="load_balancer: gw",
    ),
    _bad(
        "a check of the port of GENEVE",
        f"14:28: {_FW}.health_check.port: must be a number with protocol: GENEVE, such as 80; 6081 is a "
        "port of UDP, to which no check connects",
        check="port: traffic-port",
    ),
    _bad(
        "a path of a check by TCP of appliances",
        f"14:21: {_FW}.health_check: must have protocol: HTTP or HTTPS with a path; the default is TCP",
        check="path: /up",
    ),
    _bad(
        "a check of appliances by UDP",
        f"14:32: {_FW}.health_check.protocol: must be one of HTTP, HTTPS, TCP, got 'UDP'",
        check="protocol: UDP",
    ),
    _bad(
        "a check of appliances by GENEVE",
        f"14:32: {_FW}.health_check.protocol: must be one of HTTP, HTTPS, TCP, got 'GENEVE'",
        check="protocol: GENEVE",
    ),
    _bad(
        "a code that no check of appliances can pass",
        f"14:21: {_FW}.health_check: matcher must hold codes from 200 to 599, got 199",
        check="protocol: HTTP, matcher: '199'",
    ),
    _bad(
        "codes of a check by TCP of appliances",
        f"14:21: {_FW}.health_check: must have no matcher with protocol: TCP",
        check="matcher: '200'",
    ),
    _bad(
        "a host of a check by TCP of appliances",
        f"14:21: {_FW}.health_check: must have no host with protocol: TCP",
        check="host: a.example",
    ),
    _bad(
        "port 0 of a check of appliances", f"14:28: {_FW}.health_check.port: must be at least 1, got 0", check="port: 0"
    ),
    _bad(
        "cross-zone balancing of a group of appliances",
        f"14:55: {_FW}.attributes.load_balancing.cross_zone.enabled: {_BOTH}; set it on the gateway load balancer",
        group_attributes="load_balancing.cross_zone.enabled: true",
    ),
    _bad(
        "stickiness of connections for flows",
        f"14:37: {_FW}.attributes.stickiness.type: must be source_ip_dest_ip or source_ip_dest_ip_proto, "
        "got 'source_ip' (did you mean source_ip_dest_ip?)",
        group_attributes="stickiness.type: source_ip",
    ),
    _bad(
        "a cookie for flows",
        f"14:59: {_FW}.attributes.stickiness.lb_cookie.duration_seconds: {_APP}",
        group_attributes="stickiness.lb_cookie.duration_seconds: 60",
    ),
    _bad(
        "a cookie of the application for flows",
        f"14:55: {_FW}.attributes.stickiness.app_cookie.cookie_name: {_APP}",
        group_attributes="stickiness.app_cookie.cookie_name: SID",
    ),
    _bad(
        "only one failover, of unhealthy appliances",
        f"14:50: {_FW}.attributes.target_failover.on_unhealthy: must be the same as "
        "target_failover.on_deregistration, which is no_rebalance; set both",
        group_attributes="target_failover.on_unhealthy: rebalance",
    ),
    _bad(
        "only one failover, of leaving appliances",
        f"14:55: {_FW}.attributes.target_failover.on_deregistration: must be the same as "
        "target_failover.on_unhealthy, which is no_rebalance; set both",
        group_attributes="target_failover.on_deregistration: rebalance",
    ),
    _bad(
        "two different failovers",
        f"14:55: {_FW}.attributes.target_failover.on_deregistration: must be the same as "
        "target_failover.on_unhealthy, which is no_rebalance; set both",
        group_attributes="target_failover.on_deregistration: rebalance, target_failover.on_unhealthy: no_rebalance",
    ),
    _bad(
        "an unknown failover",
        f"14:50: {_FW}.attributes.target_failover.on_unhealthy: must be no_rebalance or rebalance, got 'rehash'",
        group_attributes="target_failover.on_unhealthy: rehash",
    ),
    _bad(
        "the client's address for appliances",
        f"14:48: {_FW}.attributes.preserve_client_ip.enabled: {_NET}; appliances always get the packet "
        "as the client sent it",
        group_attributes="preserve_client_ip.enabled: true",
    ),
    _bad(
        "a PROXY header for appliances",
        f"14:47: {_FW}.attributes.proxy_protocol_v2.enabled: {_NET}; appliances always get the packet as "
        "the client sent it",
        group_attributes="proxy_protocol_v2.enabled: true",
    ),
    _bad(
        "a minimum of healthy appliances",
        "14:95: "
        f"{_FW}.attributes.target_group_health.unhealthy_state_routing.minimum_healthy_targets.count: "
        f"{_BOTH}; without a healthy appliance, all of them get new flows",
        group_attributes="target_group_health.unhealthy_state_routing.minimum_healthy_targets.count: 2",
    ),
    _bad(
        "connections of an unhealthy appliance",
        f"14:82: {_FW}.attributes.target_health_state.unhealthy.connection_termination.enabled: {_NET}; "
        "set target_failover.on_unhealthy",
        group_attributes="target_health_state.unhealthy.connection_termination.enabled: false",
    ),
    _bad(
        "connections of a leaving appliance",
        f"14:73: {_FW}.attributes.deregistration_delay.connection_termination.enabled: {_NET}",
        group_attributes="deregistration_delay.connection_termination.enabled: true",
    ),
    _bad(
        "a slow start of appliances",
        f"14:49: {_FW}.attributes.slow_start.duration_seconds: {_APP}",
        group_attributes="slow_start.duration_seconds: 30",
    ),
    _bad(
        "an algorithm for flows",
        f"14:51: {_FW}.attributes.load_balancing.algorithm.type: {_APP}",
        group_attributes="load_balancing.algorithm.type: round_robin",
    ),
    _bad(
        "retries of packets",
        f"14:57: {_FW}.attributes.retry.minimum_healthy_targets.count: {_APP}",
        group_attributes="retry.minimum_healthy_targets.count: 1",
    ),
    _bad(
        "headers of functions for appliances",
        f"14:56: {_FW}.attributes.lambda.multi_value_headers.enabled: {_APP}",
        group_attributes="lambda.multi_value_headers.enabled: true",
    ),
    _bad(
        "a drain of appliances too long",
        f"14:29: {_FW}.deregistration_delay: must be between 0s and 1h",
        group="deregistration_delay: 2h",
    ),
    _bad(
        "a misspelt attribute of appliances",
        f"14:20: {_FW}.attributes.target_failovr.on_unhealthy: unknown key (did you mean "
        "target_failover.on_unhealthy?)",
        group_attributes="target_failovr.on_unhealthy: rebalance",
    ),
    _bad(
        "packets that are held",
        f"14:18: {_FW}.hold_time: must be left out: it is for protocol: HTTP and HTTPS",
        group="hold_time: 10s",
    ),
    # The service
    _bad(
        "a canary of appliances",
        "10:13: deploy.strategy: target group fw has protocol GENEVE, and a gateway load balancer "
        "forwards to one group only, so the traffic cannot move to a second one; use strategy: rolling",
        deploy="strategy: canary",
    ),
    _bad(
        "blue and green appliances",
        "10:13: deploy.strategy: target group fw has protocol GENEVE, and a gateway load balancer "
        "forwards to one group only, so the traffic cannot move to a second one; use strategy: rolling",
        deploy="strategy: {type: blue_green, test_traffic: {port: 8001}}",
    ),
    _bad(
        "appliances that scale to zero",
        "10:18: deploy.scaling.min: must be at least 1, got 0: target group fw is of a gateway load "
        "balancer, which cannot hold packets",
        deploy="scaling: {min: 0, max: 2, target: {cpu: 50%}}",
    ),
    _bad(
        "appliances that follow requests",
        "10:59: deploy.scaling.target.requests_per_target: requires an application load balancer; "
        "target group fw is of a gateway load balancer, which has no requests; use connections or cpu",
        deploy="scaling: {min: 1, max: 2, target: {requests_per_target: 5}}",
    ),
    _bad(
        "a notice by HTTP to appliances",
        "10:20: deploy.on_drain.http: cannot reach an appliance, whose port 6081 is one of UDP; use command or signal",
        deploy="on_drain: {http: /drain}",
    ),
    _bad(
        "a rollback by responses of appliances",
        "10:26: deploy.rollback_on[0].metric: http_5xx_ratio is not known for fw with protocol GENEVE, "
        "because its connections are not logged; use unhealthy_targets, restarts, command or promql",
        deploy="rollback_on: [{metric: http_5xx_ratio, above: 1%}]\n  strategy: {type: rolling, bake_time: 10m}",
    ),
    _bad(
        "appliances on other hosts",
        f"14:7: {_FW}: protocol GENEVE reaches containers of this machine only; or leave out deploy.hosts",
        deploy="hosts: [{name: a, docker: 'ssh://a'}]",
    ),
    _bad(
        "a function as an appliance",
        "9:3: deploy: function requires target_type: lambda in target group fw",
        deploy="function: app.handler",
    ),
    # Other load balancers
    Bad(
        "a listener of an application load balancer with GENEVE",
        "        - {port: 8000, default_action",
        "        - {port: 8000, protocol: GENEVE, default_action",
        "19:34: balancer.load_balancers.edge.listeners[0].protocol: GENEVE needs a load balancer of type: gateway, "
        "whose listener has neither protocol nor port",
    ),
    Bad(
        "a failover of requests",
        "      health_check: {path: /up, interval: 1s}\n",
        "      attributes: {target_failover.on_unhealthy: rebalance}\n",
        "15:50: balancer.target_groups.web.attributes.target_failover.on_unhealthy: is not supported: it is for "
        "gateway load balancers",
    ),
    Bad(
        "appliances of an application load balancer",
        "      port: 8080\n      health_check: {path: /up, interval: 1s}\n",
        "      protocol: GENEVE\n",
        "18:50: balancer.load_balancers.edge.listeners[0].default_action.forward: a listener of protocol HTTP cannot "
        "forward to target group web, which has protocol GENEVE (set protocol: HTTP or HTTPS on the target group)",
    ),
]
