"""Invalid declarations of a load balancer, and the exact message for each."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad

_LISTENER = "        - {port: 8000, default_action: {forward: web}}\n"


def _rules(*rules: str) -> str:
    lines = "".join(f"            - {rule}\n" for rule in rules)
    return f"        - port: 8000\n          default_action: {{forward: web}}\n          rules:\n{lines}"


BALANCER_MISTAKES = [
    Bad(
        "only fixed responses and redirects",
        _LISTENER,
        "        - {port: 8000, default_action: {fixed_response: {status_code: 404}}}\n"
        "        - {port: 8001, default_action: {redirect: {status_code: HTTP_301, port: '8000'}}}\n",
        "9:17: deploy.target_group: no listener forwards to web, so the deployment would be unreachable (add default_action: {forward: web} to a listener)",
    ),
    Bad(
        "a health check's host for TCP",
        "health_check: {path: /up, interval: 1s}",
        "health_check: {protocol: TCP, host: shop.test}",
        "15:21: balancer.target_groups.web.health_check: must have no host with protocol: TCP",
    ),
    Bad(
        "a check by TCP of a published port",
        "health_check: {path: /up, interval: 1s}",
        "target_type: instance\n      health_check: {protocol: TCP}",
        "16:21: balancer.target_groups.web.health_check: a TCP check of target_type: instance always passes, because Docker accepts each connection to a published port, also if nothing listens in the container (set health_check.protocol to HTTP or HTTPS, or target_type to ip)",
    ),
    Bad(
        "a health check's host with a path",
        "{path: /up, interval: 1s}",
        "{host: shop.test/up}",
        "15:28: balancer.target_groups.web.health_check.host: must be a host name or an address, with or without a port, got 'shop.test/up'",
    ),
    Bad(
        "host without a dot",
        _LISTENER,
        _rules("{priority: 1, conditions: [{host_header: [shop]}], action: {forward: web}}"),
        "22:57: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].host_header[0]: must have a dot, and only letters after the last one, as in *.example.com, got 'shop'",
    ),
    Bad(
        "two hosts conditions",
        _LISTENER,
        _rules("{priority: 1, conditions: [{host_header: [a.b]}, {host_header: [c.d]}], action: {forward: web}}"),
        "22:41: balancer.load_balancers.edge.listeners[0].rules[0].conditions: must hold host_header once; list its values in one condition",
    ),
    Bad(
        "condition misspelt",
        _LISTENER,
        _rules("{priority: 1, conditions: [{hots_header: [a.b]}], action: {forward: web}}"),
        "22:43: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].hots_header: unknown key (did you mean host_header?)",
    ),
    Bad(
        "two in a condition",
        _LISTENER,
        _rules("{priority: 1, conditions: [{host_header: [a.b], path_pattern: [/]}], action: {forward: web}}"),
        "22:42: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0]: must be one of host_header, path_pattern, http_header, http_request_method, query_string, source_ip",
    ),
    Bad(
        "no values",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: []}], action: {forward: web}}"),
        "22:57: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].path_pattern: must have either values or regex_values",
    ),
    Bad(
        "too many values",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: [/1, /2, /3, /4, /5, /6]}], action: {forward: web}}"),
        "22:41: balancer.load_balancers.edge.listeners[0].rules[0].conditions: must hold at most 5 values, got 6; split the rule",
    ),
    Bad(
        "too many wildcards",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: ['/*a*b*c*d*e*']}], action: {forward: web}}"),
        "22:41: balancer.load_balancers.edge.listeners[0].rules[0].conditions: must hold at most 5 wildcards, got 6; split the rule",
    ),
    Bad(
        "host header by name",
        _LISTENER,
        _rules("{priority: 1, conditions: [{http_header: {name: host, values: [a]}}], action: {forward: web}}"),
        "22:63: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].http_header.name: use host_header for the Host header",
    ),
    Bad(
        "header without values",
        _LISTENER,
        _rules("{priority: 1, conditions: [{http_header: {name: X}}], action: {forward: web}}"),
        "22:56: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].http_header: must have either values or regex_values",
    ),
    Bad(
        "bad regex",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: {regex_values: ['(']}}], action: {forward: web}}"),
        "22:73: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].path_pattern.regex_values[0]: '(' is not a valid regular expression: missing ), unterminated subpattern at position 0",
    ),
    Bad(
        "method lower",
        _LISTENER,
        _rules("{priority: 1, conditions: [{http_request_method: [get]}], action: {forward: web}}"),
        "22:65: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].http_request_method[0]: must be a method in capitals, such as GET, got 'get'",
    ),
    Bad(
        "bad cidr",
        _LISTENER,
        _rules("{priority: 1, conditions: [{source_ip: [10.0.0.256/8]}], action: {forward: web}}"),
        "22:55: balancer.load_balancers.edge.listeners[0].rules[0].conditions[0].source_ip[0]: must be an address range such as 192.0.2.0/24 or 2001:db8::/32, got '10.0.0.256/8'",
    ),
    Bad(
        "priority twice",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: web}}",
            "{priority: 1, conditions: [{path_pattern: [/b]}], action: {forward: web}}",
        ),
        "22:13: balancer.load_balancers.edge.listeners[0].rules: must have unique priorities, got 1 twice",
    ),
    Bad(
        "priority 0",
        _LISTENER,
        _rules("{priority: 0, conditions: [{path_pattern: [/a]}], action: {forward: web}}"),
        "22:26: balancer.load_balancers.edge.listeners[0].rules[0].priority: must be at least 1, got 0",
    ),
    Bad(
        "forward nowhere",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: wbe}}"),
        "22:83: balancer.load_balancers.edge.listeners[0].rules[0].action.forward: there is no target group wbe (did you mean web?)",
    ),
    Bad(
        "forward list nowhere",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: [{target_group: wbe, weight: 3}]}}"
        ),
        "22:99: balancer.load_balancers.edge.listeners[0].rules[0].action.forward[0].target_group: there is no target group wbe (did you mean web?)",
    ),
    Bad(
        "weight too big",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: [{target_group: web, weight: 1000}]}}"
        ),
        "22:112: balancer.load_balancers.edge.listeners[0].rules[0].action.forward[0].weight: must be at most 999, got 1000",
    ),
    Bad(
        "all weights 0",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: [{target_group: web, weight: 0}]}}"
        ),
        "22:74: balancer.load_balancers.edge.listeners[0].rules[0].action.forward.target_groups: must have a weight above 0",
    ),
    Bad(
        "same group twice",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: [web, web]}}"),
        "22:74: balancer.load_balancers.edge.listeners[0].rules[0].action.forward.target_groups: must name each target group once",
    ),
    Bad(
        "redirect to itself",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: [/a]}], action: {redirect: {status_code: HTTP_301}}}"),
        "22:84: balancer.load_balancers.edge.listeners[0].rules[0].action.redirect: must change protocol, host, port or path",
    ),
    Bad(
        "redirect placeholder",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {redirect: {path: '/#{pth}', status_code: HTTP_301}}}"
        ),
        "22:91: balancer.load_balancers.edge.listeners[0].rules[0].action.redirect.path: must hold no placeholder other than #{protocol}, #{host}, #{port}, #{path} and #{query}",
    ),
    Bad(
        "redirect status",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {redirect: {protocol: HTTPS, status_code: 301}}}"
        ),
        "22:115: balancer.load_balancers.edge.listeners[0].rules[0].action.redirect.status_code: must be HTTP_301 or HTTP_302, got 301",
    ),
    Bad(
        "fixed status",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: [/a]}], action: {fixed_response: {status_code: 301}}}"),
        "22:104: balancer.load_balancers.edge.listeners[0].rules[0].action.fixed_response.status_code: must be a status code of 2XX, 4XX or 5XX, got '301'",
    ),
    Bad(
        "two actions",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: web, fixed_response: {status_code: 404}}}"
        ),
        "22:73: balancer.load_balancers.edge.listeners[0].rules[0].action: must have exactly one of forward, redirect and fixed_response",
    ),
    Bad(
        "no action",
        _LISTENER,
        _rules("{priority: 1, conditions: [{path_pattern: [/a]}], action: {}}"),
        "22:73: balancer.load_balancers.edge.listeners[0].rules[0].action: must have exactly one of forward, redirect and fixed_response",
    ),
    Bad(
        "rewrite group",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], transforms: {url_rewrite: {regex: ^/a, replace: /$1}}, action: {forward: web}}"
        ),
        "22:113: balancer.load_balancers.edge.listeners[0].rules[0].transforms.url_rewrite.replace: must name existing groups, got $1 for 0 groups",
    ),
    Bad(
        "jwt on http",
        _LISTENER,
        _rules(
            "{priority: 1, conditions: [{path_pattern: [/a]}], action: {jwt_validation: {jwks: keys.json, issuer: me}, forward: web}}"
        ),
        "19:11: balancer.load_balancers.edge.listeners[0].protocol: must be HTTPS for jwt_validation; a token sent over plain HTTP cannot be trusted",
    ),
    Bad(
        "https without certificate",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, default_action: {forward: web}}\n",
        "19:11: balancer.load_balancers.edge.listeners[0].certificates: must not be empty for an HTTPS listener",
    ),
    Bad(
        "certificate without a source",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{}], default_action: {forward: web}}\n",
        "19:56: balancer.load_balancers.edge.listeners[0].certificates[0].certificate: is missing; write a PEM file, or use acme",
    ),
    Bad(
        "certificate with two sources",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{certificate: a.pem, acme: {domains: [a.test], terms_agreed: true}}], default_action: {forward: web}}\n",
        "19:83: balancer.load_balancers.edge.listeners[0].certificates[0].acme: has its own certificate and key; leave certificate and private_key out",
    ),
    Bad(
        "acme without agreement",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [a.test]}}], default_action: {forward: web}}\n",
        "19:57: balancer.load_balancers.edge.listeners[0].certificates[0].acme.terms_agreed: is missing (Must be true. It says that you agree to the terms of service of the authority)",
    ),
    Bad(
        "acme with a refusal",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [a.test], terms_agreed: false}}], default_action: {forward: web}}\n",
        "19:97: balancer.load_balancers.edge.listeners[0].certificates[0].acme.terms_agreed: must be true: no authority issues a certificate if you do not agree to its terms",
    ),
    Bad(
        "acme for no domain",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [A.test], terms_agreed: true}}], default_action: {forward: web}}\n",
        "19:74: balancer.load_balancers.edge.listeners[0].certificates[0].acme.domains[0]: must be a domain such as example.com or *.example.com, in lower case, got 'A.test'",
    ),
    Bad(
        "acme for a domain twice",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [a.test, a.test], terms_agreed: true}}], default_action: {forward: web}}\n",
        "19:73: balancer.load_balancers.edge.listeners[0].certificates[0].acme.domains: must not name a domain twice",
    ),
    Bad(
        "acme for a wildcard by http",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: ['*.a.test'], terms_agreed: true}}], default_action: {forward: web}}\n",
        "19:57: balancer.load_balancers.edge.listeners[0].certificates[0].acme.dns: is missing; the wildcard *.a.test can be proved by DNS only",
    ),
    Bad(
        "acme with a word for an address",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [a.test], terms_agreed: true, email: me}}], default_action: {forward: web}}\n",
        "19:110: balancer.load_balancers.edge.listeners[0].certificates[0].acme.email: must be an address such as ops@example.com, got 'me'",
    ),
    Bad(
        "acme over plain http",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [a.test], terms_agreed: true, directory: 'http://a.test/'}}], default_action: {forward: web}}\n",
        "19:114: balancer.load_balancers.edge.listeners[0].certificates[0].acme.directory: must be an https:// URL, got 'http://a.test/'",
    ),
    Bad(
        "acme with the path of a program",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, certificates: [{acme: {domains: [a.test], terms_agreed: true, dns: ./records}}], default_action: {forward: web}}\n",
        "19:108: balancer.load_balancers.edge.listeners[0].certificates[0].acme.dns: must be 1 to 32 letters, digits and inner dashes, got './records'",
    ),
    Bad(
        "certificate without https",
        _LISTENER,
        "        - {port: 8443, certificates: [{certificate: a.pem}], default_action: {forward: web}}\n",
        "19:38: balancer.load_balancers.edge.listeners[0].certificates: needs protocol: HTTPS",
    ),
    Bad(
        "unknown policy",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, ssl_policy: ELBSecurityPolicy-2015-05, certificates: [{certificate: a.pem}], default_action: {forward: web}}\n",
        "19:53: balancer.load_balancers.edge.listeners[0].ssl_policy: must be one of ELBSecurityPolicy-TLS13-1-3-2021-06, ELBSecurityPolicy-TLS13-1-2-Res-2021-06, ELBSecurityPolicy-TLS13-1-2-2021-06, ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06, ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06, ELBSecurityPolicy-TLS13-1-1-2021-06, ELBSecurityPolicy-TLS13-1-0-2021-06, ELBSecurityPolicy-2016-08, ELBSecurityPolicy-TLS-1-1-2017-01, ELBSecurityPolicy-TLS-1-2-2017-01, ELBSecurityPolicy-TLS-1-2-Ext-2018-06, ELBSecurityPolicy-FS-2018-06, ELBSecurityPolicy-FS-1-1-2019-08, ELBSecurityPolicy-FS-1-2-2019-08, ELBSecurityPolicy-FS-1-2-Res-2019-08, ELBSecurityPolicy-FS-1-2-Res-2020-10, got 'ELBSecurityPolicy-2015-05' (did you mean ELBSecurityPolicy-2016-08?)",
    ),
    Bad(
        "verify without store",
        _LISTENER,
        "        - {port: 8443, protocol: HTTPS, mutual_authentication: {mode: verify}, certificates: [{certificate: a.pem}], default_action: {forward: web}}\n",
        "19:41: balancer.load_balancers.edge.listeners[0].mutual_authentication.trust_store: must be set with mode: verify, and only then",
    ),
    Bad(
        "no default action and no rules",
        _LISTENER,
        "        - {port: 8000}\n",
        "19:11: balancer.load_balancers.edge.listeners[0].default_action: is missing; without it, rules are required",
    ),
    Bad(
        "joins with protocol",
        _LISTENER,
        "        - {port: 8000, protocol: HTTP, rules: [{priority: 1, conditions: [{path_pattern: [/a]}], action: {forward: web}}]}\n",
        "19:34: balancer.load_balancers.edge.listeners[0].protocol: needs a default_action; without it, the listener belongs to another pipeline",
    ),
    Bad(
        "attribute of s3",
        "    edge:\n",
        "    edge:\n      attributes: {access_logs.s3.enabled: true}\n",
        "18:44: balancer.load_balancers.edge.attributes.access_logs.s3.enabled: is not supported: logs are not written to S3; `pipeline balancer log` prints the same fields",
    ),
    Bad(
        "attribute misspelt",
        "    edge:\n",
        "    edge:\n      attributes: {idle_timeout.timeout_second: 5}\n",
        "18:20: balancer.load_balancers.edge.attributes.idle_timeout.timeout_second: unknown key (did you mean idle_timeout.timeout_seconds?)",
    ),
    Bad(
        "attribute xff",
        "    edge:\n",
        "    edge:\n      attributes: {routing.http.xff_header_processing.mode: drop}\n",
        "18:61: balancer.load_balancers.edge.attributes.routing.http.xff_header_processing.mode: must be one of append, preserve, remove, got 'drop'",
    ),
    Bad(
        "group attribute of nlb",
        "port: 8080",
        "port: 8080\n      attributes: {proxy_protocol_v2.enabled: true}",
        "15:47: balancer.target_groups.web.attributes.proxy_protocol_v2.enabled: is not supported: it is for network load balancers",
    ),
    Bad(
        "delay twice",
        "port: 8080",
        "port: 8080\n      deregistration_delay: 5s\n      attributes: {deregistration_delay.timeout_seconds: 5}",
        "15:29: balancer.target_groups.web.deregistration_delay: must be set once; attributes also set deregistration_delay.timeout_seconds",
    ),
    Bad(
        "slow start with lor",
        "port: 8080",
        "port: 8080\n      attributes: {slow_start.duration_seconds: 30, load_balancing.algorithm.type: least_outstanding_requests}",
        "15:49: balancer.target_groups.web.attributes.slow_start.duration_seconds: needs load_balancing.algorithm.type: round_robin, got least_outstanding_requests",
    ),
    Bad(
        "app cookie without name",
        "port: 8080",
        "port: 8080\n      attributes: {stickiness.enabled: true, stickiness.type: app_cookie}",
        "15:63: balancer.target_groups.web.attributes.stickiness.type: app_cookie needs stickiness.app_cookie.cookie_name",
    ),
    Bad(
        "app cookie reserved",
        "port: 8080",
        "port: 8080\n      attributes: {stickiness.app_cookie.cookie_name: AWSALBAPP}",
        "15:55: balancer.target_groups.web.attributes.stickiness.app_cookie.cookie_name: must not begin with AWSALB, which the load balancer uses for its own cookies",
    ),
    Bad(
        "app cookie attribute",
        "port: 8080",
        "port: 8080\n      attributes: {stickiness.app_cookie.cookie_name: $SID}",
        "15:55: balancer.target_groups.web.attributes.stickiness.app_cookie.cookie_name: must not begin with $, because HAProxy takes that for an attribute of the cookie before",
    ),
    Bad(
        "minimum 0",
        "port: 8080",
        "port: 8080\n      attributes: {target_group_health.unhealthy_state_routing.minimum_healthy_targets.count: 0}",
        "15:95: balancer.target_groups.web.attributes.target_group_health.unhealthy_state_routing.minimum_healthy_targets.count: must be at least 1, or off, got 0",
    ),
    Bad(
        "matcher out of range",
        "interval: 1s",
        "interval: 1s, matcher: 500",
        "15:21: balancer.target_groups.web.health_check: matcher must hold codes from 200 to 499, got 500",
    ),
    Bad(
        "tcp matcher",
        "interval: 1s",
        "interval: 1s, protocol: TCP, matcher: 200",
        "15:21: balancer.target_groups.web.health_check: must have no matcher with protocol: TCP",
    ),
    Bad(
        "public address internal",
        "    edge:\n",
        "    edge:\n      scheme: internal\n      address: 8.8.8.8\n",
        "19:16: balancer.load_balancers.edge.address: must not be public with scheme: internal, got 8.8.8.8",
    ),
    Bad(
        "bad address",
        "    edge:\n",
        "    edge:\n      address: localhost\n",
        "18:16: balancer.load_balancers.edge.address: must be an IP address such as 192.0.2.7 or 2001:db8::7, got 'localhost'",
    ),
]
