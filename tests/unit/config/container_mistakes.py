"""Mistakes in the settings of containers, with the exact errors."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad

_RIGHT = "  replicas: 3"


# Each is written below `replicas`, at line 11.
_MISTAKES = [
    (
        "a start period without a command",
        "health_check: {start_period: 10s}",
        "11:32: deploy.health_check.start_period: requires command; a HEALTHCHECK of the image has its own",
    ),
    (
        "a user with a space",
        'user: "web app"',
        "11:9: deploy.user: 'web app' is not a valid user; write a name or an id, with a group as in 1000:1000",
    ),
    (
        "a user with an empty group",
        'user: "1000:"',
        "11:9: deploy.user: '1000:' is not a valid user; write a name or an id, with a group as in 1000:1000",
    ),
    (
        "a user with three parts",
        'user: "1:2:3"',
        "11:9: deploy.user: '1:2:3' is not a valid user; write a name or an id, with a group as in 1000:1000",
    ),
    (
        "a user with an id that is too large",
        "user: 4294967296",
        "11:9: deploy.user: '4294967296' is not a valid user: 4294967296 must be 0 to 2147483647",
    ),
    ("a negative user id", 'user: "-1"', "11:9: deploy.user: '-1' is not a valid user: -1 must be 0 to 2147483647"),
    ("a user as a list", "user: [web]", "11:9: deploy.user: must be text, got a list"),
    ("a user that is true", "user: true", '11:9: deploy.user: must be text, got true (write "true")'),
    (
        "a relative working_dir",
        "working_dir: app",
        "11:16: deploy.working_dir: must be an absolute path in the container, such as /srv/app, got 'app'",
    ),
    ("a working_dir as a list", "working_dir: [/app]", "11:16: deploy.working_dir: must be text, got a list"),
    (
        "an unknown stop_signal",
        "stop_signal: SIGTREM",
        "11:16: deploy.stop_signal: 'SIGTREM' is not a signal; write SIGTERM",
    ),
    ("a stop_signal 0", "stop_signal: 0", "11:16: deploy.stop_signal: must be a signal from 1 to 64, got 0"),
    ("a stop_signal 65", "stop_signal: 65", "11:16: deploy.stop_signal: must be a signal from 1 to 64, got 65"),
    (
        "a real-time stop_signal out of range",
        "stop_signal: SIGRTMIN+31",
        "11:16: deploy.stop_signal: 'SIGRTMIN+31' is not a signal; write SIGRTMIN",
    ),
    ("read_only as text", "read_only: sometimes", "11:14: deploy.read_only: must be true or false, got 'sometimes'"),
    (
        "a relative tmpfs",
        "tmpfs: run",
        "11:10: deploy.tmpfs: 'run' is not a valid tmpfs; write /run or /run:size=64m,mode=1777",
    ),
    ("a tmpfs over the root", "tmpfs: [/]", "11:11: deploy.tmpfs[0]: '/' must have a path other than /"),
    (
        "a tmpfs with an unknown option",
        'tmpfs: ["/run:szie=64m"]',
        "11:11: deploy.tmpfs[0]: '/run:szie=64m' has the unknown option 'szie=64m'; write size, mode, uid, "
        "gid, noexec or ro",
    ),
    (
        "a tmpfs with a unit that the kernel does not know",
        'tmpfs: "/run:size=64MiB"',
        "11:10: deploy.tmpfs: '/run:size=64MiB' has an invalid size; write size=64m or 50%",
    ),
    (
        "a tmpfs with a decimal mode",
        'tmpfs: ["/run:mode=1888"]',
        "11:11: deploy.tmpfs[0]: '/run:mode=1888' has an invalid mode; write mode=1777",
    ),
    (
        "a tmpfs with a flag that has a value",
        'tmpfs: ["/run:noexec=yes"]',
        "11:11: deploy.tmpfs[0]: '/run:noexec=yes' has the unknown option 'noexec=yes'; write size, mode, "
        "uid, gid, noexec or ro",
    ),
    (
        "two tmpfs at one path",
        'tmpfs: [/run, "/run/:size=1m"]',
        "11:17: deploy.tmpfs[1]: '/run:size=1m' has the same path as '/run'",
    ),
    (
        "a tmpfs as a mapping",
        "tmpfs: {/run: 64m}",
        "11:10: deploy.tmpfs: must be a list, got a mapping (write [{/run: 64m}])",
    ),
    (
        "a tmpfs at the path of a volume",
        'volumes: ["data:/data"]\n  tmpfs: [/data]',
        "12:11: deploy.tmpfs[0]: '/data' has the same path as the volume 'data:/data'",
    ),
    (
        "an unknown ulimit",
        "ulimits: {nofiles: 1024}",
        "11:22: deploy.ulimits.nofiles: 'nofiles' is not a limit of Docker; write nofile",
    ),
    (
        "a ulimit that Docker refuses",
        "ulimits: {as: 1024}",
        "11:17: deploy.ulimits.as: 'as' is not a limit of Docker; write one such as nofile",
    ),
    ("a ulimit as text", "ulimits: {nofile: many}", "11:21: deploy.ulimits.nofile: must be a whole number, got 'many'"),
    ("a ulimit below -1", "ulimits: {nofile: -2}", "11:21: deploy.ulimits.nofile: must be at least -1, got -2"),
    (
        "a ulimit with soft alone",
        "ulimits: {nofile: {soft: 1024}}",
        "11:13: deploy.ulimits.nofile.hard: is missing (Highest value of `soft`. -1: unlimited)",
    ),
    (
        "a ulimit whose soft limit is above the hard one",
        "ulimits: {nofile: {soft: 2048, hard: 1024}}",
        "11:28: deploy.ulimits.nofile.soft: must be at most hard, which is 1024, got 2048",
    ),
    (
        "a ulimit whose soft limit is unlimited",
        "ulimits: {nofile: {soft: -1, hard: 1024}}",
        "11:28: deploy.ulimits.nofile.soft: must be at most hard, which is 1024, got unlimited",
    ),
    (
        "a ulimit with an unknown key",
        "ulimits: {nofile: {soft: 1, hard: 2, firm: 3}}",
        "11:40: deploy.ulimits.nofile.firm: unknown key (known: hard, soft)",
    ),
    ("ulimits as a list", "ulimits: [nofile=1024]", "11:12: deploy.ulimits: must be a mapping of keys, got a list"),
    (
        "an extra host without an address",
        "extra_hosts: [db]",
        "11:17: deploy.extra_hosts[0]: 'db' must have an IP address or host-gateway, got ''; write "
        "db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "an extra host with a name for an address",
        'extra_hosts: ["db:other"]',
        "11:17: deploy.extra_hosts[0]: 'db:other' must have an IP address or host-gateway, got 'other'; "
        "write db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "an extra host with an invalid address",
        'extra_hosts: ["db:10.0.0.256"]',
        "11:17: deploy.extra_hosts[0]: 'db:10.0.0.256' must have an IP address or host-gateway, got "
        "'10.0.0.256'; write db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "an extra host with IPv4 in brackets",
        'extra_hosts: ["db=[10.0.0.5]"]',
        "11:17: deploy.extra_hosts[0]: 'db=[10.0.0.5]' must have an IP address or host-gateway, got "
        "'[10.0.0.5]'; write db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "an extra host with an invalid IPv6 address",
        'extra_hosts: ["db=[::g]"]',
        "11:17: deploy.extra_hosts[0]: 'db=[::g]' must have an IP address or host-gateway, got '[::g]'; "
        "write db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "an extra host with a space",
        'extra_hosts: ["my db:10.0.0.5"]',
        "11:17: deploy.extra_hosts[0]: 'my db:10.0.0.5' is not a valid host; write db:10.0.0.5, "
        "v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "an extra host that is a number",
        "extra_hosts: [5]",
        "11:17: deploy.extra_hosts[0]: 5 is not a valid host; write db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "a mapping of extra hosts with an invalid address",
        "extra_hosts: {db: here}",
        "11:21: deploy.extra_hosts.db: 'db: here' must have an IP address or host-gateway, got 'here'; write "
        "db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "a mapping of extra hosts with a number",
        "extra_hosts: {db: 10}",
        "11:21: deploy.extra_hosts.db: 'db: 10' is not a valid host; write db:10.0.0.5, v6=[2001:db8::5] or "
        "dev:host-gateway",
    ),
    (
        "extra_hosts as text",
        "extra_hosts: db:10.0.0.5",
        "11:16: deploy.extra_hosts: must be a list or a mapping of hosts, got 'db:10.0.0.5'; write "
        "db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway",
    ),
    (
        "a label of Penstock's",
        "labels: {penstock.home: mine}",
        "11:27: deploy.labels.penstock.home: penstock.home must have another name: Penstock sets the labels "
        "that begin with penstock.",
    ),
    (
        "a label of Penstock's in a list",
        "labels: [team=web, penstock.role=app]",
        "11:22: deploy.labels[1]: penstock.role must have another name: Penstock sets the labels that begin "
        "with penstock.",
    ),
    (
        "a label without a name",
        "labels: [=web]",
        "11:12: deploy.labels[0]: '' is not a valid name of a label; write NAME: value",
    ),
    ("a label that is a list", "labels: {team: [web]}", "11:18: deploy.labels.team: must be text, got a list"),
    (
        "a label with a secret",
        'labels: {team: "${secret:TEAM}"}',
        "11:18: deploy.labels.team: must not contain a secret (secrets are allowed in deploy.environment, "
        "deploy.services.*.environment, deploy.release_command.environment, "
        "deploy.hooks.*.*.environment, deploy.hooks.*.*.http, deploy.services.*.hooks.*.*.environment, "
        "deploy.services.*.hooks.*.*.http, accessories.*.environment, build.secrets, "
        "build.test.environment, build.test.services, triggers.webhooks, reporters, source.with, build.with "
        "and deploy.with only)",
    ),
    (
        "labels as text",
        "labels: team=web",
        "11:11: deploy.labels: must be a list or a mapping of labels, got 'team=web'",
    ),
    (
        "logging without a valid driver",
        'logging: {driver: "JSON File"}',
        "11:21: deploy.logging.driver: 'JSON File' is not a valid log driver; write one such as json-file, "
        "local, journald or syslog",
    ),
    (
        "logging with an unknown key",
        "logging: {driver: syslog, option: {}}",
        "11:29: deploy.logging.option: unknown key (did you mean options?)",
    ),
    (
        "logging none with options",
        "logging: {driver: none, options: {max-size: 1m}}",
        "11:36: deploy.logging.options: must be empty with the driver none, which has no options",
    ),
    (
        "log limits with a driver that has none",
        "log: {max_size: 1MiB}\n  logging: {driver: syslog}",
        "11:8: deploy.log: has no effect with the driver syslog in logging; remove it",
    ),
    (
        "a size in both log and logging",
        "log: {max_size: 1MiB}\n  logging: {options: {max-size: 1m}}",
        "12:33: deploy.logging.options.max-size: must not be combined with log; set log.max_size instead",
    ),
    (
        "a cache that is neither on nor off",
        "logging: {driver: syslog, options: {cache-disabled: maybe}}",
        "11:55: deploy.logging.options.cache-disabled: must be true or false, got 'maybe'",
    ),
    (
        "logging as text",
        "logging: syslog",
        "11:12: deploy.logging: must be a mapping of keys, got 'syslog' (write {driver: syslog})",
    ),
    (
        "devices as text",
        "devices: /dev/fuse",
        "11:12: deploy.devices: must be a list, got '/dev/fuse' (write [/dev/fuse])",
    ),
    (
        "an empty device",
        'devices: [""]',
        "11:13: deploy.devices[0]: '' is not a valid device; write /dev/net/tun or /dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device with four parts",
        "devices: ['/dev/a:/dev/b:rwm:x']",
        "11:13: deploy.devices[0]: '/dev/a:/dev/b:rwm:x' is not a valid device; write /dev/net/tun or "
        "/dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device with an empty part",
        "devices: ['/dev/fuse:']",
        "11:13: deploy.devices[0]: '/dev/fuse:' is not a valid device; write /dev/net/tun or "
        "/dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device with permissions in the place of its path",
        "devices: ['/dev/fuse:rw']",
        "11:13: deploy.devices[0]: '/dev/fuse:rw' must have a path in the container before 'rw'; write "
        "/dev/fuse:/dev/fuse:rw",
    ),
    (
        "a device outside /dev",
        "devices: [/srv/disk]",
        "11:13: deploy.devices[0]: '/srv/disk' must have a path of the machine below /dev, without ..; write "
        "/dev/net/tun or /dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device that leaves /dev",
        "devices: [/dev/../srv/disk]",
        "11:13: deploy.devices[0]: '/dev/../srv/disk' must have a path of the machine below /dev, without ..; write "
        "/dev/net/tun or /dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "all of /dev",
        "devices: [/dev/.]",
        "11:13: deploy.devices[0]: '/dev/.' must have a path of the machine below /dev, without ..; write "
        "/dev/net/tun or /dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device with a relative path in the container",
        "devices: ['/dev/fuse:fuse:rw']",
        "11:13: deploy.devices[0]: '/dev/fuse:fuse:rw' must have an absolute path in the container, without ..; write "
        "/dev/net/tun or /dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device over the root",
        "devices: ['/dev/fuse:/']",
        "11:13: deploy.devices[0]: '/dev/fuse:/' must have an absolute path in the container, without ..; write "
        "/dev/net/tun or /dev/net/tun:/dev/net/tun:rw",
    ),
    (
        "a device with an unknown permission",
        "devices: ['/dev/fuse:/dev/fuse:rx']",
        "11:13: deploy.devices[0]: '/dev/fuse:/dev/fuse:rx' has the permissions 'rx'; write r, w and m at most once "
        "each, as in rwm",
    ),
    (
        "a device with a permission twice",
        "devices: ['/dev/fuse:/dev/fuse:rr']",
        "11:13: deploy.devices[0]: '/dev/fuse:/dev/fuse:rr' has the permissions 'rr'; write r, w and m at most once "
        "each, as in rwm",
    ),
    (
        "a device of CDI",
        "devices: [vendor.com/net=card0]",
        "11:13: deploy.devices[0]: 'vendor.com/net=card0' is a device of CDI, which is not supported; write a path "
        "below /dev, or use gpus",
    ),
    (
        "two devices with one path in the container",
        "devices: [/dev/fuse, '/dev/net/tun:/dev/fuse']",
        "11:12: deploy.devices: '/dev/fuse' and '/dev/net/tun:/dev/fuse' have the same path in the container; remove "
        "one of them",
    ),
    ("no GPUs", "gpus: 0", "11:9: deploy.gpus: must be at least 1, or all, got 0"),
    (
        "GPUs as another word",
        "gpus: some",
        "11:9: deploy.gpus: must be all, a number or a list of requests, got 'some'",
    ),
    (
        "a GPU request with ids and a count",
        'gpus: [{count: 1, device_ids: ["0"]}]',
        "11:33: deploy.gpus[0].device_ids: must not be combined with count",
    ),
    (
        "a GPU request with an unknown key",
        "gpus: [{counts: 1}]",
        "11:11: deploy.gpus[0].counts: unknown key (did you mean count?)",
    ),
    ("a GPU request with a count of 0", "gpus: [{count: 0}]", "11:18: deploy.gpus[0].count: must be at least 1, got 0"),
    (
        "a network that cannot be joined",
        "networks: [host]",
        "11:14: deploy.networks[0]: host must not be combined with the pipeline's own network, which every "
        "container has",
    ),
    (
        "Compose's own network",
        "networks: [default, backend]",
        "11:14: deploy.networks[0]: default must be left out: every container is in the pipeline's own network",
    ),
    (
        "a network with an invalid name",
        'networks: ["back end"]',
        "11:14: deploy.networks[0]: 'back end' is not a valid name of a network; write one that `docker "
        "network ls` lists",
    ),
    ("a network that is a number", "networks: [5]", "11:14: deploy.networks[0]: must be the name of a network, got 5"),
    (
        "a network with an unknown key",
        "networks: {backend: {alias: [db]}}",
        "11:24: deploy.networks.backend.alias: unknown key (did you mean aliases?)",
    ),
    (
        "an alias in Docker's bridge",
        "networks: {bridge: {aliases: [db]}}",
        "11:32: deploy.networks.bridge.aliases: must be empty: Docker has no aliases in the network bridge",
    ),
    (
        "an invalid alias",
        'networks: {backend: {aliases: [db, "my db"]}}',
        "11:38: deploy.networks.backend.aliases[1]: 'my db' is not a valid host name",
    ),
    (
        "networks as text",
        "networks: backend",
        "11:13: deploy.networks: must be a list or a mapping of networks, got 'backend'",
    ),
]

CONTAINER_MISTAKES = [Bad(mistake, _RIGHT, f"{_RIGHT}\n  {written}", error) for mistake, written, error in _MISTAKES]
