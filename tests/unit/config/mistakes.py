"""Mistakes in pipeline.yaml, with the exact errors."""

from __future__ import annotations

from typing import NamedTuple


class Bad(NamedTuple):
    """A mistake: `written` replaces `right` in the good file. `error` is without the file's name."""

    mistake: str
    right: str
    written: str
    error: str


MISTAKES = [
    Bad(
        "a misspelt key at the top",
        "deploy:",
        "deplyo:",
        "8:1: deplyo: unknown key (did you mean deploy?)",
    ),
    Bad(
        "a misspelt key below",
        "  replicas: 3",
        "  replica: 3",
        "10:3: deploy.replica: unknown key (did you mean replicas?)",
    ),
    Bad(
        "a key of somewhere else",
        "name: shop",
        "name: shop\nreplicas: 2",
        "2:1: replicas: unknown key (known: accessories, balancer, build, deploy, execution_mode, name, parameters, "
        "reporters, retention, secrets, source, triggers)",
    ),
    Bad(
        "services as in Compose",
        "name: shop",
        "name: shop\nservices: {web: {image: nginx}}",
        "2:1: services: unknown key (write deploy.services; `pipeline import compose` translates a Compose file)",
    ),
    Bad(
        "a cron expression with seconds",
        "name: shop",
        'name: shop\ntriggers: {schedule: ["0 0 4 * * *"]}',
        "2:23: triggers.schedule[0]: '0 0 4 * * *' is not a valid cron expression (Wrong number of fields); write "
        "five fields: 0 4 * * *",
    ),
    Bad(
        "a cron expression of one field",
        "name: shop",
        "name: shop\ntriggers: {schedule: [{cron: hourly, rebuild: true}]}",
        "2:30: triggers.schedule[0].cron: 'hourly' is not a valid cron expression (Wrong number of fields); write "
        "five fields: 0 4 * * *",
    ),
    Bad(
        "a key twice",
        "  replicas: 3",
        "  replicas: 3\n  replicas: 4",
        "11:3: deploy.replicas: duplicate key; the first is on line 10",
    ),
    Bad(
        "a name with a space",
        "name: shop",
        "name: my shop",
        "1:7: name: must be 1 to 32 letters, digits and inner dashes, got 'my shop'",
    ),
    Bad(
        "a name that is too long",
        "name: shop",
        "name: sssssssssssssssssssssssssssssssss",
        "1:7: name: must be 1 to 32 letters, digits and inner dashes, got 'sssssssssssssssssssssssssssssssss'",
    ),
    Bad(
        "a name that is a number",
        "name: shop",
        "name: 2048",
        '1:7: name: must be text, got 2048 (write "2048")',
    ),
    Bad(
        "no name",
        "name: shop\n",
        "",
        "1:1: name: is missing (Name of the pipeline, unique on this machine)",
    ),
    Bad(
        "a name without a value",
        "name: shop",
        "name:",
        "1:1: name: is missing (Name of the pipeline, unique on this machine)",
    ),
    Bad(
        "replicas as text",
        "replicas: 3",
        "replicas: three",
        "10:13: deploy.replicas: must be a whole number, got 'three'",
    ),
    Bad(
        "replicas as a fraction",
        "replicas: 3",
        "replicas: 2.5",
        "10:13: deploy.replicas: must be a whole number, got 2.5",
    ),
    Bad(
        "replicas as a truth value",
        "replicas: 3",
        "replicas: yes please",
        "10:13: deploy.replicas: must be a whole number, got 'yes please'",
    ),
    Bad(
        "replicas true",
        "replicas: 3",
        "replicas: true",
        "10:13: deploy.replicas: must be a whole number, got true",
    ),
    Bad(
        "no replicas at all",
        "replicas: 3",
        "replicas: 0",
        "10:13: deploy.replicas: must be at least 1, got 0",
    ),
    Bad(
        "too many replicas",
        "replicas: 3",
        "replicas: 501",
        "10:13: deploy.replicas: must be at most 500, got 501",
    ),
    Bad(
        "a dangling forward",
        "forward: web",
        "forward: wbe",
        "19:50: "
        "balancer.load_balancers.edge.listeners[0].default_action.forward: there is no "
        "target group wbe (did you mean web?)",
    ),
    Bad(
        "a dangling target group",
        "target_group: web",
        "target_group: wob",
        "9:17: deploy.target_group: there is no target group wob (did you mean web?)",
    ),
    Bad(
        "two listeners on one port",
        "forward: web}}",
        "forward: web}}\n        - {port: 8000, default_action: {forward: web}}",
        "20:18: balancer.load_balancers.edge.listeners[1].port: port 8000 is used by the listener on line 19",
    ),
    Bad(
        "a port out of range",
        "port: 8000",
        "port: 80000",
        "19:18: balancer.load_balancers.edge.listeners[0].port: must be at most 65535, got 80000",
    ),
    Bad(
        "a port that is text",
        "port: 8080",
        "port: http",
        "14:13: balancer.target_groups.web.port: must be a whole number, got 'http'",
    ),
    Bad(
        "a duration without a unit",
        "interval: 1s",
        "interval: 1",
        "15:43: balancer.target_groups.web.health_check.interval: 1 is not a valid duration; write 1ms, 1s, 1m or 1h",
    ),
    Bad(
        "a duration with a wrong unit",
        "interval: 1s",
        "interval: 1sec",
        "15:43: balancer.target_groups.web.health_check.interval: '1sec' is not a valid duration; write 1s",
    ),
    Bad(
        "an interval too short",
        "interval: 1s",
        "interval: 10ms",
        "15:43: balancer.target_groups.web.health_check.interval: must be between 100ms and 300s",
    ),
    Bad(
        "a timeout not under the interval",
        "interval: 1s",
        "interval: 1s, timeout: 1s",
        "15:56: balancer.target_groups.web.health_check.timeout: must be less than the interval of 1s, got 1s",
    ),
    Bad(
        "a threshold out of range",
        "interval: 1s",
        "interval: 1s, healthy_threshold: 11",
        "15:66: balancer.target_groups.web.health_check.healthy_threshold: must be at most 10, got 11",
    ),
    Bad(
        "a path without a slash",
        "path: /up",
        "path: up",
        "15:28: balancer.target_groups.web.health_check.path: must start with / and contain no space, got 'up'",
    ),
    Bad(
        "a matcher that is none",
        "interval: 1s",
        "interval: 1s, matcher: 2xx",
        "15:56: balancer.target_groups.web.health_check.matcher: must be "
        "status codes such as 200, 200,204 or 200-299, got '2xx'",
    ),
    Bad(
        "a check protocol that is none",
        "interval: 1s",
        "interval: 1s, protocol: htp",
        "15:57: balancer.target_groups.web.health_check.protocol: must be one of HTTP, HTTPS, TCP, got 'htp' "
        "(did you mean HTTP?)",
    ),
    Bad(
        "no room to move",
        "  replicas: 3",
        "  replicas: 3\n  rolling: {max_surge: 0, max_unavailable: 0}",
        "11:12: deploy.rolling: must allow progress: max_surge 0 and "
        "max_unavailable 0 of 3 are both 0; set max_surge to 1",
    ),
    Bad(
        "no room to move by rounding",
        "  replicas: 3",
        "  replicas: 3\n  rolling: {max_surge: 0, max_unavailable: 25%}",
        "11:12: deploy.rolling: must allow progress: max_surge 0 and "
        "max_unavailable 25% of 3 are both 0; set max_surge to 1",
    ),
    Bad(
        "an amount that is none",
        "  replicas: 3",
        "  replicas: 3\n  rolling: {max_surge: many}",
        "11:24: deploy.rolling.max_surge: 'many' is not a valid amount; write a number such as 2 or a percentage "
        "such as 25%",
    ),
    Bad(
        "a negative amount",
        "  replicas: 3",
        "  replicas: 3\n  rolling: {max_surge: -1}",
        "11:24: deploy.rolling.max_surge: -1 is not a valid amount; write a number such as 2 or a percentage "
        "such as 25%",
    ),
    Bad(
        "a size that is none",
        "  replicas: 3",
        "  replicas: 3\n  memory: lots",
        "11:11: deploy.memory: 'lots' is not a valid size; write 256MiB or 1GiB",
    ),
    Bad(
        "a capability that does not exist",
        "replicas: 3",
        "replicas: 3\n  cap_add: [CAP_NET_RAWS]",
        "11:13: deploy.cap_add[0]: 'CAP_NET_RAWS' is not a Linux capability; write NET_RAW",
    ),
    Bad(
        "something that is no capability",
        "replicas: 3",
        "replicas: 3\n  cap_drop: [NET_RAW, privileged]",
        "11:23: deploy.cap_drop[1]: 'privileged' is not a Linux capability; write a name such as NET_RAW",
    ),
    Bad(
        "a capability that is not in a list",
        "replicas: 3",
        "replicas: 3\n  cap_add: NET_RAW",
        "11:12: deploy.cap_add: must be a list, got 'NET_RAW' (write [NET_RAW])",
    ),
    Bad(
        "a capability that is added and dropped",
        "replicas: 3",
        "replicas: 3\n  cap_add: [NET_RAW]\n  cap_drop: [cap_net_raw]",
        "12:13: deploy.cap_drop: must not contain NET_RAW, which is in cap_add; remove it from one of them",
    ),
    Bad(
        "no processes at all",
        "replicas: 3",
        "replicas: 3\n  pids_limit: 0",
        "11:15: deploy.pids_limit: must be at least 1, or -1 for no limit, got 0",
    ),
    Bad(
        "privileges that are not true or false",
        "replicas: 3",
        "replicas: 3\n  no_new_privileges: never",
        "11:22: deploy.no_new_privileges: must be true or false, got 'never'",
    ),
    Bad(
        "no cpu",
        "  replicas: 3",
        "  replicas: 3\n  cpus: 0",
        "11:9: deploy.cpus: must be at least 0.01, got 0",
    ),
    Bad(
        "more cores than the engine can count",
        "  replicas: 3",
        "  replicas: 3\n  cpus: 1e30",
        "11:9: deploy.cpus: must be at most 100000, got 1e+30",
    ),
    Bad(
        "a volume that is none",
        "  replicas: 3",
        "  replicas: 3\n  volumes: [data]",
        "11:13: deploy.volumes[0]: 'data' is not a valid volume; write /host/path:/container/path or "
        "name:/container/path:ro",
    ),
    Bad(
        "a drive of Windows as a volume",
        "  replicas: 3",
        '  replicas: 3\n  volumes: ["d:/data"]',
        "11:13: deploy.volumes[0]: 'd:/data' must have a volume name of 2 to 255 characters",
    ),
    Bad(
        "a volume in place of all files",
        "  replicas: 3",
        '  replicas: 3\n  volumes: ["data:/x/..:ro"]',
        "11:13: deploy.volumes[0]: 'data:/x/..:ro' must have a path in the container other than /",
    ),
    Bad(
        "a null character in a volume",
        "  replicas: 3",
        '  replicas: 3\n  volumes: ["data:/x\\0"]',
        "11:13: deploy.volumes[0]: 'data:/x\\x00' is not a valid volume; write /host/path:/container/path or "
        "name:/container/path:ro",
    ),
    Bad(
        "two volumes at one path",
        "  replicas: 3",
        '  replicas: 3\n  volumes: ["aa:/x", "bb:/x/"]',
        "11:22: deploy.volumes[1]: 'bb:/x/' has the same path in the container as 'aa:/x'",
    ),
    Bad(
        "a volume twice",
        "  replicas: 3",
        '  replicas: 3\n  volumes: ["aa:/y", "aa:/x", "aa:/x"]',
        "11:31: deploy.volumes[2]: 'aa:/x' has the same path in the container as 'aa:/x'",
    ),
    Bad(
        "less memory than Docker allows",
        "  replicas: 3",
        "  replicas: 3\n  memory: 4MiB",
        "11:11: deploy.memory: must be at least 6MiB, or 0 for no limit, got 4194304 bytes",
    ),
    Bad(
        "more memory than there can be",
        "  replicas: 3",
        "  replicas: 3\n  shm_size: 4096P",
        "11:13: deploy.shm_size: '4096P' is too large",
    ),
    Bad(
        "an infinite number of processors",
        "  replicas: 3",
        "  replicas: 3\n  cpus: '1e999'",
        "11:9: deploy.cpus: must be a finite number, got '1e999'",
    ),
    Bad(
        "more processes than Linux can number",
        "  replicas: 3",
        "  replicas: 3\n  pids_limit: 4194305",
        "11:15: deploy.pids_limit: must be at most 4194304, got 4194305",
    ),
    Bad(
        "a null character in a variable",
        "  replicas: 3",
        '  replicas: 3\n  environment: {A: "x\\0y"}',
        "11:20: deploy.environment.A: must not contain a null character, which ends a text in Linux",
    ),
    Bad(
        "a null character in a variable of a list",
        "  replicas: 3",
        '  replicas: 3\n  environment: ["A=x\\0y"]',
        "11:17: deploy.environment[0]: must not contain a null character, which ends a text in Linux",
    ),
    Bad(
        "a null character in a command",
        "  replicas: 3",
        '  replicas: 3\n  command: [serve, "\\0"]',
        "11:20: deploy.command[1]: must not contain a null character, which ends a text in Linux",
    ),
    Bad(
        "a null character in an entrypoint",
        "  replicas: 3",
        '  replicas: 3\n  entrypoint: ["\\0"]',
        "11:16: deploy.entrypoint[0]: must not contain a null character, which ends a text in Linux",
    ),
    Bad(
        "a service's image with an upper-case name",
        "[make, test]}",
        "[make, test], services: {db: {image: Postgres}}}",
        "7:56: build.test.services.db.image: 'Postgres' is not a valid name of an image; "
        "write postgres:16 or registry.example.com/db:2",
    ),
    Bad(
        "a colon in a list of variables",
        "  replicas: 3",
        '  replicas: 3\n  environment: ["A: b"]',
        "11:17: deploy.environment[0]: must be the name of a variable, without = and without spaces, got"
        " 'A: b' (write NAME=value or NAME: value)",
    ),
    Bad(
        "a variable without a name",
        "  replicas: 3",
        '  replicas: 3\n  environment: ["=b"]',
        "11:17: deploy.environment[0]: must be the name of a variable, without = and without spaces, got"
        " '' (write NAME=value or NAME: value)",
    ),
    Bad(
        "a space in the name of a variable that is taken from the shell",
        "  replicas: 3",
        '  replicas: 3\n  environment: {"A b": }',
        "11:17: deploy.environment.A b: must be the name of a variable, without = and without spaces, got"
        " 'A b' (write NAME=value or NAME: value)",
    ),
    Bad(
        "a build argument that is no variable",
        "build:\n",
        "build:\n  args: [my-arg]\n",
        "6:10: build.args[0]: must be a variable name: letters, digits and _, no digit first, got 'my-arg' "
        "(write NAME=value or NAME: value)",
    ),
    Bad(
        "an unknown mode of a volume",
        "  replicas: 3",
        "  replicas: 3\n  volumes: ['data:/data:ro,x']",
        "11:13: deploy.volumes[0]: 'data:/data:ro,x' has the unknown mode 'x'; write ro, rw, z or Z, or several such "
        "as ro,Z",
    ),
    Bad(
        "two modes of a volume that exclude each other",
        "  replicas: 3",
        "  replicas: 3\n  volumes: ['data:/data:z,ro,Z']",
        "11:13: deploy.volumes[0]: 'data:/data:z,ro,Z' must have one of the modes Z, z",
    ),
    Bad(
        "a mode of host paths for a named volume",
        "  replicas: 3",
        "  replicas: 3\n  volumes: ['data:/data:rshared']",
        "11:13: deploy.volumes[0]: 'data:/data:rshared' has a mode of host paths only",
    ),
    Bad(
        "an item of an environment that is no text",
        "  replicas: 3",
        "  replicas: 3\n  environment: [A=1, 2]",
        "11:22: deploy.environment[1]: must be text such as NAME=value",
    ),
    Bad(
        "a restart policy that is none",
        "  replicas: 3",
        "  replicas: 3\n  restart: allways",
        "11:12: deploy.restart: must be one of no, on-failure, always, "
        "unless-stopped, got 'allways' (did you mean always?)",
    ),
    Bad(
        "a variable name that is none",
        "  replicas: 3",
        '  replicas: 3\n  environment: {"A B": x}',
        "11:24: deploy.environment.A B: must be the name of a variable, without = and without spaces, got 'A B'",
    ),
    Bad(
        "a variable that is a number",
        "  replicas: 3",
        "  replicas: 3\n  environment: {ZIP: 01234}",
        '11:22: deploy.environment.ZIP: must be in quotes, because YAML takes it for a number (write "01234")',
    ),
    Bad(
        "a command that is a string",
        "command: [make, test]",
        "command: make test",
        "7:19: build.test.command: must be a list, got 'make test' (write [make, test])",
    ),
    Bad(
        "an empty command",
        "command: [make, test]",
        "command: []",
        "7:19: build.test.command: must have at least one item",
    ),
    Bad(
        "reports with a relative path",
        "command: [make, test]",
        "command: [make, test], reports: out.xml",
        "7:42: build.test.reports: must be an absolute path in the container, such as /tmp/reports, got 'out.xml'",
    ),
    Bad(
        "a context outside",
        "context: app",
        "context: ../app",
        "6:12: build.context: must be a path inside the repository, without a leading / and without ..",
    ),
    Bad(
        "a password with a slash in a URL",
        "  repository: .",
        "  repository: https://ann:pa/ss@example.com/a.git",
        "3:15: source.repository: write @ as %40 and / as %2F, in the password and in the path",
    ),
    Bad(
        "a password in an ssh URL",
        "  repository: .",
        "  repository: ssh://ann:hunter@example.com/a.git",
        "3:15: source.repository: a URL with ssh:// cannot hold a password: use a key",
    ),
    Bad(
        "a descriptor in place of a repository",
        "  repository: .",
        "  repository: fd::0",
        "3:15: source.repository: fd:: is not the address of a repository",
    ),
    Bad(
        "a negated glob",
        "  branch: main",
        "  branch: main\n  paths: ['!docs/**']",
        "5:11: source.paths[0]: '!docs/**' is not a valid glob; list the paths to include, such as src/** or "
        "Dockerfile",
    ),
    Bad(
        "a section that is a list",
        "source:\n  repository: .\n  branch: main",
        "source: []",
        "2:9: source: must be a mapping of keys, got a list (write {branch: main})",
    ),
    Bad(
        "listeners that are no list",
        "        - {port: 8000, default_action: {forward: web}}",
        "        port: 8000",
        "19:9: balancer.load_balancers.edge.listeners: must be a list, got a mapping (write [{port: 8000}])",
    ),
    Bad(
        "no listener",
        "\n        - {port: 8000, default_action: {forward: web}}",
        " []",
        "18:18: balancer.load_balancers.edge.listeners: must have at least one item",
    ),
    Bad(
        "an unknown parameter",
        "replicas: 3",
        "replicas: ${replicsa}",
        "10:13: deploy.replicas: unknown parameter replicsa (for a literal write $${replicsa})",
    ),
    Bad(
        "an unset variable",
        "branch: main",
        "branch: ${env:PENSTOCK_NO_SUCH}",
        "4:11: source.branch: environment variable PENSTOCK_NO_SUCH is not set (export PENSTOCK_NO_SUCH=…)",
    ),
    Bad(
        "a secret that is nowhere",
        "  replicas: 3",
        "  replicas: 3\n  environment: {TOKEN: '${secret:PENSTOCK_NO_SUCH}'}",
        "11:24: deploy.environment.TOKEN: secret PENSTOCK_NO_SUCH is not in "
        "the environment (export PENSTOCK_NO_SUCH=…, or name a file with it in secrets.file)",
    ),
    Bad(
        "a secret where it would be stored",
        "  context: app",
        "  context: app\n  args: {TOKEN: '${secret:HOME}'}",
        "7:17: build.args.TOKEN: must not contain a secret (secrets are allowed in deploy.environment, "
        "deploy.services.*.environment, deploy.release_command.environment, "
        "deploy.hooks.*.*.environment, deploy.hooks.*.*.http, deploy.services.*.hooks.*.*.environment, "
        "deploy.services.*.hooks.*.*.http, "
        "accessories.*.environment, build.secrets, build.test.environment, "
        "build.test.services, triggers.webhooks, reporters, source.with, build.with and deploy.with only)",
    ),
    Bad(
        "a build secret that is none",
        "  context: app",
        "  context: app\n  secrets: {npm: token}",
        "7:18: build.secrets.npm: must contain ${secret:NAME}; for a value that is no secret use build.args",
    ),
    Bad(
        "a secrets file that is missing",
        "name: shop",
        "name: shop\nsecrets: {file: .secrets}",
        "2:17: secrets.file: cannot read secrets file {cwd}/.secrets: No such file or directory",
    ),
    Bad(
        "a parameter default out of range",
        "name: shop",
        "name: shop\nparameters: {size: {type: integer, default: 9, maximum: 5}}",
        "2:45: parameters.size.default: must be at most 5, got 9",
    ),
    Bad(
        "a parameter without a value",
        "name: shop",
        "name: shop\nparameters: {size: {type: integer}}",
        "2:14: parameters.size: is required, since it has no default (set it with -p size=…)",
    ),
    Bad(
        "a parameter type that is none",
        "name: shop",
        "name: shop\nparameters: {size: {type: int}}",
        "2:27: parameters.size.type: must be one of string, integer, number, "
        "boolean, got 'int' (did you mean integer?)",
    ),
    Bad(
        "a tab",
        "  replicas: 3",
        "\treplicas: 3",
        "10:1: indentation must not contain tabs (use spaces)",
    ),
    Bad(
        "an open bracket",
        "command: [make, test]",
        "command: [make, test",
        "7:30: expected ',' or ']', but got '}'",
    ),
    Bad(
        "a tag",
        "replicas: 3",
        "replicas: !!python/object:os.system 3",
        "10:13: deploy.replicas: unknown tag tag:yaml.org,2002:python/object:os.system (remove it)",
    ),
    Bad(
        "a merge key",
        "deploy:",
        "deploy:\n  <<: {}",
        "9:3: deploy.<<: merge keys are not supported (write the keys out)",
    ),
    Bad(
        "a second document",
        "deploy:",
        "---\ndeploy:",
        "8:1: a file must contain one document, and a second one starts here (remove ---)",
    ),
    Bad(
        "an unknown alias",
        "replicas: 3",
        "replicas: *many",
        "10:13: found undefined alias 'many'",
    ),
    Bad(
        "an idle timeout too long",
        "    edge:\n",
        "    edge:\n      attributes: {idle_timeout.timeout_seconds: 4001}\n",
        "18:50: balancer.load_balancers.edge.attributes.idle_timeout.timeout_seconds: must be at most 4000, got 4001",
    ),
    Bad(
        "a deregistration delay too long",
        "port: 8080",
        "port: 8080\n      deregistration_delay: 61m",
        "15:29: balancer.target_groups.web.deregistration_delay: must be between 0s and 1h",
    ),
]
