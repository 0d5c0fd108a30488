"""A worker whose jobs are Jobs of a Kubernetes cluster."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientError
from anyio import CancelScope, sleep
from kubernetes_asyncio import config
from kubernetes_asyncio.client import BatchV1Api, CoreV1Api, V1ObjectMeta, V1Secret
from kubernetes_asyncio.client.exceptions import ApiException
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed
from prefect_kubernetes.worker import (
    KubernetesWorker,
    KubernetesWorkerJobConfiguration,
    KubernetesWorkerResult,
    KubernetesWorkerVariables,
)
from pydantic import Field

from lume_services.errors import ConfigurationError
from lume_services.kubernetes import job_template, merged
from lume_services.workers._places import give_up_place
from lume_services.workers._pods import PodWatch
from lume_services.workers.environment import IN_CONTAINERS, JobEnvironment

__all__ = ["LUMEKubernetesWorker"]

_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_READABLE_BY_GROUP: Final = 0o440
_RUN: Final = "prefect.io/flow-run-id"
_CONTAINER: Final = "prefect-job"
_COMMAND: Final = ["python", "-m", "lume_services.job"]
_PAUSE_S: Final = 5
_PREFECTS: Final = ("parallelism", "completions")
"""What Prefect wants to see in the pod of a template, where Kubernetes has no such fields."""
_POOL: Final = "prefect.io/work-pool-name"
_ANY_CLUSTER: Final = SimpleNamespace(cluster_config=None)
"""The configuration of no job in particular: the cluster that this process is in or is told."""


class _JobConfiguration(KubernetesWorkerJobConfiguration):  # type: ignore[misc]  # no types
    job_manifest: dict[str, Any] = Field(
        json_schema_extra={
            "template": merged(
                job_template(), {"spec": {"template": {"spec": dict.fromkeys(_PREFECTS, 1)}}}
            )
        }
    )
    job_template: dict[str, Any] = Field(default_factory=dict)


class _Variables(KubernetesWorkerVariables):  # type: ignore[misc]  # no types
    image_pull_secrets: list[dict[str, str]] = Field(
        default_factory=list, description="Secrets that fetch the image, each `name: …`."
    )
    job_template: dict[str, Any] = Field(
        default_factory=dict, description="Parts of a Job manifest, laid over the one that is made."
    )


with warnings.catch_warnings():
    # It takes the place of Prefect's own worker of this type, which Prefect warns about.
    warnings.simplefilter("ignore", UserWarning)

    class LUMEKubernetesWorker(KubernetesWorker):  # type: ignore[misc]  # no types
        """Prefect's Kubernetes worker; its jobs have the worker's settings, and run our engine.

        It watches the pod of each Job itself, in place of Prefect's observer, which needs leave to
        watch the whole cluster and forgets runs that are cancelled before their pod begins.
        """

        job_configuration = _JobConfiguration
        job_configuration_variables = _Variables
        jobs: JobEnvironment
        job_template: Mapping[str, Any] = {}
        """Parts of a Job manifest, laid over that of every job of this worker."""

        async def run(
            self,
            flow_run: Any,
            configuration: KubernetesWorkerJobConfiguration,
            task_status: Any = None,
        ) -> KubernetesWorkerResult:
            """Make a Job and wait for its pod."""
            give_up_place(self, flow_run, configuration)
            asked = flow_run.job_variables or {}
            if "namespace" not in asked and configuration.namespace == "default":
                configuration.namespace = _own_namespace()
            namespace = configuration.namespace
            async with self._get_configured_kubernetes_client(configuration) as client:
                core = CoreV1Api(client)
                with CancelScope(shield=True):  # a worker that ends leaves nothing half made
                    secret = await core.create_namespaced_secret(
                        namespace, _secret(self.jobs.secret_values(), flow_run.id)
                    )
                    name = secret.metadata.name
                    try:
                        manifest = self._manifest(configuration, asked, secret=name)
                        configuration.job_manifest = manifest
                        result = await super().run(flow_run, configuration, task_status)
                    except BaseException:
                        await core.delete_namespaced_secret(name, namespace)
                        raise
                    job = result.identifier.partition(":")[2]
                    owner = await BatchV1Api(client).read_namespaced_job(job, namespace)
                    await core.patch_namespaced_secret(name, namespace, _owned_by(owner))
                log = self.get_flow_run_logger(flow_run)
                await self._watch(PodWatch(client, namespace, job, log.warning), flow_run.id)
            return result

        async def setup(self) -> None:
            """Find the cluster, and look after Jobs that an earlier worker has left.

            Raises:
                ConfigurationError: No cluster is configured, or it does not answer.
            """
            await super().setup()
            try:
                left = await self._unfinished()
            except (config.ConfigException, ApiException, ClientError, OSError) as error:
                raise ConfigurationError(
                    f"The Kubernetes cluster cannot be used: {_in_words(error)}. See that `kubectl "
                    "get jobs` works where this worker runs, and KUBECONFIG."
                ) from error
            for run_id, namespace, job in left:
                self._runs_task_group.start_soon(self._look_after, run_id, namespace, job)

        async def __aenter__(self) -> Any:
            """Begin without Prefect's observer."""
            return await super(KubernetesWorker, self).__aenter__()

        async def __aexit__(self, *error: Any) -> None:
            """End."""
            await super(KubernetesWorker, self).__aexit__(*error)

        def _manifest(
            self,
            configuration: KubernetesWorkerJobConfiguration,
            asked: Mapping[str, Any],
            *,
            secret: str,
        ) -> dict[str, Any]:
            """The Job: what Prefect has made of the template, and what is this worker's."""
            made = configuration.job_manifest
            pod = made["spec"]["template"]["spec"]
            for name in _PREFECTS:
                pod.pop(name, None)
            container = next(one for one in pod["containers"] if one["name"] == _CONTAINER)
            container["args"] = _COMMAND
            given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
            others = [one for one in container["env"] if "value" not in one]
            environment = self.jobs.of_container(given)
            container["env"] = [
                *({"name": name, "value": text} for name, text in environment.items()),
                *others,
            ]
            if "image" not in asked:
                container["image"] = self.jobs.image
            volume = {"secretName": secret, "defaultMode": _READABLE_BY_GROUP}
            pod["volumes"] = [*pod.get("volumes", []), {"name": "secrets", "secret": volume}]
            mounts = [{"name": "secrets", "mountPath": IN_CONTAINERS, "readOnly": True}]
            if (mount := self.jobs.mount) is not None:
                host = {"path": str(mount.mount_path), "type": mount.mount_type}
                pod["volumes"].append({"name": "mounted", "hostPath": host})
                mounts.append({"name": "mounted", "mountPath": str(mount.mount_alias)})
            container["volumeMounts"] = [*container.get("volumeMounts", []), *mounts]
            made["metadata"]["namespace"] = configuration.namespace
            return merged(merged(made, self.job_template), configuration.job_template)

        async def _watch(self, pods: PodWatch, run_id: UUID) -> None:
            """Wait until a job is over, and see to it that its run is then over, too."""

            async def is_to_end(has_begun: bool) -> bool:
                try:
                    state = (await self.client.read_flow_run(run_id)).state
                except ObjectNotFound:
                    return True
                # A job that lives puts right that its run is taken for crashed.
                is_over = state.is_final() and not (has_begun and state.is_crashed())
                return bool(is_over or state.is_cancelling())

            reason = await pods.until_over(is_to_end)
            while True:
                try:
                    await self._end(run_id, reason)
                    return
                except ObjectNotFound:
                    return
                except Exception as error:  # the server may be away
                    self._logger.warning("Run %s: the server does not answer: %r", run_id, error)
                    await sleep(_PAUSE_S)

        async def _end(self, run_id: UUID, reason: str) -> None:
            """Give the run of a job that is over a final state, unless it has one."""
            state = (await self.client.read_flow_run(run_id)).state
            if state.is_final():
                return
            ended: State[Any] = Crashed(message=reason)
            if state.is_cancelling():
                ended = Cancelled(message="Cancelled by its worker.")
            await self.client.set_flow_run_state(run_id, ended, force=True)

        async def _unfinished(self) -> list[tuple[UUID, str, str]]:
            """Run, namespace and name of the Jobs of this work pool that are not over."""
            namespace = _own_namespace()
            async with self._get_configured_kubernetes_client(_ANY_CLUSTER) as client:
                found = await BatchV1Api(client).list_namespaced_job(
                    namespace, label_selector=f"{_POOL}={self._work_pool_name}"
                )
            return [
                (UUID(job.metadata.labels[_RUN]), namespace, job.metadata.name)
                for job in found.items
                if not job.status.succeeded
            ]

        async def _look_after(self, run_id: UUID, namespace: str, job: str) -> None:
            async with self._get_configured_kubernetes_client(_ANY_CLUSTER) as client:
                await self._watch(PodWatch(client, namespace, job, self._logger.info), run_id)


def _own_namespace() -> str:
    """That of the pod which this process is in, else that of the context of ``KUBECONFIG``."""
    if _OWN_NAMESPACE.exists():
        return _OWN_NAMESPACE.read_text("utf-8").strip()
    context: Any = config.list_kube_config_contexts()[1]
    return str(context["context"].get("namespace", "default"))


def _secret(values: Mapping[str, str], run_id: UUID) -> V1Secret:
    metadata = V1ObjectMeta(generate_name="lume-run-", labels={_RUN: str(run_id)})
    return V1Secret(metadata=metadata, string_data=dict(values))


def _owned_by(job: Any) -> dict[str, Any]:
    """What makes an object go when a Job does."""
    owner = {"apiVersion": "batch/v1", "kind": "Job"}
    owner |= {"name": job.metadata.name, "uid": job.metadata.uid}
    return {"metadata": {"ownerReferences": [owner]}}


def _in_words(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
