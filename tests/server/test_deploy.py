"""The files of deploy/ say what the programs that read them take, and what the server has."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

DEPLOY = Path(__file__).parents[2] / "deploy"


def options_of_serve() -> set[str]:
    """All that `throughtime serve` takes."""
    import typer

    from throughtime.cli.serve import command

    app = typer.Typer()
    app.command()(command())
    return {name for parameter in get_command(app).params for name in parameter.opts}


def yaml_of(name: str) -> list[Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def used_options(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def test_every_option_is_one_that_the_server_has() -> None:
    known = options_of_serve()
    assert "--store" in known
    (compose,) = yaml_of("compose.yaml")
    (deployment,) = (one for one in yaml_of("kubernetes.yaml") if one["kind"] == "Deployment")
    unit = (DEPLOY / "throughtime.service").read_text().replace("\\\n", " ")
    start = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert start is not None and entry is not None
    lines = [
        compose["services"]["one"]["command"],
        deployment["spec"]["template"]["spec"]["containers"][0]["args"],
        shlex.split(start[1]),
        re.findall(r'"([^"]*)"', entry[1]),
    ]
    for words in lines:
        assert used_options(words) and used_options(words) <= known, words


def test_the_servers_of_a_compose_file_share_a_redis_that_keeps_what_it_says() -> None:
    (compose,) = yaml_of("compose.yaml")
    services = compose["services"]
    assert services["one"] == services["two"]
    redis = services["redis"]["command"]
    assert redis[redis.index("--appendfsync") + 1] == "always"
    assert redis[redis.index("--appendonly") + 1] == "yes"
    balanced = re.findall(r"server \w+ (\w+):8000", (DEPLOY / "haproxy.cfg").read_text())
    assert set(balanced) == {"one", "two"}


def test_a_balancer_finds_a_server_that_came_back_at_another_address() -> None:
    config = (DEPLOY / "haproxy.cfg").read_text()
    (resolvers,) = re.findall(r"^resolvers (\w+)\n((?: +.*\n)+)", config, re.MULTILINE)
    assert "parse-resolv-conf" in resolvers[1]
    defaults = re.findall(r"^ +default-server (.*)$", config, re.MULTILINE)
    assert len(defaults) == config.count("\nbackend ") == 2
    assert all(f"resolvers {resolvers[0]} init-addr last,libc,none" in one for one in defaults)


def test_objects_of_kubernetes_name_each_other() -> None:
    objects = yaml_of("kubernetes.yaml")
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    deployment = named["Deployment", "throughtime"]["spec"]
    assert deployment["replicas"] == 2
    for kind, name in (("Deployment", "throughtime"), ("StatefulSet", "throughtime-redis")):
        spec = named[kind, name]["spec"]
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == labels == named["Service", name]["spec"]["selector"]
    pod = deployment["template"]["spec"]
    (server,) = pod["containers"]
    grace = int(server["args"][server["args"].index("--grace") + 1])
    assert pod["terminationGracePeriodSeconds"] > grace
    assert {one["name"] for one in server["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert "appendfsync always" in named["ConfigMap", "throughtime-redis"]["data"]["redis.conf"]


def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    # Names are those of the compose file's network.
    config = (DEPLOY / "haproxy.cfg").read_text().replace(" one:8000", " 127.0.0.1:8000")
    (tmp_path / "haproxy.cfg").write_text(config.replace(" two:8000", " 127.0.0.1:8001"))
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0 and "WARNING" not in checked.stderr, checked.stderr


def test_systemd_takes_its_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "throughtime.service").read_text()
    # Whether the program is there is for the machine to say where it is installed.
    (tmp_path / "throughtime.service").write_text(
        text.replace("/opt/throughtime/bin/throughtime", "/bin/true")
    )
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / "throughtime.service")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0 and "throughtime.service" not in checked.stderr, checked.stderr


def test_the_image_runs_as_somebody_who_may_do_nothing() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "USER 10001" in lines and any("[serve,redis]" in line for line in lines)
