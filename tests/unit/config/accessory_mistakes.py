"""Mistakes in the section `accessories`, with the exact errors."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad


def _bad(mistake: str, accessories: str, error: str) -> Bad:
    return Bad(mistake, "name: shop", f"name: shop\naccessories: {accessories}", error)


ACCESSORY_MISTAKES = [
    _bad(
        "a name with upper case",
        "{DB: {image: postgres}}",
        "2:19: accessories.DB: must be a host name: 1 to 63 lower-case letters, digits and inner dashes, "
        "got 'DB' (write db)",
    ),
    _bad(
        "a name with an underscore",
        "{my_db: {image: postgres}}",
        "2:22: accessories.my_db: must be a host name: 1 to 63 lower-case letters, digits and inner "
        "dashes, got 'my_db' (write my-db)",
    ),
    _bad(
        "an accessory without an image",
        "{db: {memory: 1GiB}}",
        "2:15: accessories.db.image: is missing (Image of the accessory, such as postgres:16, pulled if it is missing)",
    ),
    _bad(
        "an image that is none",
        "{db: {image: 'Postgres 16'}}",
        "2:27: accessories.db.image: 'Postgres 16' is not a valid name of an image; write postgres:16 or"
        " registry.example.com/db:2",
    ),
    _bad(
        "an unknown key",
        "{db: {image: postgres, volume: [a:/b]}}",
        "2:37: accessories.db.volume: unknown key (did you mean volumes?)",
    ),
    _bad(
        "a key of a service",
        "{db: {image: postgres, replicas: 2}}",
        "2:37: accessories.db.replicas: unknown key (`pipeline schema --reference` lists the keys)",
    ),
    _bad(
        "a section that is a list",
        "[db]",
        "2:14: accessories: must be a mapping of keys, got a list",
    ),
    _bad(
        "an accessory that is text",
        "{db: postgres}",
        "2:19: accessories.db: must be a mapping of keys, got 'postgres' (write {image: postgres})",
    ),
    _bad(
        "a backup without a command",
        "{db: {image: postgres, backup: {keep: 3}}}",
        "2:37: accessories.db.backup.command: is missing (Command that runs in the container. Its output"
        " is the backup)",
    ),
    _bad(
        "a backup command that is text",
        "{db: {image: postgres, backup: {command: pg_dump}}}",
        "2:55: accessories.db.backup.command: must be a list, got 'pg_dump' (write [pg_dump])",
    ),
    _bad(
        "an empty backup command",
        "{db: {image: postgres, backup: {command: []}}}",
        "2:55: accessories.db.backup.command: must have at least one item",
    ),
    _bad(
        "a restore without a backup",
        "{db: {image: postgres, restore: {command: [pg_restore]}}}",
        "2:46: accessories.db.restore: requires backup, because it restores what a backup has written",
    ),
    _bad(
        "a restore without a command",
        "{db: {image: postgres, backup: {command: [a]}, restore: {}}}",
        "2:61: accessories.db.restore.command: is missing (Command that runs in the container. It gets "
        "the backup as its input)",
    ),
    _bad(
        "a schedule that is none",
        "{db: {image: postgres, backup: {command: [a], schedule: daily}}}",
        "2:70: accessories.db.backup.schedule: 'daily' is not a valid cron expression (Wrong number of "
        "fields); write five fields: 0 4 * * *",
    ),
    _bad(
        "a time zone that is none",
        "{db: {image: postgres, backup: {command: [a], schedule: 0 3 * * *, timezone: Berlin}}}",
        "2:91: accessories.db.backup.timezone: 'Berlin' is not a time zone of this machine; did you mean"
        " Europe/Berlin?",
    ),
    _bad(
        "a time zone without a schedule",
        "{db: {image: postgres, backup: {command: [a], timezone: Europe/Berlin}}}",
        "2:70: accessories.db.backup.timezone: requires schedule",
    ),
    _bad(
        "no backup kept",
        "{db: {image: postgres, backup: {command: [a], keep: 0}}}",
        "2:66: accessories.db.backup.keep: must be at least 1, got 0",
    ),
    _bad(
        "a misspelt key of a backup",
        "{db: {image: postgres, backup: {command: [a], scedule: x}}}",
        "2:60: accessories.db.backup.scedule: unknown key (did you mean schedule?)",
    ),
    _bad(
        "a port of the container only",
        "{db: {image: postgres, ports: ['5432']}}",
        "2:45: accessories.db.ports[0]: '5432' is not a valid port; write 127.0.0.1:5432:5432 or "
        "5432:5432, without ranges",
    ),
    _bad(
        "a range of ports",
        "{db: {image: postgres, ports: ['5000-5010:5000-5010']}}",
        "2:45: accessories.db.ports[0]: '5000-5010:5000-5010' is not a valid port; write "
        "127.0.0.1:5432:5432 or 5432:5432, without ranges",
    ),
    _bad(
        "a port that is too large",
        "{db: {image: postgres, ports: ['5432:70000']}}",
        "2:45: accessories.db.ports[0]: '5432:70000' must have ports from 1 to 65535",
    ),
    _bad(
        "a port 0",
        "{db: {image: postgres, ports: ['0:5432']}}",
        "2:45: accessories.db.ports[0]: '0:5432' must have ports from 1 to 65535",
    ),
    _bad(
        "an address that is none",
        "{db: {image: postgres, ports: ['localhost:5432:5432']}}",
        "2:45: accessories.db.ports[0]: 'localhost:5432:5432' must have an IP address of this machine, got 'localhost'",
    ),
    _bad(
        "an unknown protocol",
        "{db: {image: postgres, ports: ['5432:5432/sctp']}}",
        "2:45: accessories.db.ports[0]: '5432:5432/sctp' is not a valid port; write 127.0.0.1:5432:5432 "
        "or 5432:5432, without ranges",
    ),
    _bad(
        "a port that is a number",
        "{db: {image: postgres, ports: [5432]}}",
        '2:45: accessories.db.ports[0]: must be text, got 5432 (write "5432")',
    ),
    _bad(
        "a port twice",
        "{db: {image: postgres, ports: ['5432:5432', '0.0.0.0:5432:5433']}}",
        "2:58: accessories.db.ports[1]: '0.0.0.0:5432:5433' has the same port of this machine as '5432:5432'",
    ),
    _bad(
        "a port of two accessories",
        "{db: {image: a, ports: ['5432:5432']}, other: {image: a, ports: ['127.0.0.1:5432:1']}}",
        "2:79: accessories.other.ports[0]: '127.0.0.1:5432:1' has the same port of this machine as '5432:5432' of db",
    ),
    _bad(
        "the name of a service",
        "{web: {image: postgres}}",
        "2:20: accessories.web: has the name of a service; name it web-1, for example",
    ),
    _bad(
        "a volume that is none",
        "{db: {image: postgres, volumes: [data]}}",
        "2:47: accessories.db.volumes[0]: 'data' is not a valid volume; write /host/path:/container/path"
        " or name:/container/path:ro",
    ),
    _bad(
        "a health check with a path",
        "{db: {image: postgres, health_check: {path: /}}}",
        "2:52: accessories.db.health_check.path: unknown key (known: command, interval, start_period, timeout, "
        "unhealthy_threshold, uptime)",
    ),
    _bad(
        "two kinds of health",
        "{db: {image: postgres, health_check: {command: [a], uptime: 5s}}}",
        "2:74: accessories.db.health_check.uptime: must not be combined with command",
    ),
    _bad(
        "little memory",
        "{db: {image: postgres, memory: 1MiB}}",
        "2:45: accessories.db.memory: must be at least 6MiB, or 0 for no limit, got 1048576 bytes",
    ),
    _bad(
        "an unknown capability",
        "{db: {image: postgres, cap_add: [NET_RAWW]}}",
        "2:47: accessories.db.cap_add[0]: 'NET_RAWW' is not a Linux capability; write NET_RAW",
    ),
    _bad(
        "a secret outside the environment",
        "{db: {image: postgres, command: ['${secret:X}']}}",
        "2:47: accessories.db.command[0]: must not contain a secret (secrets are allowed in "
        "deploy.environment, deploy.services.*.environment, deploy.release_command.environment, "
        "deploy.hooks.*.*.environment, deploy.hooks.*.*.http, deploy.services.*.hooks.*.*.environment, "
        "deploy.services.*.hooks.*.*.http, "
        "accessories.*.environment, build.secrets, build.test.environment, build.test.services, "
        "triggers.webhooks, reporters, source.with, build.with and deploy.with only)",
    ),
    _bad(
        "a start timeout that is none",
        "{db: {image: postgres, start_timeout: soon}}",
        "2:52: accessories.db.start_timeout: 'soon' is not a valid duration; write 500ms, 30s, 2m or 1h",
    ),
    _bad(
        "a number with leading zeros",
        "{db: {image: postgres, environment: {PIN: 007}}}",
        '2:56: accessories.db.environment.PIN: must be in quotes, because YAML takes it for a number (write "007")',
    ),
]
