"""Waiting for the pod of a Kubernetes Job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kubernetes_asyncio.client import BatchV1Api, CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.watch import Watch

__all__ = ["PodWatch"]

_PENDING_S: Final = 2
"""How often, while its pod has not begun, somebody is asked whether a job is still wanted."""
_RUNNING_S: Final = 60
_HOPELESS: Final = ("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName")
"""Why a container waits that will wait for ever, unless somebody makes the image."""

_logger = logging.getLogger(__name__)


class PodWatch:
    """Waits for the pod of a Job.

    Args:
        client: The client of the cluster; it stays open meanwhile.
        namespace: The Job's namespace.
        job: Its name.
        tell: Is given a sentence when the pod has to wait for a node.
    """

    def __init__(
        self, client: Any, namespace: str, job: str, tell: Callable[[str], object]
    ) -> None:
        self._pods = CoreV1Api(client)
        self._jobs = BatchV1Api(client)
        self._namespace = namespace
        self._job = job
        self._tell = tell
        self._has_begun = False
        self._has_told = False

    async def until_over(self, is_to_end: Callable[[bool], Awaitable[bool]]) -> str:
        """Wait until the pod has ended, or cannot begin, or is not wanted any more.

        Whatever does not answer, or not with sense, is waited for.

        Args:
            is_to_end: Says whether the job is no longer wanted, and is told whether its pod has
                begun. It is asked every two seconds before that; a pod that runs hears of it by
                itself, and is only deleted when it is still there a minute later.

        Returns:
            Why there is no pod any more, for a run that knows of no better reason.
        """
        while True:
            try:
                reason = await self._look()
                if reason is None and await is_to_end(self._has_begun):
                    reason = "Its Job was deleted."
                    await self._delete()
            except Exception as error:  # of the cluster, of Prefect, of what stands before them
                _logger.warning("Job %s cannot be watched now: %r", self._job, error)
                await asyncio.sleep(_PENDING_S)
            else:
                if reason is not None:
                    return reason

    async def _look(self) -> str | None:
        """Look at the pod for a while; why it is over, if it is."""
        for_s = _RUNNING_S if self._has_begun else _PENDING_S
        async with Watch() as watch:
            async for event in watch.stream(
                self._pods.list_namespaced_pod,
                self._namespace,
                label_selector=f"job-name={self._job}",
                timeout_seconds=for_s,
            ):
                if event["type"] == "DELETED":
                    break
                pod = event["object"]
                if (reason := why_over(pod)) is not None:
                    if pod.status.phase == "Pending":
                        await self._delete()
                    return reason
                if pod.status.phase == "Running" and not self._has_begun:
                    self._has_begun = True
                    return None
                if (waits := _why_unscheduled(pod)) and not self._has_told:
                    self._has_told = True
                    self._tell(f"No node of the cluster can take it now: {waits}")
        return await self._why_gone()

    async def _why_gone(self) -> str | None:
        try:
            job = await self._jobs.read_namespaced_job(self._job, self._namespace)
        except ApiException as error:
            if error.status == 404:
                return "Its Job was deleted."
            raise
        for condition in job.status.conditions or ():
            if condition.status == "True" and condition.type in ("Failed", "Complete"):
                return f"Its Job ended: {condition.message or condition.type}"
        return None

    async def _delete(self) -> None:
        try:
            await self._jobs.delete_namespaced_job(
                self._job, self._namespace, propagation_policy="Background"
            )
        except ApiException as error:
            if error.status != 404:
                raise


def why_over(pod: Any) -> str | None:
    """Why nothing more is to be expected of a pod; None while there is."""
    statuses = pod.status.container_statuses or ()
    if pod.status.phase == "Succeeded":
        return "Its pod ended without a word of how the run went."
    if pod.status.phase == "Failed":
        for status in statuses:
            if (ended := status.state.terminated) is not None:
                if ended.reason == "OOMKilled":
                    return "Its container was killed: it needed more memory than its limit."
                return f"Its container ended with exit code {ended.exit_code} ({ended.reason})."
        return f"Its pod failed: {pod.status.reason} {pod.status.message}"
    for status in statuses:
        waits = status.state.waiting
        if waits is not None and waits.reason in _HOPELESS:
            return (
                f"The image {status.image!r} cannot be had by the cluster: {waits.reason}: "
                f"{waits.message}. Make it with `lume-services docker build` and push it to where "
                "the cluster looks, or name another in LUME_PREFECT__DEFAULT_IMAGE or "
                "KubernetesRunConfig."
            )
    return None


def _why_unscheduled(pod: Any) -> str | None:
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.message)
    return None
