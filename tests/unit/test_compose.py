"""docker-compose.yml, which no engine has run here: each command, mount, health check and user is checked."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from evalsvc.cli import build_parser
from evalsvc.project import Environment, load_consumer
from evalsvc.project.checking import read_routes_file
from evalsvc.store.address import parse_address

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("evalsvc:")}
LONG_RUNNING = {name: service for name, service in SERVICES.items() if service["restart"] != "no"}


def mounts() -> Iterator[tuple[str, Path]]:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, _ = volume.partition(":")
            if source.startswith("."):
                yield name, ROOT / source


def mounted_files() -> list[Path]:
    found = {path for _, path in mounts()}
    return sorted({f for path in found for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()})


def by_name(services: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", services.values(), ids=services.keys())


def test_what_the_issue_asks_for_is_there():
    assert {
        "kafka",
        "clickhouse",
        "worker",
        "ruler",
        "web",
        "migrate",
        "prometheus",
        "alertmanager",
        "grafana",
    } <= set(SERVICES)


@by_name(OURS)
def test_every_evalsvc_command_is_one_of_the_command_line(service):
    options = build_parser().parse_args(service["command"])
    assert callable(getattr(options, "handler", None)) or options.handler


def test_a_wrong_command_would_be_found(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["rule"])
    assert "rule" in capsys.readouterr().err


def test_workers_run_consumers_that_are_mounted_and_valid():
    for service in OURS.values():
        if service["command"][0] == "run":
            _, consumer = load_consumer(ROOT / service["command"][1])
            assert any(volume.startswith("./consumers:") for volume in service["volumes"])
            created = SERVICES["topics"]["command"][0]
            wanted = {*consumer.source.topics, consumer.dead_letters.topic}
            assert wanted <= set(re.search(r"in (.+?); do", created)[1].split())


def test_environment_of_our_services_is_one_that_evalsvc_reads():
    for service in OURS.values():
        filled = re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "a" * 64, service["environment"]["EVALSVC_STORE"])
        place = parse_address(filled)
        assert (place.host, place.database) == (
            "clickhouse",
            SERVICES["clickhouse"]["environment"]["CLICKHOUSE_DB"],
        )
        assert place.user == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_USER"]
        Environment.read(service["environment"] | {"EVALSVC_STORE": filled})


def test_the_ruler_finds_rules_routes_and_whom_to_tell():
    mounted = {volume.split(":")[1] for volume in SERVICES["ruler"]["volumes"]}
    assert {"/project/pyproject.toml", "/project/consumers", "/project/alerts"} == mounted
    routes = read_routes_file(ROOT / "alerts" / "routes.yaml").routes
    (config,) = [receiver.config for receiver in routes.receivers]
    address = SERVICES["ruler"]["environment"][config.url_env]
    assert address == "http://alertmanager:9093"
    assert "alertmanager" in SERVICES["ruler"]["depends_on"]
    assert set(OURS["worker"]["environment"]) < set(SERVICES["ruler"]["environment"])


@by_name(SERVICES)
def test_no_service_runs_as_root(service):
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])


@by_name(LONG_RUNNING)
def test_every_long_running_service_has_a_health_check(service):
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@by_name(LONG_RUNNING)
def test_every_long_running_service_has_its_memory_capped(service):
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])


@by_name(SERVICES)
def test_every_image_is_pinned(service):
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+[\w.-]*", service["image"])


def test_base_image_and_user_of_ours():
    for service in OURS.values():
        recipe = service["build"]["dockerfile_inline"]
        assert re.search(r"^FROM python:\d+\.\d+\.\d+-slim", recipe)
        assert f"USER {service['user']}" in recipe
        copied = re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE)
        named = {name for line in copied for name in line.split()}
        # The library itself is elsewhere when the installed wheel is tested.
        assert named >= {"evalsvc", "pyproject.toml"}
        assert all((ROOT / name).exists() for name in named - {"evalsvc"})
        extras = re.search(r"\.\[([a-z,]+)\]", recipe)[1].split(",")
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(extras) <= set(known)


def test_ports_are_open_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_down():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY$", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value), f"{name}: {variable}"


def test_variables_are_those_that_the_page_of_instructions_sets():
    wanted = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):\?", TEXT))
    page = (ROOT / "docs" / "how-to" / "run-with-compose.md").read_text()
    assert wanted == set(re.search(r"for name in ([A-Z_ ]+);", page)[1].split())


def test_dependencies_are_services_that_can_meet_the_condition():
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert SERVICES[other]["restart"] == "no", f"{name} waits for the end of {other}"


def test_every_mounted_path_exists_and_is_read_only():
    assert all(path.exists() for _, path in mounts())
    for service in SERVICES.values():
        own = [volume for volume in service.get("volumes", []) if volume.startswith(".")]
        assert all(volume.endswith(":ro") for volume in own)


def test_every_named_volume_is_declared_and_used():
    used = {v.split(":")[0] for service in SERVICES.values() for v in service.get("volumes", []) if v[0] not in "./"}
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("path", mounted_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_mounted_file_parses_and_says_how_it_is_run(path):
    text = path.read_text()
    if path.suffix in (".yml", ".yaml"):
        assert isinstance(yaml.safe_load(text), dict)
        assert re.match(r"# run: .+", text)
    elif path.suffix == ".toml":
        assert tomllib.loads(text)
    elif path.suffix == ".json":
        assert json.loads(text)["description"].startswith("run: ")


@pytest.mark.parametrize("name", COMPOSE["configs"])
def test_every_inline_configuration_parses(name):
    # S314: the text is this repository's own.
    assert ElementTree.fromstring(COMPOSE["configs"][name]["content"]).tag == "clickhouse"  # noqa: S314


def test_clickhouse_caps_its_memory_below_its_container_and_ends_its_own_logs():
    server = ElementTree.fromstring(COMPOSE["configs"]["clickhouse-server"]["content"])  # noqa: S314
    assert int(server.findtext("max_server_memory_usage")) < 4 * 1024**3
    logs = [element for element in server if element.tag.endswith("_log")]
    assert {"query_log", "part_log", "trace_log", "text_log", "metric_log"} <= {log.tag for log in logs}
    assert all(log.get("remove") == "1" or "INTERVAL" in log.findtext("ttl", "") for log in logs)


def test_inline_configurations_are_mounted_where_the_server_looks():
    used = {entry["source"]: entry["target"] for entry in SERVICES["clickhouse"]["configs"]}
    assert set(used) == set(COMPOSE["configs"])
    assert used["clickhouse-server"].startswith("/etc/clickhouse-server/config.d/")
    assert used["clickhouse-users"].startswith("/etc/clickhouse-server/users.d/")


def test_prometheus_asks_services_on_the_ports_where_they_answer():
    config = yaml.safe_load((ROOT / "alerts/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    for name in ("worker", "ruler"):
        (found,) = jobs[f"evalsvc-{name}"]["dns_sd_configs"]
        options = build_parser().parse_args(SERVICES[name]["command"])
        assert (found["names"], found["port"]) == ([name], options.metrics_port)
    options = build_parser().parse_args(SERVICES["web"]["command"])
    assert jobs["evalsvc-web"]["static_configs"] == [{"targets": [f"web:{options.port}"]}]
    assert all((ROOT / "alerts/prometheus" / name).exists() for name in config["rule_files"])


def test_alertmanager_routes_to_a_receiver_that_exists():
    config = yaml.safe_load((ROOT / "alerts/alertmanager.yml").read_text())
    assert config["route"]["receiver"] in {receiver["name"] for receiver in config["receivers"]}
    groups = yaml.safe_load((ROOT / "alerts/prometheus/evalsvc.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    matched = set(re.findall(r"Evalsvc\w+", str(config["inhibit_rules"])))
    assert matched <= {rule["alert"] for rule in rules}


def test_grafana_reads_as_the_account_that_can_only_read():
    file = ROOT / "dashboards/provisioning/datasources/evalsvc.yaml"
    source = yaml.safe_load(file.read_text())["datasources"][0]
    users = ElementTree.fromstring(COMPOSE["configs"]["clickhouse-users"]["content"])  # noqa: S314
    account = users.find(f"users/{source['jsonData']['username']}")
    assert account is not None
    assert users.findtext(f"profiles/{account.findtext('profile')}/readonly") == "2"
    variable = source["secureJsonData"]["password"].removeprefix("$")
    assert variable in SERVICES["grafana"]["environment"]
    assert account.find("password").get("from_env") == variable


def test_the_docs_say_plainly_that_it_has_not_been_run():
    page = (ROOT / "docs" / "how-to" / "run-with-compose.md").read_text()
    assert "has not been run on a Docker engine" in page
