"""A Kubernetes cluster of one node: the programs of a real one, started by hand."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import tarfile
import time
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers._docker import Docker
from tests.servers._server import Server, free_port, missing

PROGRAMS = Path.home() / ".cache/lume-kubernetes/bin"
"""Where ``tests/servers/kubernetes/build.sh`` puts what it builds."""
_PAUSE = "lume-test-pause:3.2"
_NODE = "localhost"
_READY_S = 120


class Kubernetes:
    """A cluster on loopback, whose containers are those of a Docker daemon.

    Pods have this machine's network (``hostNetwork: true``) and images that the daemon has: there
    are no services, no names and no pulls.

    Args:
        folder: Where everything is kept.
        docker: The daemon.
    """

    def __init__(self, folder: Path, docker: Docker) -> None:
        self.docker = docker
        self.folder = folder
        self._parts = ExitStack()
        self.etcd = _Etcd(folder / "etcd")
        self.api = _API(folder / "api", self.etcd)

    @property
    def kubeconfig(self) -> str:
        """What ``KUBECONFIG`` is to be."""
        return str(self.api.kubeconfig)

    def start(self) -> Kubernetes:
        """Start it, and wait until pods can be."""
        _import_pause(self.docker)
        for part in (
            self.etcd,
            self.api,
            _Manager(self.folder / "manager", self.api),
            _Scheduler(self.folder / "scheduler", self.api),
            _Kubelet(self.folder / "kubelet", self.api, self.docker),
        ):
            self._parts.enter_context(part)
        deadline = time.monotonic() + _READY_S
        while not self._is_ready():
            assert time.monotonic() < deadline, self.kubectl("describe", "node")
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        """Stop it; Docker's daemon removes the containers when it stops."""
        self._parts.close()
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", mount], check=False)

    def __enter__(self) -> Kubernetes:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl says."""
        done = subprocess.run(
            [PROGRAMS / "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Objects of a kind, as kubectl has them."""
        items: list[dict[str, Any]] = json.loads(
            self.kubectl("get", kind, *arguments, "--output=json")
        )["items"]
        return items

    def _is_ready(self) -> bool:
        conditions = [one for node in self.get("nodes") for one in node["status"]["conditions"]]
        accounts = self.get("serviceaccounts")
        return bool(accounts) and ("Ready", "True") in [
            (one["type"], one["status"]) for one in conditions
        ]


class _Part(Server):
    install = "make test-kubernetes"

    def program_path(self) -> str:
        return self.executable(str(PROGRAMS))

    def ask(self) -> None:
        """It takes connections."""

    def url(self, name: str) -> str:
        """One cluster has one of everything."""
        return f"https://{self.host}:{self.port}"

    def drop(self, name: str) -> None:
        """Nothing is made for a test."""


class _Etcd(_Part):
    program = "etcd"
    install = "apt-get install etcd-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._peers = free_port()

    def command(self) -> list[str]:
        here = f"http://{self.host}:{self.port}"
        peers = f"http://{self.host}:{self._peers}"
        return [
            self.executable(),
            f"--data-dir={self.folder}/data",
            f"--listen-client-urls={here}",
            f"--advertise-client-urls={here}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
        ]


class _API(_Part):
    program = "kube-apiserver"

    def __init__(self, folder: Path, etcd: _Etcd) -> None:
        super().__init__(folder)
        self._etcd = etcd
        self.kubeconfig = folder / "kubeconfig"
        self.key = folder / "accounts.key"
        self.certificate = folder / "apiserver.crt"

    def prepare(self) -> None:
        """Make the key that signs accounts' tokens, the administrator's token and kubeconfig."""
        self.key.write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f'{token},admin,1,"system:masters"\n')
        cluster = {"server": self.url(""), "certificate-authority": str(self.certificate)}
        context = {"cluster": "test", "user": "admin", "namespace": "default"}
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "admin", "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": context}],
                    "current-context": "test",
                }
            )
        )

    def command(self) -> list[str]:
        return [
            self.program_path(),
            f"--etcd-servers=http://{self.host}:{self._etcd.port}",
            f"--bind-address={self.host}",
            f"--advertise-address={self.host}",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder}",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-key-file={self.key}",
            f"--service-account-signing-key-file={self.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--api-audiences=https://kubernetes.default.svc",
            "--endpoint-reconciler-type=none",
            "--kubelet-preferred-address-types=Hostname",
            "--feature-gates=TTLAfterFinished=true",
        ]

    def ask(self) -> None:
        """Ask whether it is ready."""
        command = [PROGRAMS / "kubectl", f"--kubeconfig={self.kubeconfig}", "get", "--raw=/readyz"]
        subprocess.run(command, check=True, capture_output=True)


class _Controller(_Part):
    """What looks after the objects of a cluster, through its API."""

    def __init__(self, folder: Path, api: _API) -> None:
        super().__init__(folder)
        self._api = api

    def command(self) -> list[str]:
        return [
            self.program_path(),
            f"--kubeconfig={self._api.kubeconfig}",
            f"--bind-address={self.host}",
            f"--secure-port={self.port}",
            "--port=0",
            "--leader-elect=false",
            f"--cert-dir={self.folder}",
        ]


class _Manager(_Controller):
    program = "kube-controller-manager"

    def command(self) -> list[str]:
        return [
            *super().command(),
            f"--service-account-private-key-file={self._api.key}",
            f"--root-ca-file={self._api.certificate}",
            "--use-service-account-credentials=true",
            "--feature-gates=TTLAfterFinished=true",
        ]


class _Scheduler(_Controller):
    program = "kube-scheduler"


class _Kubelet(_Part):
    program = "kubelet"
    stops_by = signal.SIGKILL  # It waits for its pods, which stay without it.

    def __init__(self, folder: Path, api: _API, docker: Docker) -> None:
        super().__init__(folder)
        self._api = api
        self._docker = docker
        self._health = free_port()

    def command(self) -> list[str]:
        return [
            self.program_path(),
            f"--kubeconfig={self._api.kubeconfig}",
            f"--docker-endpoint={self._docker.address}",
            f"--pod-infra-container-image={_PAUSE}",
            f"--hostname-override={_NODE}",
            f"--address={self.host}",
            f"--port={self.port}",
            "--read-only-port=0",
            f"--healthz-bind-address={self.host}",
            f"--healthz-port={self._health}",
            "--anonymous-auth=true",
            "--authorization-mode=AlwaysAllow",
            "--authentication-token-webhook=false",
            f"--root-dir={self.folder}/pods",
            f"--cert-dir={self.folder}/pki",
            f"--volume-plugin-dir={self.folder}/plugins",
            f"--experimental-dockershim-root-directory={self.folder}/dockershim",
            # What a machine without systemd, or one of many tenants, does not let it do.
            "--cgroups-per-qos=false",
            "--enforce-node-allocatable=",
            "--cgroup-driver=cgroupfs",
            "--fail-swap-on=false",
            "--network-plugin=",
            "--eviction-hard=",
            "--image-gc-high-threshold=100",
            "--make-iptables-util-chains=false",
            "--max-open-files=20000",
            "--oom-score-adj=0",
        ]


def _import_pause(docker: Docker) -> None:
    """Make the image of the container that holds a pod's network."""
    pause = PROGRAMS / "pause"
    if not pause.exists():
        missing("kubelet", "make test-kubernetes")
    client = docker.client()
    if client.images.list(_PAUSE):
        return
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(pause, "pause")
    name, _, tag = _PAUSE.partition(":")
    client.api.import_image_from_data(
        archive.getvalue(), repository=name, tag=tag, changes=['ENTRYPOINT ["/pause"]']
    )
