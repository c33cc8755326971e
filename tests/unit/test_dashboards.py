"""Dashboards, which no Grafana has shown here: what it needs of a file, and that promtool reads every query."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exported_names import COUNTERS, GAUGES, LABELS

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "dashboards" / "evalsvc-health.json"
HEALTH = json.loads(FILE.read_text())
PANELS = {panel["title"] + f" {panel['id']}": panel for panel in HEALTH["panels"]}
SHOWN = {name: panel for name, panel in PANELS.items() if panel["type"] != "row"}
each_panel = pytest.mark.parametrize("panel", SHOWN.values(), ids=SHOWN.keys())

Place = dict[str, int]


def queries() -> Iterator[str]:
    for panel in SHOWN.values():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")


def overlap(one: Place, other: Place) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or below)


def test_the_file_has_what_grafana_needs() -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", HEALTH["uid"])
    assert HEALTH["title"]
    assert "id" not in HEALTH, "the database's own number: a provisioned file must not bring one"
    assert isinstance(HEALTH["schemaVersion"], int)
    assert {"from", "to"} <= set(HEALTH["time"])
    assert HEALTH["description"].startswith("run: ")
    numbers = [panel["id"] for panel in HEALTH["panels"]]
    assert len(numbers) == len(set(numbers))


def test_panels_lie_on_the_grid_and_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in HEALTH["panels"]]
    assert all(place["x"] >= 0 and place["w"] > 0 and place["x"] + place["w"] <= 24 for place in places)
    assert all(place["y"] >= 0 and place["h"] > 0 for place in places)
    assert not [pair for pair in itertools.combinations(places, 2) if overlap(*pair)]


def test_an_overlap_would_be_found() -> None:
    one, other = {"x": 0, "y": 0, "w": 8, "h": 8}, {"x": 7, "y": 7, "w": 8, "h": 8}
    assert overlap(one, other)
    assert overlap(one, one)
    assert not overlap(one, other | {"x": 8})


@each_panel
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict) -> None:
    assert panel["type"] in ("stat", "timeseries")
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


@each_panel
def test_queries_name_metrics_and_labels_that_are_exported(panel: dict) -> None:
    for target in panel["targets"]:
        named = re.findall(r"\bevalsvc_\w+", target["expr"])
        assert named
        assert {*named} <= {*COUNTERS, *GAUGES}
        known = {label for name in named for label in LABELS[name]}
        for name, matchers in re.findall(r"\b(evalsvc_\w+)\{([^}]*)\}", target["expr"]):
            assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= {*LABELS[name]}
        for grouped in re.findall(r"\bby \(([^)]*)\)", target["expr"]):
            assert set(re.findall(r"\w+", grouped)) <= known
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known
        counters = [name for name in named if name in COUNTERS]
        assert all(re.search(rf"(rate|increase)\({name}\b", target["expr"]) for name in counters)
    letters = [target["refId"] for target in panel["targets"]]
    assert len(letters) == len(set(letters))


@each_panel
def test_data_sources_are_the_variable_that_the_dashboard_asks_for(panel: dict) -> None:
    (variable,) = HEALTH["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": f"${{{variable['name']}}}"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on PATH: apt-get install -y prometheus")
def test_promtool_reads_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    for more, code in (([], 0), ([{"record": "query:wrong", "expr": "sum by (group) (evalsvc_ready"}], 1)):
        file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": [*rules, *more]}]}))
        command = ["promtool", "check", "rules", "--lint=none", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr


def test_grafana_is_given_the_folder_and_the_source_of_data() -> None:
    provisioned = ROOT / "dashboards" / "provisioning"
    (provider,) = yaml.safe_load((provisioned / "dashboards" / "evalsvc.yaml").read_text())["providers"]
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    mounts = dict(volume.removesuffix(":ro").split(":") for volume in volumes if volume.startswith("."))
    assert mounts["./dashboards"] == provider["options"]["path"]
    assert mounts["./dashboards/provisioning/dashboards"] == "/etc/grafana/provisioning/dashboards"
    sources = yaml.safe_load((provisioned / "datasources" / "evalsvc.yaml").read_text())["datasources"]
    current = HEALTH["templating"]["list"][0]["current"]["value"]
    assert current in [source["uid"] for source in sources if source["type"] == "prometheus"]
