"""The operator's project: what a right file becomes, where its root is, settings, environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc import project
from evalsvc._cli_run import find_consumer
from evalsvc.errors import ConfigError
from evalsvc.pipeline import WorkerSettings
from evalsvc.project import (
    ConsumerConfig,
    DeadLetterConfig,
    Environment,
    ExportedConfig,
    FilesConfig,
    HttpConfig,
    KafkaConfig,
    KafkaSecurity,
    Limits,
    MaskingConfig,
    ScorerConfig,
)
from evalsvc.project.settings import satisfies
from evalsvc.sampling import Condition, Design, Rule, StratumRate

MINIMAL = "consumer: {name}\nsource: {{files: {{paths: [a.jsonl]}}}}\nscorers: [refusal]\n"

WHOLE = """
consumer: quality
source:
  kafka:
    brokers: [b1:9092, "[::1]:9093"]
    brokers_env: KAFKA_BROKERS
    topics: [llm.a, llm.b]
    group: g1
    start: latest
    security:
      {protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username_env: KU, password_env: KP, ca_file: ca.pem}
sampling:
  version: 3
  unit: session
  keep: [{name: chat, when: {kind: interaction, segments.plan: [pro, no]}}]
  strata: [application, segments.plan]
  rate: 0.01
  rates: [{match: {segments.plan: enterprise}, rate: 0.2}]
  always: [{name: slow, when: {latency_ms: {gte: 20000, lt: 60000}, model: {not_in: [old]}}}]
  target_per_hour: 5000
  salt: pepper
scorers:
  - bleu
  - {name: chrf, rate: 0.5, options: {word_order: 2}}
masking:
  default: hash
  user_id: drop
  entities: {EMAIL_ADDRESS: keep, ORDER_ID: mask}
  only: [EMAIL_ADDRESS, ORDER_ID]
  patterns: [{name: ORDER_ID, regex: 'ORD-\\d{6}'}]
  key_env: OUR_KEY
dead_letters: {max_ratio: 0.5, min_records: 10, topic: dead}
limits: {max_batch: 7, flush_seconds: 0.5, queue_batches: 2, future_seconds: 1, age_days: none}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    (tmp_path / "consumers").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, text: str, name: str = "quality.yaml") -> Path:
    path = root / "consumers" / name
    path.write_text(text)
    return path


def test_a_whole_file(root: Path) -> None:
    path = write(root, WHOLE)
    (consumer,) = project.load_project().consumers
    assert (consumer.name, consumer.path) == ("quality", path)
    assert consumer.source == KafkaConfig(
        topics=("llm.a", "llm.b"),
        group="g1",
        brokers=("b1:9092", "[::1]:9093"),
        brokers_env="KAFKA_BROKERS",
        start="latest",
        security=KafkaSecurity(
            protocol="SASL_SSL",
            mechanism="SCRAM-SHA-512",
            username_env="KU",
            password_env="KP",
            ca_file=root / "ca.pem",
        ),
    )
    assert consumer.design == Design(
        "quality",
        version=3,
        rate=0.01,
        rates=(StratumRate({"segments.plan": "enterprise"}, 0.2),),
        strata=("application", "segments.plan"),
        unit="session",
        keep=(
            Rule(
                "chat",
                (Condition("kind", "in", ("interaction",)), Condition("segments.plan", "in", ("pro", "no"))),
            ),
        ),
        always=(
            Rule(
                "slow",
                (
                    Condition("latency_ms", "gte", number=20000.0),
                    Condition("latency_ms", "lt", number=60000.0),
                    Condition("model", "not_in", ("old",)),
                ),
            ),
        ),
        scorer_rates={"chrf_plus_plus": 0.5},
        target_per_hour=5000,
        salt="pepper",
    )
    assert consumer.scorers == (
        ScorerConfig(name="bleu", metric="bleu"),
        ScorerConfig(name="chrf", metric="chrf_plus_plus", rate=0.5, options={"word_order": 2}),
    )
    policy = consumer.masking.policy
    assert (policy.default, policy.user_id, consumer.masking.key_env) == ("hash", "drop", "OUR_KEY")
    assert policy.actions == {"EMAIL_ADDRESS": "keep", "ORDER_ID": "mask"}
    assert policy.entity_types == ("EMAIL_ADDRESS", "ORDER_ID")
    assert [(own.entity_type, own.regex) for own in policy.patterns] == [("ORDER_ID", r"ORD-\d{6}")]
    assert consumer.dead_letters == DeadLetterConfig(max_ratio=0.5, min_records=10, topic="dead")
    assert consumer.limits == Limits(max_batch=7, flush_seconds=0.5, queue_batches=2, future_seconds=1, age_days=None)


def test_a_minimal_file_has_the_defaults(root: Path) -> None:
    path = write(root, MINIMAL.format(name="a"))
    assert project.load_consumer(path)[1] == ConsumerConfig(
        name="a",
        path=path,
        source=FilesConfig(paths=(str(root / "a.jsonl"),)),
        design=Design("a"),
        scorers=(ScorerConfig(name="refusal", metric="refusal"),),
        masking=MaskingConfig(),
    )


def test_http_keeps_its_log_in_the_project(root: Path) -> None:
    path = write(root, "consumer: a\nsource: {http: {}}\nscorers: [refusal]\n")
    assert project.load_consumer(path)[1].source == HttpConfig(wal=root / ".evalsvc" / "http" / "a")


def test_the_defaults_are_the_pipelines() -> None:
    ours, theirs = Limits(), WorkerSettings()
    assert (ours.max_batch, ours.flush_seconds, ours.queue_batches) == (
        theirs.max_batch,
        theirs.flush_seconds,
        theirs.queue_batches,
    )
    assert (ours.future_seconds, ours.age_days) == (
        theirs.time_limits.future_seconds,
        theirs.time_limits.age_days,
    )
    letters = DeadLetterConfig()
    assert (letters.max_ratio, letters.min_records) == (theirs.max_dead_ratio, theirs.dead_min_records)


def test_all_problems_of_all_files_come_at_once(root: Path) -> None:
    write(root, MINIMAL.format(name="a") + "limit: {}\n", "a.yaml")
    write(root, MINIMAL.format(name="b") + "sampling: {rate: 2}\n", "b.yml")
    (root / "pyproject.toml").write_text('[tool.evalsvc]\nstorre = "memory:"\n')
    with pytest.raises(ConfigError) as caught:
        project.load_project()
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [
        ("consumers/a.yaml", 4),
        ("consumers/b.yml", 4),
        ("pyproject.toml", 2),
    ]
    assert str(caught.value).startswith("3 problems in 3 files:\nconsumers/a.yaml:4:1: unknown key `limit`")


def test_two_consumers_of_one_name(root: Path) -> None:
    write(root, MINIMAL.format(name="a"), "a.yaml")
    write(root, MINIMAL.format(name="a"), "b.yaml")
    (problem,) = project.check().problems
    assert str(problem) == "consumers/b.yaml:1:1: the consumer `a` is there twice (first in consumers/a.yaml)"


RULES = "groups: [{{name: g, rules: [{{alert: {alert}, metric: refusal, above: 0.2}}]}}]\n"


def test_a_project_has_its_rules_and_each_alert_once(root: Path) -> None:
    write(root, MINIMAL.format(name="a"))
    (root / "alerts").mkdir()
    (root / "alerts" / "one.rules.yaml").write_text(RULES.format(alert="Fell"))
    (root / "alerts" / "two.rules.yaml").write_text(RULES.format(alert="Rose"))
    assert [rule.alert for group in project.load_project().rules for rule in group.rules] == ["Fell", "Rose"]
    (root / "alerts" / "two.rules.yaml").write_text(RULES.format(alert="Fell"))
    with pytest.raises(
        ConfigError, match=r"two\.rules\.yaml:1:28: the alert `Fell` is in alerts/one\.rules\.yaml as well"
    ):
        project.load_project()


def test_one_file_loads_beside_a_wrong_one(root: Path) -> None:
    write(root, "nonsense", "wrong.yaml")
    path = write(root, MINIMAL.format(name="a"))
    assert project.load_consumer(path)[1].name == "a"
    with pytest.raises(ConfigError):
        project.load_project()


def test_a_named_consumer_loads_beside_wrong_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, MINIMAL.format(name="f7") + "limit: {}\nlimmit: {}\n", "f7.yaml")
    write(root, "nonsense", "f9.yaml")
    write(root, MINIMAL.format(name="f8"), "f8.yaml")
    found, consumer = find_consumer("f8")
    assert (consumer.name, [each.name for each in found.consumers]) == ("f8", ["f8"])
    warning = "3 mistakes in other consumers' files; `evalsvc check` says which"
    assert capsys.readouterr().err == f"warning: {warning}\n"
    with pytest.raises(ConfigError, match=re.escape(f"; {warning})")):
        find_consumer("x1")
    (root / "consumers" / "f7.yaml").unlink()
    (root / "consumers" / "f9.yaml").unlink()
    assert find_consumer("f8")[1] == consumer
    assert capsys.readouterr().err == ""


def test_a_named_consumers_own_mistakes_stop_it(root: Path) -> None:
    write(root, MINIMAL.format(name="a") + "limit: {}\n", "other-name.yaml")
    write(root, MINIMAL.format(name="b") + "limit: {}\n", "b.yaml")
    write(root, MINIMAL.format(name="c"), "c.yaml")
    write(root, MINIMAL.format(name="c"), "c2.yaml")
    write(root, "nonsense", "n.yaml")
    for name, path in (("a", "other-name"), ("b", "b"), ("c", "c2"), ("n", "n")):
        with pytest.raises(ConfigError) as caught:
            project.load_named(name)
        assert {problem.path for problem in caught.value.problems} == {f"consumers/{path}.yaml"}


def test_a_project_without_settings_has_its_root_above_consumers(tmp_path: Path) -> None:
    (tmp_path / "consumers").mkdir()
    found, consumer = project.load_consumer(write(tmp_path, MINIMAL.format(name="a")))
    assert found.root == tmp_path
    assert consumer.source == FilesConfig(paths=(str(tmp_path / "a.jsonl"),))


def test_check_takes_files_folders_and_projects(root: Path) -> None:
    path = write(root, MINIMAL.format(name="a"))
    for paths in ([path], [root / "consumers"], [root], []):
        checked = project.check(paths)
        assert path in checked.files
        assert [consumer.name for consumer in checked.consumers] == ["a"]
        assert checked.problems == ()
    with pytest.raises(ConfigError, match="not there"):
        project.check([root / "nowhere"])


def test_other_tools_files_are_parsed(root: Path) -> None:
    for name, text in {
        "alerts/rules.yaml": "groups: [\n",
        "alerts/list.yml": "- a\n- b\n",
        "dashboards/deep/quality.json": '{"a": 1,}',
        "dashboards/right.json": "[]",
        "suites/ignored.json": "{",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    places = [str(problem).split(": is not")[0] for problem in project.check().problems]
    assert places == ["alerts/rules.yaml:2:1", "dashboards/deep/quality.json:1:9"]
    assert [len(project.check([root / name]).problems) for name in ("alerts", "dashboards", "alerts/list.yml")] == [
        1,
        1,
        0,
    ]


def test_a_renamed_folder(root: Path) -> None:
    (root / "pyproject.toml").write_text('[tool.evalsvc]\nconsumers = "pipelines"\n')
    (root / "consumers").rename(root / "pipelines")
    (root / "pipelines" / "a.yaml").write_text(MINIMAL.format(name="a"))
    assert [consumer.name for consumer in project.load_project().consumers] == ["a"]


def test_settings(root: Path) -> None:
    (root / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.evalsvc]\nstore = "embedded:here"\nrequires-evalsvc = ">=0.1"\n'
        '[tool.evalsvc.retention]\nevents = "7d"\nscores = "8w"\n'
    )
    settings = project.load_settings(root / "consumers").settings
    assert settings.store == "embedded:here"
    assert settings.retention == {"events": 7, "scores": 56}
    assert settings.exported == ExportedConfig(
        window_seconds=3600.0, delay_seconds=120.0, by=("application", "model_version"), max_groups=1000
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exported = false", None),
        ("exported = {}", ExportedConfig()),
        ('exported = {window = "15m", delay = "1m"}', ExportedConfig(window_seconds=900.0, delay_seconds=60.0)),
        ('[tool.evalsvc.exported]\nby = ["segments.plan", "model"]', ExportedConfig(by=("segments.plan", "model"))),
        ("exported = {by = [], max_groups = 5}", ExportedConfig(by=(), max_groups=5)),
    ],
)
def test_what_is_exported(root: Path, line: str, expected: ExportedConfig | None) -> None:
    (root / "pyproject.toml").write_text(f"[tool.evalsvc]\n{line}\n")
    assert project.load_settings(root / "consumers").settings.exported == expected


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('suits = "s"', "2:1: unknown key `suits` in `tool.evalsvc` (did you mean `suites`?)"),
        ("consumers = 3", "2:1: expected `consumers` to be a folder within the project, but got 3"),
        ('alerts = "../a"', "2:1: expected `alerts` to be a folder within the project, but got '../a'"),
        ('store = "redis:x?a=1"', "2:1: Expected store options"),
        ('store = "clickhouse://u:pw@db/q"', "2:1: a password does not belong in a file"),
        ('retention = {events = "soon"}', "2:14: Expected a duration"),
        ('retention = {event = "1d"}', "2:14: unknown key `event` in `tool.evalsvc.retention`"),
        ("retention = 30", "2:1: expected `retention` to be a table"),
        ("exported = true", "2:1: expected `exported` to be a table or false (as in {window"),
        ('exported = {windw = "1h"}', "2:13: unknown key `windw` in `tool.evalsvc.exported` (did you mean `window`?)"),
        ('exported = {window = "soon"}', "2:13: Expected a duration"),
        ('exported = {delay = "90s"}', "2:13: expected `delay` to be whole minutes, but got '90s'"),
        ('exported = {by = "application"}', "2:13: expected `by` to be a list of fields, but got 'application'"),
        ('exported = {by = ["applicaton"]}', "2:13: expected application, model"),
        ('exported = {by = ["consumer"]}', "2:13: the label `consumer` of `consumer` has another meaning"),
        ('exported = {by = ["segments.job"]}', "2:13: the label `job` of `segments.job` has another meaning"),
        ('exported = {by = ["model", "model"]}', "2:13: `model` is there twice (leave one out)"),
        (
            'exported = {by = ["model", "segments.model"]}',
            "2:13: `segments.model` has the same label, `model`, as `model`",
        ),
        ("exported = {max_groups = 0}", "2:13: expected `max_groups` to be a number from 1 to 100,000, but got 0"),
        ("exported = {max_groups = true}", "2:13: expected `max_groups` to be a number from 1 to 100,000"),
        ('requires-evalsvc = ">=9"', "2:1: expected evalsvc >=9, but this is"),
        ('requires-evalsvc = "new"', "2:1: expected `requires-evalsvc` to be"),
        ("store = ", "2:9: is not TOML"),
    ],
)
def test_wrong_settings(root: Path, table: str, message: str) -> None:
    (root / "pyproject.toml").write_text(f"[tool.evalsvc]\n{table}\n")
    with pytest.raises(ConfigError) as caught:
        project.load_settings()
    assert f"pyproject.toml:{message}" in str(caught.value)


@pytest.mark.parametrize(
    ("version", "specifier", "fits"),
    [
        ("0.1.0", ">=0.1", True),
        ("0.1.0", ">0.1", False),
        ("0.10.0", ">=0.9,<1", True),
        ("1.0.0", "!=1.0", False),
        ("1.0.1", "==1.0.1", True),
        ("0.1.0", "<=0.0.9", False),
    ],
)
def test_versions(version: str, specifier: str, fits: bool) -> None:
    assert satisfies(version, specifier) is fits


def test_the_environment_is_read_once_and_shows_no_secret() -> None:
    variables = {"EVALSVC_API": "0.0.0.0:9000", "KPASS": "hunter2"}
    environment = Environment.read(variables)
    variables["KPASS"] = "changed"
    assert environment.api == "0.0.0.0:9000"
    assert environment.secret("KPASS", "a.yaml") == "hunter2"
    assert "hunter2" not in repr(environment)
    with pytest.raises(ConfigError, match=r"KUSER to be set: a\.yaml reads it"):
        environment.secret("KUSER", "a.yaml")


@pytest.mark.parametrize("api", ["9000", "host:", "host:99999", ":80"])
def test_a_wrong_api_address(api: str) -> None:
    with pytest.raises(ConfigError, match="EVALSVC_API"):
        Environment.read({"EVALSVC_API": api})


def test_a_wrong_store_address() -> None:
    with pytest.raises(ConfigError):
        Environment.read({"EVALSVC_STORE": "mysql://host/db"})
