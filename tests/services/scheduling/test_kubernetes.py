"""The kubernetes backend: a real Prefect server, a real worker, Jobs of a real cluster."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands import Run
from tests.servers import Docker, Kubernetes, MariaDB, PostgreSQL, Worker, free_port
from tests.services.scheduling.conftest import (
    JOBS_OF_THIS_CLUSTER,
    cancelled_at_random_moments,
    computes_there_what_it_computes_here,
    running,
    service_of,
)

from lume_services.config import configure, context
from lume_services.errors import RunError
from lume_services.kubernetes import merged
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import Backend, FlowRunHandle, RunState
from lume_services.services.scheduling.run_configs import KubernetesRunConfig, RunConfig
from lume_services.testing.backends import BackendConformance

pytestmark = [pytest.mark.slow, pytest.mark.kubernetes, pytest.mark.timeout(1200)]
_SOON_S = 60.0


@pytest.fixture
def scheduling(kubernetes_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> SchedulingService:
    return service_of(kubernetes_worker, monkeypatch)


@pytest.fixture
def job_of(kubernetes: Kubernetes) -> Callable[[FlowRunHandle], Any]:
    """Finds the Job of a run."""

    def find(run: FlowRunHandle) -> Any:
        deadline = time.monotonic() + _SOON_S
        while not (found := kubernetes.get("jobs", _of(run))):
            assert time.monotonic() < deadline, run
            time.sleep(0.1)
        return found[0]

    return find


class TestKubernetesBackend(BackendConformance):
    @pytest.fixture
    def backend(self, scheduling: SchedulingService) -> Backend:
        return scheduling.backend

    @pytest.fixture
    def run_config(self) -> RunConfig:
        return KubernetesRunConfig(env={"SHOWN": "yes"}, memory_limit="1Gi", cpu_request="100m")


def test_a_model_computes_in_a_pod_what_it_computes_here(
    scheduling: SchedulingService, installed: Any
) -> None:
    computes_there_what_it_computes_here(installed.rotate)


def test_a_file_of_a_job_is_on_the_node(
    kubernetes_worker: Worker, scheduling: SchedulingService, installed: Any
) -> None:
    given = {"path": "lattice.txt", "text": "QF1"}
    file = scheduling.run(flow=installed.write, parameters=given).result(_SOON_S)
    node = Path(kubernetes_worker.variables["LUME_MOUNTED_FILESYSTEM__MOUNT_PATH"])
    assert (node / given["path"]).read_text() == "QF1"
    assert file.read() == "QF1"


def test_secrets_are_nowhere_but_in_the_secret_of_the_job(
    kubernetes: Kubernetes,
    docker: Docker,
    kubernetes_worker: Worker,
    scheduling: SchedulingService,
    installed: Any,
    job_of: Callable[[FlowRunHandle], Any],
) -> None:
    named = {"variable": "PREFECT_API_AUTH_STRING", "seconds": _SOON_S}
    run = scheduling.run(flow=installed.who_waits, parameters=named)
    job = job_of(run)
    (secret,) = kubernetes.get("secrets", _of(run))
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    values = {name: b64decode(text).decode() for name, text in secret["data"].items()}
    assert MariaDB.password in values["LUME_MODEL_DB__PASSWORD"]
    assert values["PREFECT_API_AUTH_STRING"] == "lume:let-me-in"
    said = next(line.message for line in run.logs(follow=True) if "let in by" in line.message)
    assert said == "let in by a secret of 14 letters as user 1000"
    pods = kubernetes.get("pods", _of(run))
    assert [mount["readOnly"] for mount in _mounts(pods) if "secrets" in mount["mountPath"]]
    shown = [container.attrs for container in docker.client().containers.list()]
    backend: Any = scheduling.backend
    with backend.api.client() as client:
        known = [client.read_flow_run(run.id), client.read_work_pool(backend.work_pool)]
    everywhere = json.dumps([job, pods, shown]) + kubernetes_worker.log.read_text()
    everywhere += "".join(one.model_dump_json() for one in known) + str(run.logs())
    assert not [name for name, text in values.items() if text in everywhere]
    run.cancel()
    assert run.wait(_SOON_S) is RunState.CANCELLED
    kubernetes.kubectl("delete", "job", job["metadata"]["name"])
    _nothing_is_left(kubernetes, "secrets", run)


def test_a_run_has_what_its_configuration_asks_for(
    kubernetes: Kubernetes,
    scheduling: SchedulingService,
    installed: Any,
    job_of: Callable[[FlowRunHandle], Any],
) -> None:
    asked = KubernetesRunConfig(
        cpu_request="100m",
        cpu_limit="1",
        memory_request="256Mi",
        memory_limit="1Gi",
        service_account_name="physicist",
        image_pull_secrets=["registry"],
        job_template={
            "metadata": {"labels": {"beamline": "hxr"}},
            "spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}},
        },
    )
    kubernetes.kubectl("create", "serviceaccount", "physicist")
    run = scheduling.run(flow=installed.wait, parameters={"seconds": 0.0}, run_config=asked)
    job = job_of(run)
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["labels"]["beamline"] == "hxr"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["serviceAccountName"] == "physicist"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["hostNetwork"], "from the template of the worker"
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    assert run.result(_SOON_S) is None


def test_an_image_that_is_not_there(
    kubernetes: Kubernetes, scheduling: SchedulingService, installed: Any
) -> None:
    run = scheduling.run(
        flow=installed.wait,
        parameters={"seconds": 0.0},
        run_config=KubernetesRunConfig(image="nowhere.invalid/no-such-image:1.0"),
    )
    with pytest.raises(RunError, match=r"Crashed: .*no-such-image.*lume-services docker build"):
        run.result(_SOON_S)
    _nothing_is_left(kubernetes, "jobs", run)


def test_a_container_that_is_killed(
    docker: Docker,
    scheduling: SchedulingService,
    installed: Any,
) -> None:
    run = running(scheduling.run(flow=installed.wait, parameters={"seconds": 600}))
    labels = {"label": "io.kubernetes.container.name=prefect-job"}
    for container in docker.client().containers.list(filters=labels):
        container.kill()
    with pytest.raises(RunError, match=r"Crashed: .*exit code 137"):
        run.result(_SOON_S)


def test_a_job_that_needs_more_memory_than_its_limit(
    scheduling: SchedulingService, installed: Any
) -> None:
    run = scheduling.run(
        flow=installed.wait,
        parameters={"seconds": 0.0},
        run_config=KubernetesRunConfig(memory_limit="32Mi"),
    )
    with pytest.raises(RunError, match=r"Crashed: .*more memory than its limit"):
        run.result(_SOON_S)


def test_a_job_that_somebody_deletes(
    kubernetes: Kubernetes,
    scheduling: SchedulingService,
    installed: Any,
    job_of: Callable[[FlowRunHandle], Any],
) -> None:
    run = running(scheduling.run(flow=installed.wait, parameters={"seconds": 600}))
    kubernetes.kubectl("delete", "job", job_of(run)["metadata"]["name"])
    with pytest.raises(RunError, match=r"Crashed: "):
        run.result(_SOON_S)


@pytest.mark.parametrize("is_replaced", [False, True], ids=["same worker", "another worker"])
def test_cancelling_a_run_that_no_node_can_take(
    kubernetes: Kubernetes,
    kubernetes_worker: Worker,
    scheduling: SchedulingService,
    installed: Any,
    is_replaced: bool,
) -> None:
    run = scheduling.run(
        flow=installed.wait,
        parameters={"seconds": 0.0},
        run_config=KubernetesRunConfig(cpu_request="1000"),
    )
    waits = next(line for line in run.logs(follow=True) if "No node" in line.message)
    assert "Insufficient cpu" in waits.message
    if is_replaced:
        kubernetes_worker.kill()
        kubernetes_worker.start()
    run.cancel()
    assert run.wait(_SOON_S) is RunState.CANCELLED
    _nothing_is_left(kubernetes, "jobs", run)


def test_runs_cancelled_at_random_moments_leave_no_container(
    docker: Docker, scheduling: SchedulingService, installed: Any
) -> None:
    runs = cancelled_at_random_moments(scheduling, installed.wait, seconds=600, seed=7)
    jobs = {"label": "io.kubernetes.container.name=prefect-job"}
    deadline = time.monotonic() + _SOON_S
    while left := docker.client().containers.list(filters=jobs):
        assert time.monotonic() < deadline, f"{len(left)} of {len(runs)} are left"
        time.sleep(0.2)


def test_what_is_rendered_carries_runs_out_in_the_cluster(
    kubernetes: Kubernetes,
    kubernetes_variables: dict[str, str],
    postgresql: PostgreSQL,
    installed: Any,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    port = str(free_port())
    variables = {**kubernetes_variables, "LUME_PREFECT__SERVER__HOST_PORT": port}
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    (tmp_path / "job.yaml").write_text(JOBS_OF_THIS_CLUSTER)
    template = ["--job-template", str(tmp_path / "job.yaml")]
    made = [
        *yaml.safe_load_all(run("kubernetes", "render", "-n", "lume", "--server", *template).out),
        *yaml.safe_load_all(run("kubernetes", "render", "-n", "lume", "--server", "--secrets").out),
    ]
    database = postgresql.url("in-cluster").replace("+psycopg:", "+asyncpg:")
    here = [_for_one_node(one, kubernetes, port=port, database=database) for one in made]
    kubernetes.kubectl("create", "namespace", "lume")
    kubernetes.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(here))
    again = yaml.safe_dump(made[-1])
    with pytest.raises(AssertionError, match="immutable"):
        kubernetes.kubectl("apply", "-f", "-", given=again)
    for name in ("lume-prefect", "lume-worker"):
        kubernetes.kubectl("-n", "lume", "rollout", "status", "deployment", name, "--timeout=120s")
    configure()
    given = {"variable": "LUME_BACKEND"}
    flow_run = context.scheduling_service().run(flow=installed.who, parameters=given)
    assert flow_run.result(2 * _SOON_S)["value"] == "kubernetes"
    (pod,) = kubernetes.get("pods", _of(flow_run), "-n", "lume")
    assert pod["spec"]["hostNetwork"]
    worker = "--as=system:serviceaccount:lume:lume-worker"
    for verb, kind in (("get", "secrets"), ("list", "secrets"), ("create", "pods")):
        with pytest.raises(AssertionError):  # kubectl answers "no" by its exit code
            kubernetes.kubectl("-n", "lume", "auth", "can-i", verb, kind, worker)
    kubernetes.kubectl("delete", "namespace", "lume")


def _for_one_node(
    manifest: dict[str, Any], cluster: Kubernetes, *, port: str, database: str
) -> dict[str, Any]:
    """What a cluster without services, names and pulls needs in place of them."""
    of_container = {
        "worker": {
            "env": [
                {"name": "KUBERNETES_SERVICE_HOST", "value": cluster.api.host},
                {"name": "KUBERNETES_SERVICE_PORT", "value": str(cluster.api.port)},
            ]
        },
        "server": {
            "env": [{"name": "PREFECT_SERVER_API_PORT", "value": port}],
            "readinessProbe": {"httpGet": {"port": int(port), "host": "127.0.0.1"}},
            "ports": None,
        },
    }
    over: dict[str, Any] = {}
    if manifest["kind"] == "Deployment":
        name = manifest["spec"]["template"]["spec"]["containers"][0]["name"]
        container = {"name": name, "imagePullPolicy": "Never", **of_container[name]}
        pod = {"hostNetwork": True, "containers": [container]}
        over = {"spec": {"template": {"spec": pod}}}
    if manifest["kind"] == "StatefulSet":
        over = {"spec": {"replicas": 0}}
    if manifest["kind"] == "Secret" and manifest["metadata"]["name"] == "lume-prefect":
        over = {"stringData": {"url": database}}
    if manifest["metadata"]["name"] == "lume-settings":
        server = {"HOST": "127.0.0.1", "HOST_PORT": port}
        over = {"data": {f"LUME_PREFECT__SERVER__{name}": text for name, text in server.items()}}
    return merged(manifest, over)


def test_a_worker_without_a_cluster_says_so(
    kubernetes_worker: Worker, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in kubernetes_worker.variables.items():
        monkeypatch.setenv(name, text)
    for file in (tmp_path / "nothing", _kubeconfig_of_nobody(tmp_path)):
        monkeypatch.setenv("KUBECONFIG", str(file))
        answer = run("worker", "start")
        assert answer.code == 2
        assert "Error: The Kubernetes cluster cannot be used: " in answer.err
        assert "KUBECONFIG" in answer.err


def _kubeconfig_of_nobody(folder: Path) -> Path:
    file = folder / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
    )
    return file


def _of(run: FlowRunHandle) -> str:
    return f"--selector=prefect.io/flow-run-id={run.id}"


def _mounts(pods: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for pod in pods:
        for container in pod["spec"]["containers"]:
            yield from container["volumeMounts"]


def _nothing_is_left(cluster: Kubernetes, kind: str, run: FlowRunHandle) -> None:
    deadline = time.monotonic() + _SOON_S
    while left := cluster.get(kind, _of(run)):
        assert time.monotonic() < deadline, json.dumps(left)
        time.sleep(0.2)
