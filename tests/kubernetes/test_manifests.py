"""The manifests for Kubernetes: valid by today's schemas, without secrets, laid over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.commands import Run

from lume_services.errors import InvalidInputError
from lume_services.kubernetes import job_template, merged
from lume_services.services.scheduling.run_configs import KubernetesRunConfig

NEWEST = kubernetes_validate.latest_version()
PASSWORD = "n0t:2/be@sh0wn"


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "LUME_MODEL_DB__URL": "mysql+pymysql://lume@db.lab.example/registry",
        "LUME_MODEL_DB__PASSWORD": PASSWORD,
        "LUME_RESULTS_DB__URL": "mongodb://lume@mongo.lab.example/lume",
        "LUME_PREFECT__SERVER__HOST": "prefect.lab.example",
        "LUME_PREFECT__DEFAULT_IMAGE": "registry.lab.example/lume:1.0",
    }.items():
        monkeypatch.setenv(name, text)


def rendered(run: Run, *arguments: str) -> dict[tuple[str, str], Any]:
    answer = run("kubernetes", "render", *arguments)
    assert answer.code == 0, answer.err
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(answer.out)}


@pytest.mark.parametrize("server", [[], ["--server"]], ids=["worker", "with server"])
def test_what_is_rendered_is_valid_and_holds_no_secret(
    run: Run, server: list[str], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text("spec: {activeDeadlineSeconds: 60}")
    template = ["--job-template", str(tmp_path / "job.yaml")]
    made = rendered(run, "--namespace", "lume", *template, *server)
    for manifest in made.values():
        kubernetes_validate.validate(manifest, NEWEST, strict=True)
        assert manifest["metadata"]["namespace"] == "lume"
    assert PASSWORD not in str(made)
    assert made["RoleBinding", "lume-worker"]["subjects"][0]["namespace"] == "lume"
    worker = made["Deployment", "lume-worker"]["spec"]["template"]["spec"]["containers"][0]
    assert worker["image"] == "registry.lab.example/lume:1.0"
    assert {mount["name"] for mount in worker["volumeMounts"]} == {"secrets", "job"}
    jobs = yaml.safe_load(made["ConfigMap", "lume-job"]["data"]["job.yaml"])
    assert jobs == {"spec": {"activeDeadlineSeconds": 60}}
    variables = made["ConfigMap", "lume-settings"]["data"]
    assert variables["LUME_BACKEND"] == "kubernetes"
    assert variables["LUME_MODEL_DB__URL"] == "mysql+pymysql://lume@db.lab.example/registry"
    assert "LUME_HOME" not in variables
    assert variables["LUME_PREFECT__SERVER__HOST"] == (
        "http://lume-prefect" if server else "prefect.lab.example"
    )
    assert (("StatefulSet", "lume-prefect-database") in made) == bool(server)


def test_other_settings_make_another_worker(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def pod() -> Any:
        return rendered(run)["Deployment", "lume-worker"]["spec"]["template"]

    first = pod()
    assert pod() == first
    monkeypatch.setenv("LUME_PREFECT__SERVER__HOST", "other.lab.example")
    assert pod()["metadata"]["annotations"] != first["metadata"]["annotations"]


def test_secrets_are_rendered_by_themselves(run: Run) -> None:
    made = rendered(run, "--secrets", "--server")
    assert {kind for kind, _ in made} == {"Secret"}
    for manifest in made.values():
        kubernetes_validate.validate(manifest, NEWEST, strict=True)
    assert made["Secret", "lume-secrets"]["stringData"] == {"LUME_MODEL_DB__PASSWORD": PASSWORD}
    database = made["Secret", "lume-prefect"]
    assert database["immutable"], "another password would lock the server out of its database"
    assert database["stringData"]["password"] in database["stringData"]["url"]
    again = rendered(run, "--secrets", "--server")["Secret", "lume-prefect"]["stringData"]
    assert again["password"] != database["stringData"]["password"]


def test_a_server_that_prefects_own_variables_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUME_PREFECT__SERVER__HOST")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    answer = run("kubernetes", "render")
    assert answer.code == 2
    assert "LUME_PREFECT__SERVER__HOST is not set" in answer.err
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.lab.example/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "lume:let-me-in")
    made = rendered(run)
    settings = made["ConfigMap", "lume-settings"]["data"]
    assert settings["PREFECT_API_URL"] == "https://prefect.lab.example/api"
    assert "LUME_PREFECT__SERVER__HOST" not in settings
    assert "let-me-in" not in str(made)
    secret = rendered(run, "--secrets")["Secret", "lume-secrets"]["stringData"]
    assert secret["PREFECT_API_AUTH_STRING"] == "lume:let-me-in"


def test_stores_of_this_machine_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUME_MODEL_DB__URL")
    monkeypatch.delenv("LUME_MODEL_DB__PASSWORD")
    answer = run("kubernetes", "render")
    assert answer.code == 2
    assert "LUME_MODEL_DB__URL" in answer.err


def test_the_job_is_valid() -> None:
    given = {
        "env": [{"name": "LUME_BACKEND", "value": "kubernetes"}],
        "labels": {"prefect.io/flow-run-id": "1"},
        "annotations": {},
        "image_pull_secrets": [{"name": "registry"}],
        "image_pull_policy": "Never",
    }

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        if isinstance(part, str) and part.startswith("{{"):
            name = part.strip("{}- ")
            return given.get(name, "1")
        return part

    kubernetes_validate.validate(filled(job_template()), NEWEST, strict=True)


def test_one_manifest_over_another() -> None:
    whole = {
        "spec": {
            "containers": [{"name": "job", "image": "a", "args": ["x", "y"]}],
            "tolerations": [{"key": "old"}],
            "serviceAccountName": "lume",
        }
    }
    over: dict[str, Any] = {
        "spec": {
            "containers": [{"name": "job", "args": ["z"]}, {"name": "proxy", "image": "b"}],
            "tolerations": [{"key": "new"}],
            "serviceAccountName": None,
            "nodeSelector": {"gpu": "yes"},
        }
    }
    before = str(whole)
    assert merged(whole, over) == {
        "spec": {
            "containers": [
                {"name": "job", "image": "a", "args": ["z"]},
                {"name": "proxy", "image": "b"},
            ],
            "tolerations": [{"key": "new"}],
            "nodeSelector": {"gpu": "yes"},
        }
    }
    assert str(whole) == before


@pytest.mark.parametrize("good", ["512Mi", "4G", "500m", "2", "0.5", "1e3"])
def test_quantities_of_kubernetes(good: str) -> None:
    assert KubernetesRunConfig(memory_limit=good, cpu_request=good).memory_limit == good


@pytest.mark.parametrize("bad", ["512MiB", "4 G", "-1", "", "lots", "1.5.2"])
def test_what_is_no_quantity_is_refused_with_its_name(bad: str) -> None:
    for name in ("memory_limit", "memory_request", "cpu_limit", "cpu_request"):
        with pytest.raises(InvalidInputError, match=rf"{name}='{bad}'.*512Mi"):
            KubernetesRunConfig(**{name: bad})


def test_a_job_template_that_cannot_be_read(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUME_BACKEND", "process")
    answer = run("worker", "start", "--job-template", "job.yaml")
    assert answer.code == 2
    assert "job_template='job.yaml' is for kubernetes" in answer.err
    monkeypatch.setenv("LUME_BACKEND", "kubernetes")
    (tmp_path / "list.yaml").write_text("- spec")
    for file, word in (("missing.yaml", "cannot be read"), ("list.yaml", "no mapping")):
        answer = run("worker", "start", "--job-template", str(tmp_path / file))
        assert answer.code == 2
        assert word in answer.err
