"""What the services of a Compose file become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ConfigError
from pipeline.compose.translation import Where
from tests.support.compose_examples import (
    CONTAINER,
    EXAMPLES,
    IMAGES,
    PROXY,
    SEVERAL,
    SHOP,
    SIMPLE,
    TRAEFIK,
    TRANSPORTS,
)
from tests.support.compose_imports import content, imported, loaded, notes


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_becomes_a_valid_file(name: str, tmp_path: Path) -> None:
    """Every pipeline of an example passes the checks of `pipeline validate`."""
    for file in imported(EXAMPLES[name]).files:
        assert loaded(file.content, tmp_path).pipeline.name == file.name


def test_services_of_one_image_are_one_release() -> None:
    """A web application, its worker, its migrations and its databases are one pipeline."""
    found = content(SHOP, dotenv="DB_PASSWORD=hidden\nPORT=9000\n")
    assert found == {
        "name": "shop",
        "secrets": {"file": ".secrets"},
        "accessories": {
            "db": {
                "image": "postgres:16",
                "environment": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "${secret:DB_PASSWORD}"},
                "volumes": ["shop_db-data:/var/lib/postgresql/data"],
                "shm_size": "256mb",
                "health_check": {
                    "command": ["sh", "-c", "pg_isready -U shop"],
                    "interval": "5s",
                    "unhealthy_threshold": 10,
                },
            },
            "cache": {
                "image": "redis:7",
                "command": ["sh", "-c", 'exec redis-server --requirepass "$${REDIS_PASSWORD}"'],
                "environment": {"REDIS_PASSWORD": "${secret:REDIS_PASSWORD}"},
            },
        },
        "deploy": {
            "environment": {
                "DATABASE_URL": "postgres://shop:${secret:DB_PASSWORD}@db:5432/shop",
                "REDIS_URL": "redis://cache:6379/0",
            },
            "release_command": {"command": ["python", "manage.py", "migrate"]},
            "services": {
                "web": {
                    "target_group": "web",
                    "command": ["gunicorn", "shop.wsgi", "-b", "0.0.0.0:8000"],
                    "volumes": ["shop_media:/app/media"],
                },
                "worker": {
                    "health_check": {
                        "command": ["celery", "-A", "shop", "inspect", "ping"],
                        "interval": "30s",
                        "timeout": "10s",
                        "unhealthy_threshold": 5,
                    },
                    "command": ["celery", "-A", "shop", "worker", "-l", "info"],
                    "environment": {"CONCURRENCY": "4"},
                    "memory": "512M",
                    "cpus": 0.5,
                    "stop_grace": "1m",
                    "replicas": 2,
                    "after": ["web"],
                },
            },
        },
        "balancer": {
            "target_groups": {
                "web": {"port": 8000, "health_check": {"path": "/healthz", "interval": "10s", "timeout": "3s"}}
            },
            "load_balancers": {"edge": {"listeners": [{"port": 9000, "default_action": {"forward": "web"}}]}},
        },
    }


def test_no_value_of_a_secret_is_written() -> None:
    """Passwords of the Compose file and of .env are references, and their values are told apart from the file."""
    found = imported(SHOP + "\n# hidden-2", dotenv="DB_PASSWORD=hidden-1\nREDIS_PASSWORD=hidden-2\n")
    assert found.secrets == {"DB_PASSWORD": "hidden-1", "REDIS_PASSWORD": "hidden-2"}
    assert "hidden" not in str(found.files) + str(found.notes)
    literal = imported(IMAGES)
    assert "hidden" not in str(literal.files) + str(literal.notes)
    assert literal.secrets == {"MYSQL_ROOT_PASSWORD": "hidden-1234", "database__connection__password": "hidden-1234"}


def test_two_secrets_of_one_name_stay_apart() -> None:
    """A name with another value in another service gets the service's name as well."""
    text = "services: {a: {image: x, environment: {TOKEN: one-1}}, b: {image: y, environment: {TOKEN: two-2}}}"
    assert imported(text).secrets == {"TOKEN": "one-1", "B_TOKEN": "two-2"}
    assert content(text)["deploy"]["services"]["b"]["environment"] == {"TOKEN": "${secret:B_TOKEN}"}


def test_the_smallest_file_is_small() -> None:
    """One service with a build and a port has no section that it does not need."""
    assert content(SIMPLE) == {
        "name": "shop",
        "deploy": {"target_group": "web"},
        "balancer": {
            "target_groups": {"web": {"port": 3000, "health_check": {"protocol": "TCP"}}},
            "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
        },
    }
    assert notes(SIMPLE) == ()


def test_each_image_has_a_pipeline() -> None:
    """Two builds are two pipelines, whose containers reach one another in a network."""
    found = imported(SEVERAL)
    front, api = (file.content for file in found.files)
    assert (front["name"], api["name"]) == ("forum", "forum-api")
    assert front["build"] == {"context": "front", "target": "runtime", "args": {"API": "http://api"}}
    assert (list(front["accessories"]), "accessories" in api) == (["db"], False)
    assert api["deploy"] == {"target_group": "api", "networks": {"forum": {"aliases": ["api"]}}}
    assert api["balancer"]["load_balancers"]["local"]["scheme"] == "internal"
    assert found.notes == (
        "api has an image of its own, and a pipeline builds one: it is the pipeline forum-api",
        "forum and forum-api reach one another in the network forum: docker network create forum",
    )


def test_a_service_is_chosen_as_the_first() -> None:
    """The image of the named service is that of the first pipeline. One without a build is refused."""
    assert content(SEVERAL, service="api")["build"] == {"context": "api"}
    with pytest.raises(ConfigError) as caught:
        imported(SEVERAL, service="db")
    assert str(caught.value) == "--service db: no such service is built\nbuilt: front, api"


def test_images_with_data_are_accessories() -> None:
    """A database is an accessory. An application that is not built stays a service, one container at a time."""
    found = content(IMAGES)
    assert found["accessories"]["db"]["ports"] == ["3306:3306"]
    assert found["deploy"] == {
        "image": "ghost:5",
        "target_group": "blog",
        "environment": {"database__connection__password": "${secret:database__connection__password}"},
        "volumes": ["shop_content:/var/lib/ghost/content"],
        "rolling": {"max_surge": 0, "max_unavailable": 1},
    }


def test_an_image_that_was_built_elsewhere_is_deployed() -> None:
    """Without any build, the image of the first service with a port is deployed, also its other services and jobs."""
    text = """\
services:
  cache: {image: "redis:7"}
  worker: {image: "shop/app:2", command: work}
  web: {image: "shop/app:2", ports: ["80:80"]}
  mail: {image: "shop/mail:1"}
  migrate: {image: "shop/app:2", command: migrate, restart: "no"}
"""
    assert content(text)["deploy"] == {
        "image": "shop/app:2",
        "release_command": {"command": ["migrate"]},
        "services": {"worker": {"command": ["work"]}, "web": {"target_group": "web"}, "mail": {"image": "shop/mail:1"}},
    }


def test_the_balancer_takes_the_place_of_a_proxy() -> None:
    """The application behind nginx gets its port, and the list says what is left of nginx."""
    found = imported(PROXY)
    assert found.files[0].content["balancer"]["load_balancers"]["edge"]["listeners"] == [
        {"port": 80, "default_action": {"forward": "app"}}
    ]
    assert found.notes == (
        "compose.yaml:7: port 443:443 of nginx is left out: HTTPS needs certificates: see certificates: [{acme: …}]",
        "compose.yaml:5: services.nginx is left out: the balancer takes the place of the reverse proxy: port 80 "
        "forwards to app; write its other routes as rules of the listener",
    )


def test_labels_of_traefik_become_rules() -> None:
    """A rule with hosts and paths is a rule of the listener. Other labels stay."""
    found = content(TRAEFIK)
    (listener,) = found["balancer"]["load_balancers"]["edge"]["listeners"]
    assert listener["default_action"] == {"fixed_response": {"status_code": "404"}}
    assert [rule["conditions"] for rule in listener["rules"]] == [
        [{"host_header": ["api.example.com"]}, {"path_pattern": ["/v1", "/v1/*"]}],
        [{"host_header": ["admin.example.com", "intern.example.com"]}],
    ]
    assert found["balancer"]["target_groups"]["admin"]["port"] == 9000
    assert found["deploy"]["services"]["api"]["labels"] == {"com.example.team": "blue"}


@pytest.mark.parametrize(
    "rule", ["HostRegexp(`.+`)", "Host(`a.de`) && Headers(`a`, `b`)", "Host(`a.de`) || Path(`/x`)"]
)
def test_an_unclear_rule_is_listed(rule: str) -> None:
    """A rule that means something else than hosts and paths is left out."""
    text = f"services: {{api: {{build: ., labels: {{traefik.http.routers.a.rule: '{rule}'}}}}}}"
    assert "balancer" not in content(text)
    assert notes(text) == (f"compose.yaml:1: the rule {rule} of a is left out: write it as a rule of a listener",)


def test_other_protocols_get_a_network_load_balancer() -> None:
    """Known ports that speak no HTTP, and UDP, are forwarded as connections and datagrams."""
    balancer = content(TRANSPORTS)["balancer"]
    assert balancer["target_groups"] == {
        "queue": {"protocol": "TCP", "port": 5672},
        "names": {"protocol": "TCP_UDP", "port": 53},
    }
    assert balancer["load_balancers"]["edge-network"]["type"] == "network"


def test_the_options_of_a_container_keep_their_names() -> None:
    """What pipeline.yaml has by the same name is the same, and everything else is listed."""
    assert content(CONTAINER)["deploy"] == {
        "command": ["work", "$HOME"],
        "entrypoint": ["tini", "--"],
        "user": "1000:1000",
        "working_dir": "/srv",
        "stop_signal": "SIGINT",
        "read_only": True,
        "tmpfs": ["/run"],
        "memory": "1g",
        "cpus": 1.5,
        "pids_limit": 200,
        "shm_size": "64m",
        "ulimits": {"nproc": 65535, "nofile": {"soft": 20000, "hard": 40000}},
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["ALL"],
        "no_new_privileges": False,
        "extra_hosts": ["host.docker.internal:host-gateway"],
        "labels": {"com.example.team": "blue"},
        "log": {"max_size": "10m", "max_files": 3},
        "gpus": "all",
        "networks": ["company"],
        "init": True,
        "stop_grace": "90s",
        "restart": "on-failure",
    }
    assert [note.partition(": ")[2].partition(" is left out")[0] for note in notes(CONTAINER)] == [
        "services.worker.privileged",
        "services.worker.container_name",
        "services.worker.hostname",
        "services.worker.nonsense",
    ]


BUILT = "services: {web: {build: ., %s}}\nvolumes: {data: , own: {name: real}, old: {external: true}}"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("environment: [A=1, B]", {"environment": {"A": "1", "B": None}}),
        ("environment: {A: 1.10, B: true, C: }", {"environment": {"A": "1.1", "B": "true", "C": None}}),
        ("environment: {A: '$$x ${B:-y} ${C}'}", {"environment": {"A": "$x ${env:B:-y} ${env:C:-}"}}),
        ("environment: {A: '${B:-${C:-z}}'}", {"environment": {"A": "${env:B:-z}"}}),
        ("environment: {A: '${B:+set}${FROM_FILE:+yes}'}", {"environment": {"A": "yes"}}),
        ("environment: {A: '${B:?give it}'}", {"environment": {"A": "${secret:B}"}}),
        ("environment: {A: '$FROM_FILE'}", {"environment": {"A": "${env:FROM_FILE:-x}"}}),
        ("environment: {FROM_FILE: }", {"environment": {"FROM_FILE": "${env:FROM_FILE:-x}"}}),
        ("environment: {API_TOKEN: }", {"environment": {"API_TOKEN": "${secret:API_TOKEN}"}}),
        ("environment: {A: '$${literal}'}", {"environment": {"A": "$${literal}"}}),
        ("command: run 'a b' $$X", {"command": ["run", "a b", "$X"]}),
        ("command: [--password, '${PASSWORD}']", {"command": ["--password", "${env:PASSWORD:-}"]}),
        ("command: [run, '${PASSWORD}']",
         {"command": ["sh", "-c", 'exec run "$${PASSWORD}"'], "environment": {"PASSWORD": "${secret:PASSWORD}"}}),
        ("volumes: ['data:/d', 'own:/o:ro', 'old:/old']",
         {"volumes": ["shop_data:/d", "real:/o:ro", "old:/old"]}),
        ("volumes: [{type: volume, source: data, target: /d, read_only: true}, {type: tmpfs, target: /t}]",
         {"volumes": ["shop_data:/d:ro"], "tmpfs": ["/t"]}),
        ("volumes: ['/srv/x:/x:ro,z', './data:/app/data', '../conf:/conf']",
         {"volumes": ["/srv/x:/x:ro,z", "/srv/shop/data:/app/data"]}),
        ("volumes: ['.:/app', /app/node_modules]", {}),
        ("env_file: a.env", {"env_file": ["a.env"]}),
        ("env_file: [a.env, {path: ./b/c.env, required: false}]",
         {"env_file": ["a.env", {"path": "b/c.env", "required": False}]}),
        ("healthcheck: {test: exit 0}", {"health_check": {"command": ["sh", "-c", "exit 0"]}}),
        ("healthcheck: {disable: true}", {"health_check": {"uptime": "5s"}}),
        ("healthcheck: {test: [NONE]}", {"health_check": {"uptime": "5s"}}),
        ("deploy: {replicas: 3, update_config: {parallelism: 2, order: start-first}}",
         {"replicas": 3, "rolling": {"max_surge": 2, "max_unavailable": 0}}),
        ("scale: 2", {"replicas": 2}),
        ("logging: {driver: syslog, options: {tag: x}}",
         {"logging": {"driver": "syslog", "options": {"tag": "x"}}}),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 2}]}}}", {"gpus": 2}),
        ("devices: [/dev/fuse, '/dev/a:/dev/b:r']", {"devices": ["/dev/fuse", "/dev/a:/dev/b:r"]}),
        ("devices: [{source: /dev/a, target: /dev/b}, {source: /dev/fuse}]",
         {"devices": ["/dev/a:/dev/b:rwm", "/dev/fuse"]}),
        ("devices: [vendor.com/net=card0]", {}),
        ("restart: unless-stopped", {}),
        ("privileged: false", {}),
    ],
)  # fmt: skip
def test_a_key_of_a_service(keys: str, expected: dict[str, Any]) -> None:
    """Each form of Compose has its form in pipeline.yaml."""
    assert content(BUILT % keys, dotenv="FROM_FILE=x\n")["deploy"] == expected


@pytest.mark.parametrize(
    ("keys", "group", "listeners"),
    [
        ("ports: [3000]", {"port": 3000}, [3000]),
        ("ports: ['80:8000', '81:8000']", {"port": 8000}, [80, 81]),
        ("ports: ['5678:5678', '8000:8000']", {"port": 8000}, [8000]),
        ("ports: ['8000-8001:9000-9001']", {"port": 9000}, [8000]),
        ("ports: ['8000-8010:9000']", {"port": 9000}, [8000]),
        ("ports: [{target: 80, published: '8080', mode: host}]", {"port": 80}, [8080]),
        ("ports: ['${PORT:-8000}:80']", {"port": 80}, [8000]),
    ],
)
def test_ports(keys: str, group: dict[str, Any], listeners: list[int]) -> None:
    """A service is in one target group, with a listener for each port of the machine."""
    balancer = content(BUILT % keys)["balancer"]
    assert balancer["target_groups"]["web"] == {**group, "health_check": {"protocol": "TCP"}}
    assert [each["port"] for each in balancer["load_balancers"]["edge"]["listeners"]] == listeners


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("[CMD, curl, -f, 'http://localhost:8000/up']", {"path": "/up"}),
        ("[CMD-SHELL, 'wget -qO- http://127.0.0.1:9000/live?a=1 || exit 1']", {"path": "/live?a=1", "port": 9000}),
        ("curl -fk https://localhost:8000", {"protocol": "HTTPS", "path": "/"}),
        ("[CMD, python, -c, \"import urllib.request as r; r.urlopen('http://web:8000/x')\"]", {"path": "/x"}),
        ("[CMD, curl, 'http://other:8000/']", {"protocol": "TCP"}),
        ("pg_isready", {"protocol": "TCP"}),
    ],
)
def test_a_check_that_requests_a_page(test: str, expected: dict[str, Any]) -> None:
    """A check of a web application by curl or the like is the check of its target group."""
    found = content(BUILT % f"ports: ['80:8000'], healthcheck: {{test: {test}}}")
    assert found["balancer"]["target_groups"]["web"]["health_check"] == expected


def test_a_slow_start_has_time() -> None:
    """A long start period is part of the time in which a container must become healthy."""
    check = "healthcheck: {test: curl http://localhost/, interval: 10s, retries: 3, start_period: 2m}"
    assert content(BUILT % f"ports: ['80:80'], {check}")["deploy"]["deploy_timeout"] == "150s"


def test_files_include_and_extend_others() -> None:
    """Paths of another file are relative to it, and the later file counts."""
    others = {
        "base/common.yaml": "services: {app: {build: ./src, environment: [A=1, B=1], volumes: ['./data:/data']}}",
        "override.yaml": "services: {web: {environment: {B: 3}, command: !reset null, ports: !override ['81:80']}}",
        "db.yaml": "services: {db: {image: 'postgres:16'}}",
    }
    text = (
        "include: [db.yaml]\n"
        "services: {web: {extends: {file: base/common.yaml, service: app}, command: a, environment: {B: 2}, "
        "ports: ['80:80']}}"
    )
    found = content(text, others, files=["compose.yaml", "override.yaml"])
    assert found["build"] == {"context": "base/src"}
    assert found["deploy"] == {
        "target_group": "web",
        "environment": {"A": "1", "B": "3"},
        "volumes": ["/srv/shop/base/data:/data"],
    }
    assert (list(found["accessories"]), found["balancer"]["load_balancers"]["edge"]["listeners"][0]["port"]) == (
        ["db"],
        81,
    )


def test_profiles() -> None:
    """A service of a profile is left out unless the profile, or .env, includes it."""
    text = "services: {web: {build: .}, tool: {image: adminer, profiles: [debug]}}"
    assert notes(text) == (
        "compose.yaml:1: tool is left out: it belongs to the profile debug; --profile debug includes it",
    )
    for options in ({"profiles": ["debug"]}, {"profiles": ["*"]}, {"dotenv": "COMPOSE_PROFILES=x,debug"}):
        assert list(content(text, **options)["deploy"]["services"]) == ["web", "tool"]


def test_a_file_that_no_commit_has_becomes_secrets() -> None:
    """An environment file outside of git is not read by a run, so its variables are secrets by name."""
    text = "services: {web: {build: ., env_file: .env.prod}, worker: {build: ., env_file: [.env.prod, missing.env]}}"
    where = Where(folder="/srv/shop", name="shop", is_committed=lambda path: False)
    found = imported(text, {"/srv/shop/.env.prod": "A=hidden\nB='x y'\n"}, where=where)
    assert found.secrets == {"A": "hidden", "B": "x y"}
    assert found.files[0].content["secrets"] == {"file": ".secrets"}
    services = found.files[0].content["deploy"]["services"]
    assert services == {"web": {"secrets": ["A", "B"]}, "worker": {"secrets": "all"}}


def test_a_compose_file_below_the_root() -> None:
    """Build contexts are relative to the repository, and the repository to the file."""
    where = Where(folder="/srv/shop/docker", in_repository="docker", name="docker")
    found = content("services: {web: {build: {context: .., dockerfile: docker/Dockerfile}}}", where=where)
    assert (found["source"], found["build"]) == ({"repository": ".."}, {"dockerfile": "docker/Dockerfile"})


def test_secrets_of_compose() -> None:
    """A variable that names the file of a secret has its value instead."""
    text = (
        "services: {web: {build: ., secrets: [db], environment: {DB_PASSWORD_FILE: /run/secrets/db}}}\n"
        "secrets: {db: {file: ./db.txt}}"
    )
    assert content(text)["deploy"] == {"environment": {"DB_PASSWORD": "${secret:DB}"}}


def test_a_command_that_reads_the_file_of_a_secret_is_told() -> None:
    """The file does not exist, so a command that reads it needs a change."""
    text = (
        "services: {db: {image: x, command: 'sh -c \"cat $$DB_PASSWORD_FILE\"', secrets: [db], "
        "environment: {DB_PASSWORD_FILE: /run/secrets/db}}}\nsecrets: {db: {file: ./db.txt}}"
    )
    assert notes(text)[0].endswith(
        "DB_PASSWORD has its value instead; change the command, which reads DB_PASSWORD_FILE"
    )


def test_aliases_in_external_networks_are_kept() -> None:
    """Those in networks of the file have no place: each service has its name in the pipeline's network."""
    text = (
        "services: {web: {build: ., networks: {edge: {aliases: [shop]}, logs: , own: {aliases: [www]}}}}\n"
        "networks: {edge: {external: true}, logs: {external: true}, own: }"
    )
    assert content(text)["deploy"]["networks"] == {"edge": {"aliases": ["shop"]}, "logs": None}
    reason = "the pipeline's network gives each container its address and its name"
    assert [note for note in notes(text) if "aliases" in note] == [
        f"compose.yaml:1: services.web.networks.own.aliases is left out: {reason}"
    ]


@pytest.mark.parametrize(
    ("keys", "label"),
    [
        ("labels: {ofelia.job-run.a.schedule: '@daily', b: c}", "labels.ofelia.job-run.a.schedule"),
        (
            "deploy: {labels: [swarm.cronjob.schedule=0 3 * * *]}, labels: {b: c}",
            "deploy.labels.swarm.cronjob.schedule",
        ),
    ],
)
def test_labels_of_cron_programs_name_the_schedule(keys: str, label: str) -> None:
    """The programs are not there, and a job takes their place."""
    text = f"services: {{web: {{build: ., {keys}}}}}"
    assert content(text)["deploy"]["labels"] == {"b": "c"}
    reason = "make it a service of deploy.services with schedule, which pipeline serve runs"
    assert f"compose.yaml:1: services.web.{label} is left out: {reason}" in notes(text)


def test_the_list_is_short() -> None:
    """What is left out for the same reason is one line, and long lists are cut."""
    services = "".join(
        f"  s{number}: {{image: x, hostname: a, volumes: [./data:/a, ./conf:/b]}}\n" for number in range(6)
    )
    found = notes(f"services:\n{services}")
    assert found[0] == "compose.yaml:2: s0 mounts ./data, ./conf of this machine by the absolute path; keep it there"
    assert found[-1] == (
        "compose.yaml:2: services.s0.hostname, services.s1.hostname, services.s2.hostname and 3 more are left out: the "
        "pipeline's network gives each container its address and its name"
    )


def test_jobs_that_are_no_release_command_are_listed() -> None:
    """A release has one command, in the built image, so others are left out with what to do."""
    text = """\
services:
  web:
    build: .
    depends_on:
      one: &completed {condition: service_completed_successfully}
      two: *completed
      buckets: *completed
  one: {build: ., command: migrate}
  two: {build: ., command: seed}
  buckets: {image: minio/mc, command: mb}
  tests: {build: ., command: pytest}
"""
    assert content(text)["deploy"] == {"release_command": {"command": ["migrate"]}}
    assert notes(text) == (
        "compose.yaml:9: services.two is left out: a release has one command, and one is it; join both with sh -c",
        "compose.yaml:10: services.buckets is left out: it runs once, in the image minio/mc: run it by hand, or from "
        "deploy.release_command of the built image",
        "compose.yaml:11: services.tests is left out: it runs tests; write its command into build.test",
    )


def test_a_port_without_a_known_number_is_read_from_the_dockerfile() -> None:
    """EXPOSE of the Dockerfile is the port of a service behind a proxy."""
    text = PROXY.replace("    expose: [8000]\n", "")
    found = content(text, {"/srv/shop/Dockerfile": "FROM x\nEXPOSE 5000/tcp\n"})
    assert found["balancer"]["target_groups"]["app"]["port"] == 5000
    assert "compose.yaml:2: the port of app is not known: 8080 is assumed" in notes(text)


def test_long_and_odd_names() -> None:
    """Names are letters, digits and hyphens, and each is used once."""
    text = f"services: {{a_b: {{image: x}}, a.b: {{image: y}}, {'z' * 40}: {{build: .}}}}"
    found = imported(text, where=Where(name="My Shop!"))
    assert found.files[0].name == "myshop"
    assert list(found.files[0].content["deploy"]["services"]) == ["z" * 32, "a-b", "a-b-2"]
