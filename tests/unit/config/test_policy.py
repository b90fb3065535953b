"""What a commit may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.accessory import Accessory
from pipeline.config.models import Pipeline
from pipeline.config.mounts import resolved_mounts
from pipeline.config.policy import Policy, SecretUse


def pipeline(build: dict[str, object] | None = None, **deploy: object) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "shop",
            "build": build or {},
            "deploy": {"target_group": "web", **deploy},
            "balancer": {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"listeners": [{"port": 80, "default_action": {"forward": "web"}}]}},
            },
        }
    )


def test_an_approval_fulfils_the_policy() -> None:
    """A required approval is any approval."""
    policy = Policy(approval="required")
    assert list(policy.objections(pipeline(approval={}), frozenset(), "main", "watch")) == []
    assert list(policy.objections(pipeline(), frozenset(), "main", "watch")) != []


@pytest.mark.parametrize(
    ("refs", "triggers", "ref", "trigger", "allowed"),
    [
        ((), (), "anything", "webhook", True),
        (("main",), (), "main", "watch", True),
        (("main",), (), "mainly", "watch", False),
        (("main",), (), "x/main", "watch", False),
        (("release/*",), (), "release/1", "watch", True),
        (("release/*",), (), "release/1/x", "watch", False),
        (("*",), (), "release/1", "watch", False),
        (("main",), ("hook",), "main", "watch", False),
        (("main",), ("hook", "watch"), "main", "watch", True),
        (("main",), (), "a" * 40, "command", False),
    ],
)
def test_runs_that_may_use_a_secret(
    refs: tuple[str, ...], triggers: tuple[str, ...], ref: str, trigger: str, *, allowed: bool
) -> None:
    """Both the ref and the trigger must match. `*` does not cross folders, as in `triggers`."""
    use = SecretUse.model_validate({"refs": refs, "triggers": triggers})
    assert use.allows(ref, trigger) is allowed


CHECK = {"command": ["./check.sh", "--fast"]}
QUERY = {"promql": "up", "server": "http://10.0.0.9:9090", "above": 1}


def with_alarms(*conditions: dict[str, object]) -> Pipeline:
    return pipeline(strategy="canary", rollback_on=list(conditions))


@pytest.mark.parametrize(
    ("policy", "wanted", "served", "objection"),
    [
        (Policy(), CHECK, CHECK, None),
        (
            Policy(),
            {"command": ["./check.sh", "-s"]},
            CHECK,
            "its rollback_on runs ./check.sh -s on this machine, which is neither in the served file nor in "
            "host_commands of a policy",
        ),
        (Policy(host_commands=("./check.sh",)), {"command": ["./check.sh", "--slow"]}, None, None),
        (
            Policy(host_commands=()),
            CHECK,
            CHECK,
            "its rollback_on runs ./check.sh --fast on this machine, which is not in host_commands",
        ),
        (Policy(), {"promql": "up", "above": 1}, None, None),
        (Policy(), {**QUERY, "promql": "down"}, QUERY, None),
        (
            Policy(),
            QUERY,
            CHECK,
            "its rollback_on queries http://10.0.0.9:9090, which is neither in the served file nor in "
            "prometheus of a policy",
        ),
        (Policy(prometheus=("http://10.0.0.9:9090",)), QUERY, None, None),
        (
            Policy(prometheus=()),
            {"promql": "up", "above": 1},
            None,
            "its rollback_on queries http://127.0.0.1:9090, which is not in prometheus",
        ),
    ],
)
def test_what_alarms_may_do_on_this_machine(
    policy: Policy, wanted: dict[str, object], served: dict[str, object] | None, objection: str | None
) -> None:
    """A commit runs the commands and asks the servers that the owner has chosen, in the served file or the policy."""
    known = with_alarms(served) if served else pipeline()
    found = list(policy.objections(with_alarms(wanted), frozenset(), "main", "watch", known))
    assert found == ([objection] if objection else [])


def test_what_a_build_may_use_of_this_machine() -> None:
    """Local caches are paths as volumes are, and agents are listed as they are written."""
    build: dict[str, object] = {
        "cache_from": ["app:cache", "type=registry,ref=app", "type=local,src=/srv/cache/a", "Type=local,SRC=/etc"],
        "cache_to": ["type=local,mode=max,dest=/srv/cache/../../etc", "type=inline"],
        "ssh": ["default", "key=/root/.ssh/id"],
    }
    limited = Policy.model_validate({"volumes": ["/srv/cache"], "ssh": ["default"]})
    assert list(limited.objections(pipeline(build), frozenset(), "main", "watch")) == [
        "its builds use the cache /etc, which is not in volumes",
        "its builds use the cache /srv/cache/../../etc, which is not in volumes",
        "its builds use the SSH agent key=/root/.ssh/id, which is not in ssh",
    ]
    assert list(Policy().objections(pipeline(build), frozenset(), "main", "watch")) == []


@pytest.mark.parametrize(
    ("allowed", "added", "refused"),
    [
        (None, ["ALL"], []),
        ([], [], []),
        ([], ["NET_ADMIN"], ["NET_ADMIN"]),
        ([], ["ALL"], ["ALL"]),
        ([], ["CHOWN", "NET_BIND_SERVICE"], []),
        (["cap_net_admin"], ["NET_ADMIN"], []),
        (["NET_ADMIN"], ["ALL"], ["ALL"]),
        (["NET_ADMIN"], ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"], ["NET_RAW", "SYS_ADMIN"]),
        (["ALL"], ["ALL"], []),
        (["ALL"], ["SYS_ADMIN"], []),
    ],
)
@pytest.mark.parametrize("section", ["deploy", "build.test", "build.test.services.db"])
def test_capabilities_that_a_commit_may_add(
    allowed: list[str] | None, added: list[str], refused: list[str], section: str
) -> None:
    """Each capability beyond the default ones needs the policy, in all containers of a commit."""
    adding = {"cap_add": added}
    tests = {"command": ["true"], **(adding if section == "build.test" else {})}
    if section.endswith("db"):
        tests["services"] = {"db": {"image": "postgres", **adding}}
    asked = pipeline({"test": tests}, **(adding if section == "deploy" else {}))
    found = list(Policy.model_validate({"capabilities": allowed}).objections(asked, frozenset(), "main", "watch"))
    assert found == [f"it adds {name} in {section}.cap_add, which is not in capabilities" for name in refused]


@pytest.mark.parametrize(
    ("allowed", "is_allowed"),
    [
        (None, True),
        (["/dev/net/tun"], True),
        (["/dev/net"], True),
        (["/dev/net/"], True),
        (["/dev"], True),
        ([], False),
        (["/dev/net/t"], False),
        (["/dev/net/tun/x"], False),
        (["/dev/fuse"], False),
    ],
)
@pytest.mark.parametrize(
    "section", ["deploy", "deploy.services.x", "accessories.a", "build.test", "build.test.services.db"]
)
def test_devices_that_a_commit_may_use(allowed: list[str] | None, section: str, *, is_allowed: bool) -> None:
    """The path on the machine counts, in all containers of a commit. An entry covers everything below it."""
    using = {"devices": ["/dev/net/tun:/dev/fuse:r"]}
    tests = {"command": ["true"], **(using if section == "build.test" else {})}
    tests["services"] = {"db": {"image": "postgres", **(using if section.endswith("db") else {})}}
    keys: dict[str, object] = using if section == "deploy" else {}
    if section == "deploy.services.x":
        keys = {"target_group": None, "services": {"x": {"target_group": "web", **using}}}
    asked = pipeline({"test": tests}, **keys)
    if section == "accessories.a":
        asked = asked.model_copy(update={"accessories": {"a": Accessory.model_validate({"image": "a", **using})}})
    found = list(Policy.model_validate({"devices": allowed}).objections(asked, frozenset(), "main", "watch"))
    refused = [] if is_allowed else [f"it uses /dev/net/tun in {section}.devices, which is not in devices"]
    assert found == refused


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, []),
        ({"networks": ["backend", "metrics"], "log_drivers": ["syslog"], "gpus": True}, []),
        (
            {"networks": ["backend"], "log_drivers": [], "gpus": False},
            [
                "it joins the network metrics, which is not in networks",
                "it uses the log driver syslog, which is not in log_drivers",
                "it uses GPUs, which gpus does not allow",
            ],
        ),
    ],
)
@pytest.mark.parametrize("in_service", [False, True])
def test_what_a_container_may_use_of_this_machine(
    policy: dict[str, object], expected: list[str], *, in_service: bool
) -> None:
    """Networks, log drivers and GPUs, whether `deploy` or one of its services asks for them."""
    keys: dict[str, object] = {
        "networks": ["backend", "metrics"],
        "logging": {"driver": "syslog"},
        "gpus": "all",
    }
    asked = pipeline(
        **({"target_group": None, "services": {"web": {"target_group": "web", **keys}}} if in_service else keys)
    )
    assert list(Policy.model_validate(policy).objections(asked, frozenset(), "main", "watch")) == expected


def test_the_options_of_the_default_log_driver_need_no_policy() -> None:
    """The owner of the machine has chosen it."""
    asked = pipeline(logging={"options": {"max-size": "1m"}})
    assert list(Policy.model_validate({"log_drivers": []}).objections(asked, frozenset(), "main", "watch")) == []


def test_all_objections_are_listed() -> None:
    """Each volume and each secret that is not allowed."""
    policy = Policy.model_validate({"volumes": [], "secrets": {}, "approval": "required"})
    asked = pipeline(volumes=["/:/host", "data:/data"])
    assert len(list(policy.objections(asked, frozenset({"A", "B"}), "main", "watch"))) == 5


def links(root: Path) -> Path:
    """Return a folder that a policy allows, with links in it as a container can make them."""
    shop = root / "srv" / "shop"
    (shop / "data" / "deep").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "srv" / "shops").mkdir()
    for name, target in {
        "etc": root / "etc",
        "relative": "../../etc",
        "sibling": "../shops",
        "up": "..",
        "within": "data/deep",
        "self": ".",
        "chain": "etc",
        "loop": "loop",
        "colon": "a:b",
        "dangling": "/nowhere/at/all",
    }.items():
        (shop / name).symlink_to(target)
    return shop


OUTSIDE = ["etc", "etc/passwd", "relative", "sibling", "up", "up/shop/../..", "chain", "dangling", "../..", "loop"]
INSIDE = {"": "", "data": "data", "within": "data/deep", "self/data": "data", "up/shop/data": "data", "new/x": "new/x"}


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_link_out_of_the_policy_is_refused(tmp_path: Path, path: str) -> None:
    """When the run is checked, for mounts and caches, and when a container is created."""
    shop = links(tmp_path)
    policy = Policy(volumes=(str(shop),))
    cache = {"cache_to": [f"type=local,dest={shop}/{path}"]}
    for asked in (pipeline(volumes=[f"{shop}/{path}:/x"]), pipeline(cache)):
        (objection,) = policy.objections(asked, frozenset(), "main", "watch")
        assert f"{shop}/{path}, which is not in volumes" in objection
    (tmp_path / "policy.yaml").write_text(f"volumes: [{shop}]")
    with pytest.raises(ConfigError, match="does not allow to mount"):
        resolved_mounts(tmp_path / "policy.yaml", (f"{shop}/{path}:/x:ro",))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_the_user_may_not_enter_is_refused(tmp_path: Path) -> None:
    """Docker would follow a link in it that Penstock cannot read."""
    shop = links(tmp_path)
    (shop / "private").mkdir()
    (shop / "private" / "etc").symlink_to(tmp_path / "etc")
    (shop / "private").chmod(0)
    policy = Policy(volumes=(str(shop),))
    assert list(policy.objections(pipeline(volumes=[f"{shop}/private/etc:/x"]), frozenset(), "main", "watch"))


@pytest.mark.parametrize("path", INSIDE)
def test_a_link_within_the_policy_is_followed(tmp_path: Path, path: str) -> None:
    """The container gets the resolved path, so the link cannot be changed afterwards."""
    shop = links(tmp_path)
    policy = Policy(volumes=(str(shop),))
    assert not list(policy.objections(pipeline(volumes=[f"{shop}/{path}:/x"]), frozenset(), "main", "watch"))
    (tmp_path / "policy.yaml").write_text(f"volumes: [{shop}]")
    mounted = resolved_mounts(tmp_path / "policy.yaml", (f"{shop}/{path}:/x:ro", "data:/y"))
    assert mounted == (f"{shop / INSIDE[path]}:/x:ro", "data:/y")


def test_an_allowed_path_may_be_a_link_itself(tmp_path: Path) -> None:
    """The owner wrote it. What is below it is compared with the folder that it leads to."""
    shop = links(tmp_path)
    (tmp_path / "link").symlink_to(shop)
    (tmp_path / "policy.yaml").write_text(f"volumes: [{tmp_path / 'link'}]")
    assert resolved_mounts(tmp_path / "policy.yaml", (f"{tmp_path}/link/data:/x",)) == (f"{shop}/data:/x",)
    with pytest.raises(ConfigError, match="does not allow to mount"):
        resolved_mounts(tmp_path / "policy.yaml", (f"{tmp_path}/link/etc:/x",))


@pytest.mark.parametrize("text", ["", "volumes: []", "volumes: [/srv/elsewhere]"])
def test_what_the_owner_has_written_is_mounted_as_it_is(tmp_path: Path, text: str) -> None:
    """Without a policy for this path, the volume comes from `pipeline run`. It may be on another machine."""
    shop = links(tmp_path)
    (tmp_path / "policy.yaml").write_text(text)
    volumes = (f"{shop}/etc:/x", "data:/y", "/var/run/docker.sock:/z")
    assert resolved_mounts(tmp_path / "policy.yaml", volumes) == volumes
    assert resolved_mounts(tmp_path / "missing.yaml", volumes) == volumes


@pytest.mark.parametrize(
    ("allowed", "name", "refused"),
    [
        (None, "registry.example.com/shop:1", None),
        ([], "registry.example.com/shop:1", "registry.example.com/shop"),
        (["registry.example.com/shop"], "registry.example.com/shop:${commit}", None),
        (["registry.example.com/shop"], "registry.example.com/shop/web:1", None),
        (["registry.example.com/shop/"], "registry.example.com/shop", None),
        (["registry.example.com/shop"], "registry.example.com/shopping:1", "registry.example.com/shopping"),
        (["registry.example.com/shop"], "registry.example.com/${branch}", "registry.example.com/${branch}"),
        (["registry.example.com"], "registry.example.com:5000/shop:1", "registry.example.com:5000/shop"),
        (["localhost:5000/shop"], "localhost:5000/shop:1", None),
        (["shop"], "shop", None),
        (["shop"], "evil/shop:1", "evil/shop"),
    ],
)
def test_images_that_a_commit_may_push(allowed: list[str] | None, name: str, refused: str | None) -> None:
    """A name covers those below it. The tag does not count."""
    asked = pipeline(build={"push": [name]})
    found = list(Policy.model_validate({"push": allowed}).objections(asked, frozenset(), "main", "watch"))
    assert found == ([] if refused is None else [f"it pushes {refused}, which is not in push"])


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (None, []),
        (["0.0.0.0", "127.0.0.1", "::1"], []),
        (["127.0.0.1"], ["0.0.0.0", "::1"]),
        ([], ["127.0.0.1", "0.0.0.0", "::1"]),
    ],
)
def test_where_accessories_may_publish(allowed: list[str] | None, refused: list[str]) -> None:
    """On the addresses in `publish`. A port without an address is published on loopback."""
    accessory = {"image": "postgres", "ports": ["5432:5432", "0.0.0.0:5433:5432", "[::1]:5434:5432"]}
    asked = Pipeline.model_validate({"name": "shop", "accessories": {"db": accessory}, "deploy": {}})
    policy = Policy.model_validate({} if allowed is None else {"publish": allowed})
    assert list(policy.objections(asked, frozenset(), "main", "watch")) == [
        f"its accessory db publishes a port on {address}, which is not in publish" for address in refused
    ]


@pytest.mark.parametrize(
    ("allowed", "address", "is_refused"),
    [
        (None, "203.0.113.7", False),
        (["203.0.113.7"], "203.0.113.7", False),
        ([], None, False),
        ([], "127.0.0.1", False),
        ([], "203.0.113.7", True),
        (["127.0.0.1"], "2001:db8::1", True),
    ],
)
def test_where_services_on_this_machine_may_publish(
    allowed: list[str] | None, address: str | None, *, is_refused: bool
) -> None:
    """On loopback, which is the address of this machine among the hosts unless the file has another one."""
    asked = pipeline(hosts=[{"name": "here", "docker": "local"} | ({"address": address} if address else {})])
    policy = Policy.model_validate({} if allowed is None else {"publish": allowed})
    expected = f"its services publish ports on {address}, as host here, which is not in publish"
    assert list(policy.objections(asked, frozenset(), "main", "watch")) == ([expected] if is_refused else [])


HOST = {"host_command": ["./notify.sh", "start"]}
CALL = {"http": {"url": "http://127.0.0.1:8081/smoke", "method": "POST"}}


def hooked(*hooks: dict[str, object]) -> Pipeline:
    return pipeline(hooks={"BeforeInstall": list(hooks)})


def objections(policy: dict[str, object], committed: Pipeline, served: Pipeline | None = None) -> list[str]:
    return list(Policy.model_validate(policy).objections(committed, frozenset(), "main", "watch", served))


def test_hooks_of_the_served_file_are_allowed() -> None:
    """Without a key of the policy, a commit may do on the host what the served file does, and nothing else."""
    served = hooked(HOST, CALL)
    assert objections({}, served, served) == []
    assert objections({}, hooked(CALL, HOST, {"command": ["anything"]}, {"pause": True}), served) == []
    assert objections({}, hooked(HOST, CALL)) == [
        "its hooks run ./notify.sh start on this machine, which is neither in the served file nor in "
        "host_commands of a policy",
        "its hooks call POST http://127.0.0.1:8081/smoke, which is neither in the served file nor in "
        "hook_urls of a policy",
    ]


@pytest.mark.parametrize(
    "hook",
    [
        {"host_command": ["./notify.sh", "stop"]},
        {"host_command": ["./notify.sh"]},
        {"host_command": ["/bin/sh", "./notify.sh", "start"]},
        {"http": {"url": "http://127.0.0.1:8081/smoke", "method": "DELETE"}},
        {"http": {"url": "http://127.0.0.1:8081/smoke/all", "method": "POST"}},
        {"http": {"url": "http://127.0.0.1:2375/containers/create", "method": "POST"}},
    ],
)
def test_another_hook_than_that_of_the_served_file_is_refused(hook: dict[str, object]) -> None:
    """Other arguments, another method and another URL are something else."""
    (objection,) = objections({}, hooked(hook), hooked(HOST, CALL))
    assert "neither in the served file nor" in objection


@pytest.mark.parametrize(
    ("program", "allowed"),
    [("./notify.sh", True), ("/srv/hooks/notify", True), ("./notify.sh.old", False), ("/srv/hooks/", False)],
)
def test_programs_that_hooks_may_run(program: str, allowed: bool) -> None:
    """As written, with any arguments. The list replaces the served file."""
    policy = {"host_commands": ["./notify.sh", "/srv/hooks/notify"]}
    found = objections(policy, hooked({"host_command": [program, "any"]}), hooked({"host_command": [program, "any"]}))
    assert found == [] or found == [f"its hooks run {program} any on this machine, which is not in host_commands"]
    assert (not found) is allowed
    assert len(objections({"host_commands": []}, hooked(HOST), hooked(HOST))) == 1


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://ci.example.com/hooks", True),
        ("https://ci.example.com/hooks/shop?run=1", True),
        ("https://ci.example.com/hooks/${secret:KEY}", True),
        ("https://ci.example.com/hooksmith", False),
        ("https://ci.example.com/", False),
        ("https://ci.example.com/hooks/../admin", False),
        ("https://ci.example.com/hooks/%2e%2e/admin", False),
        ("https://ci.example.com/hooks/..\\admin", False),
        ("http://ci.example.com/hooks", False),
        ("https://ci.example.com:8443/hooks", False),
        ("https://ci.example.com@evil.example.com/hooks", False),
        ("https://ci.example.com${secret:KEY}/hooks", False),
        ("${secret:KEY}", False),
        ("http://127.0.0.1:8081", True),
        ("http://127.0.0.1:8081/anything", True),
        ("http://127.0.0.1:8082/", False),
    ],
)
def test_urls_that_hooks_may_call(url: str, allowed: bool) -> None:
    """An entry covers everything below it, and nothing that only begins like it."""
    policy = {"hook_urls": ["https://ci.example.com/hooks", "http://127.0.0.1:8081"]}
    committed = hooked({"http": url})
    assert (objections(policy, committed, committed) == []) is allowed


def test_hooks_of_every_service_are_checked() -> None:
    """Also of one that the others do not share."""
    services = {"web": {}, "worker": {"hooks": {"AfterAllowTraffic": [HOST]}}}
    committed = Pipeline.model_validate({"name": "shop", "deploy": {"services": services}})
    assert len(objections({}, committed)) == 1


APP1 = {"name": "app1", "docker": "ssh://deploy@app1"}


@pytest.mark.parametrize(
    ("policy", "served", "objection"),
    [
        (Policy(), [APP1], None),
        (
            Policy(),
            [],
            "it deploys to ssh://deploy@app1, which is neither in the served file nor in hosts of a policy",
        ),
        (
            Policy(),
            [{"name": "app1", "docker": "ssh://root@app1"}],
            "it deploys to ssh://deploy@app1, which is neither in the served file nor in hosts of a policy",
        ),
        (Policy(hosts=("ssh://deploy@app1",)), [], None),
        (Policy(hosts=()), [APP1], "it deploys to ssh://deploy@app1, which is not in hosts"),
    ],
)
def test_hosts_of_a_commit(policy: Policy, served: list[dict[str, str]], objection: str | None) -> None:
    """A commit's hosts are those of the served file, or of the policy. The engine of this machine is always allowed."""
    wanted = pipeline(hosts=[APP1, {"name": "here", "docker": "local"}])
    found = policy.objections(wanted, frozenset(), "main", "watch", pipeline(hosts=served))
    assert [*found] == ([objection] if objection else [])


@pytest.mark.parametrize(
    ("policy", "served", "objections"),
    [
        (Policy(), {"runtime": "swarm", "swarm": {"secrets": ["db"]}}, []),
        (
            Policy(),
            {},
            [
                "it deploys to the Swarm of this machine, which is neither in the served file nor in hosts of a policy",
                "it uses the Swarm's secret db, which is neither in the served file nor in swarm_secrets of a policy",
            ],
        ),
        (Policy(hosts=("swarm",), swarm_secrets=("db",)), {}, []),
        (
            Policy(hosts=(), swarm_secrets=("api",)),
            {"runtime": "swarm", "swarm": {"secrets": ["db"]}},
            [
                "it deploys to the Swarm of this machine, which is not in hosts",
                "it uses the Swarm's secret db, which is not in swarm_secrets",
            ],
        ),
    ],
)
def test_a_swarm_of_a_commit(policy: Policy, served: dict[str, object], objections: list[str]) -> None:
    """A commit uses the Swarm and its secrets if the served file does, or the policy allows it."""
    wanted = pipeline(runtime="swarm", swarm={"secrets": ["db"]})
    assert [*policy.objections(wanted, frozenset(), "main", "watch", pipeline(**served))] == objections
