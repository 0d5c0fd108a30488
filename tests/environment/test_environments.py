"""Environments: locked, shared, made once, pruned, and never half-made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lume_services.environment.environments import Environment, Environments
from lume_services.environment.inspection import inspect_package
from lume_services.environment.lock import Lock
from lume_services.environment.process import ModelProcess
from lume_services.errors import ConfigurationError, EnvironmentBuildError, PackageError
from lume_services.settings import EnvironmentConfig
from tests.environment.models import model_wheel
from tests.environment.test_process import wait_for

LIBRARY = {"name": "thicklens", "source": "def lens(i):\n    return {{}}\n"}


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What makes the environments; every test that uses it is run with both."""
    if request.param == "pip":
        monkeypatch.setattr("lume_services.environment.installers._uv", lambda: None)
    return str(request.param)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder of wheels, two versions of a library among them."""
    for version in ("1.0", "2.0"):
        model_wheel(tmp_path / "repository", version=version, **LIBRARY)
    return tmp_path / "repository"


@pytest.fixture
def environments(tmp_path: Path, repository: Path) -> Environments:
    """With that folder alone, so that the network is not asked."""
    config = EnvironmentConfig(local_pip_repository=repository)
    return Environments(tmp_path / "environments", config, isolated=True)


def locked(environments: Environments, wheel: Path) -> tuple[Lock, str]:
    package = inspect_package(wheel)
    return environments.lock(package, wheel), package.sha256


def ensured(environments: Environments, wheel: Path) -> Environment:
    lock, digest = locked(environments, wheel)
    return environments.ensure(lock, wheel.stem, digest, lambda _: wheel)


def folders(environments: Environments) -> list[str]:
    return sorted(path.name for path in environments.folder.glob("*/") if len(path.name) == 32)


def evaluate(environment: Environment, name: str = "thinlens") -> dict[str, object]:
    process = ModelProcess(environment, f"{name}.model:lens")
    try:
        return dict(process.evaluate({"f": 2.0}).outputs)
    finally:
        process.close()


def test_a_package_and_what_it_needs(
    environments: Environments, tmp_path: Path, installer: str
) -> None:
    wheel = model_wheel(tmp_path, requires=["thicklens<2"])
    lock, digest = locked(environments, wheel)
    assert lock.packages == ("thicklens==1.0",)
    environment = environments.ensure(lock, "thinlens-1.0", digest, lambda _: wheel)
    assert evaluate(environment) == {"xp": -0.5e-3, "version": "1.0"}
    assert Lock.from_document(json.loads(json.dumps(lock.to_document()))) == lock
    there = ModelProcess(environment, "thinlens.model:lens")
    assert {"thicklens==1.0", "thinlens==1.0"} <= set(there.describe().packages)
    there.close()


def test_the_callers_environment_is_not_touched(
    environments: Environments, tmp_path: Path, installer: str
) -> None:
    def installed() -> set[str]:
        code = "from importlib.metadata import distributions as d; print(*{o.name for o in d()})"
        asked = [sys.executable, "-c", code]
        return set(subprocess.run(asked, capture_output=True, text=True).stdout.split())

    before = installed()
    ensured(environments, model_wheel(tmp_path, requires=["thicklens"]))
    assert installed() == before
    assert "thicklens" not in before


def test_versions_that_need_the_same_share_an_environment(
    environments: Environments, tmp_path: Path
) -> None:
    one, two = (
        ensured(environments, model_wheel(tmp_path, version=version, requires=["thicklens"]))
        for version in ("1.0", "1.1")
    )
    other = ensured(environments, model_wheel(tmp_path, version="1.2", requires=["thicklens<2"]))
    assert one.folder == two.folder != other.folder
    assert [evaluate(each)["version"] for each in (one, two, other, one)] == [
        "1.0",
        "1.1",
        "1.2",
        "1.0",
    ]


def test_it_is_made_once_by_many_who_want_it(environments: Environments, tmp_path: Path) -> None:
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    lock, digest = locked(environments, wheel)
    asked = []

    def archive(_: Path) -> Path:
        asked.append(1)
        return wheel

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: environments.ensure(lock, "x", digest, archive).folder, range(8))
    assert len(set(found)) == 1
    assert len(asked) == 1
    log = (environments.folder / "logs" / "x.log").read_text()
    assert log.count("$ ") == 3  # make, install, add


def test_another_kind_of_machine_finds_its_own_packages(
    environments: Environments, tmp_path: Path, installer: str
) -> None:
    """Locked on a Mac, say: the same version, and what is needed only here as well."""
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    _, digest = locked(environments, wheel)
    lock = Lock(
        f"3.{sys.version_info.minor}",
        platform="macosx-14.0-arm64",
        needs=("thicklens",),
        packages=("thicklens==1.0", "pyobjc==10.0"),
    )
    environment = environments.ensure(lock, "thinlens-1.0", digest, lambda _: wheel)
    process = ModelProcess(environment, "thinlens.model:lens")
    assert set(process.describe().packages) == {"thicklens==1.0", "thinlens==1.0"}
    process.close()
    assert environments.ensure(lock, "x", digest, lambda _: wheel).folder == environment.folder


def test_one_whose_python_is_gone_is_made_again(environments: Environments, tmp_path: Path) -> None:
    wheel = model_wheel(tmp_path)
    python = ensured(environments, wheel).python
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert evaluate(ensured(environments, wheel))["version"] == "1.0"


def test_a_need_that_is_a_file_of_this_machine(environments: Environments, tmp_path: Path) -> None:
    library = model_wheel(tmp_path / "here", version="1.0", **LIBRARY)
    wheel = model_wheel(tmp_path, requires=[f"thicklens @ {library.as_uri()}"])
    with pytest.raises(PackageError, match="is a file of this machine"):
        ensured(environments, wheel)


def test_it_is_found_again_at_once(environments: Environments, tmp_path: Path) -> None:
    wheel = model_wheel(tmp_path)
    lock, digest = locked(environments, wheel)
    environments.ensure(lock, "x", digest, lambda _: wheel)

    def archive(_: Path) -> Path:
        raise AssertionError("asked for")

    assert environments.has(lock, digest)
    environments.ensure(lock, "x", digest, archive)


def test_needs_that_contradict_each_other(
    environments: Environments, tmp_path: Path, installer: str
) -> None:
    wheel = model_wheel(tmp_path, requires=["thicklens<2", "thicklens>=2"])
    with pytest.raises(EnvironmentBuildError, match="thicklens") as raised:
        ensured(environments, wheel)
    log = environments.folder / "logs" / "thinlens-1.0.log"
    assert str(log) in str(raised.value)
    assert log.read_text().strip()
    assert len(str(raised.value).splitlines()) <= 13
    assert folders(environments) == []


def test_what_is_not_to_be_had(environments: Environments, tmp_path: Path, installer: str) -> None:
    with pytest.raises(EnvironmentBuildError, match="no-such-library"):
        ensured(environments, model_wheel(tmp_path, requires=["no-such-library"]))
    assert folders(environments) == []


def test_what_fails_half_way_leaves_nothing(
    environments: Environments, repository: Path, tmp_path: Path, installer: str
) -> None:
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    lock, digest = locked(environments, wheel)
    for one in repository.iterdir():
        one.unlink()
    with pytest.raises(EnvironmentBuildError):
        environments.ensure(lock, "x", digest, lambda _: wheel)
    assert folders(environments) == []
    for version in ("1.0", "2.0"):
        model_wheel(repository, version=version, **LIBRARY)
    environment = environments.ensure(lock, "x", digest, lambda _: wheel)
    broken = tmp_path / "thinlens-9.9-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    with pytest.raises(EnvironmentBuildError):
        environments.ensure(lock, "y", "0" * 64, lambda _: broken)
    assert [path.name for path in (environment.folder / "packages").iterdir()] == [digest]


def test_isolated_needs_a_repository(tmp_path: Path) -> None:
    alone = Environments(tmp_path, EnvironmentConfig(), isolated=True)
    with pytest.raises(ConfigurationError, match="LUME_ENVIRONMENT__LOCAL_PIP_REPOSITORY"):
        locked(alone, model_wheel(tmp_path))


def test_a_python_that_is_not_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    wheel = model_wheel(tmp_path)
    package = inspect_package(wheel)
    old = Environments(
        tmp_path,
        EnvironmentConfig(python_version="3.5", local_pip_repository=repository),
        isolated=True,
    )
    needy = type(package)(**{**vars(package), "requires_python": ">=3.9"})
    with pytest.raises(PackageError, match="LUME_ENVIRONMENT__PYTHON_VERSION"):
        old.lock(needy, wheel)
    with pytest.raises(EnvironmentBuildError, match=r"3\.5"):
        old.lock(package, wheel)
    with pytest.raises(ValueError, match="python_version"):
        EnvironmentConfig(python_version="three")


def test_conda_where_there_is_none(environments: Environments, tmp_path: Path) -> None:
    lock = Lock("3.11", conda=("genesis4>=4.6",), channels=("conda-forge",))
    with pytest.raises(EnvironmentBuildError, match=r"genesis4>=4\.6.*install micromamba"):
        environments.ensure(lock, "genesis", "0" * 64, lambda _: tmp_path)
    assert folders(environments) == []


def test_what_conda_is_asked_for(
    environments: Environments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    repository: Path,
) -> None:
    """With a stand-in for micromamba, which cannot be installed everywhere: it makes a venv."""
    programs = tmp_path / "programs"
    programs.mkdir()
    stand_in = programs / "micromamba"
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n{sys.executable} -m venv --without-pip "$4"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    channel = tmp_path / "channel"
    config = EnvironmentConfig(
        local_pip_repository=repository, local_conda_channel_directory=channel
    )
    environments = Environments(tmp_path / "environments", config, isolated=False)
    wheel = model_wheel(tmp_path)
    package = inspect_package(wheel)
    needy = type(package)(
        **{
            **vars(package),
            "conda": ("genesis4",),
            "channels": ("conda-forge",),
            "requirements": ("thicklens",),
        }
    )
    lock = environments.lock(needy, wheel)
    assert (lock.conda, lock.packages) == (("genesis4",), ("thicklens",))
    environment = environments.ensure(lock, "x", package.sha256, lambda _: wheel)
    asked = (tmp_path / "asked").read_text()
    assert f"--channel={channel.as_uri()} --channel=conda-forge" in asked
    assert asked.strip().endswith(f"python={lock.python} genesis4")
    assert evaluate(environment)["version"] == "1.0"


def test_prune_removes_what_nobody_needs_or_uses(
    environments: Environments, tmp_path: Path
) -> None:
    wheels = [
        model_wheel(tmp_path, version=version, requires=["thicklens"]) for version in ("1.0", "1.1")
    ]
    lock, kept = locked(environments, wheels[0])
    _, dropped = locked(environments, wheels[1])
    used = [ensured(environments, wheel) for wheel in wheels]
    other = ensured(environments, model_wheel(tmp_path, version="1.2", requires=["thicklens<2"]))
    folder, other_folder = used[0].folder, other.folder
    assert environments.prune({}) == []  # they are in use
    for one in (*used, other):
        one.let_go()
    removed = environments.prune({lock.digest: [kept]})
    assert set(removed) == {folder / "packages" / dropped, other_folder}
    assert not other_folder.exists()
    assert [path.name for path in (folder / "packages").iterdir()] == [kept]
    assert evaluate(ensured(environments, wheels[0]))["version"] == "1.0"


def test_remove_takes_the_package_and_an_environment_that_has_no_other(
    environments: Environments, tmp_path: Path
) -> None:
    wheels = [model_wheel(tmp_path, version=version) for version in ("1.0", "1.1")]
    lock, first = locked(environments, wheels[0])
    _, second = locked(environments, wheels[1])
    for wheel in wheels:
        ensured(environments, wheel).let_go()
    environments.remove(lock, first)
    assert not environments.has(lock, first)
    assert environments.has(lock, second)
    environments.remove(lock, second)
    assert folders(environments) == []


MAKER = """
import sys
from pathlib import Path
from lume_services.environment.environments import Environments
from lume_services.environment.inspection import inspect_package
from lume_services.settings import EnvironmentConfig

folder, repository, wheel = map(Path, sys.argv[1:])
environments = Environments(
    folder, EnvironmentConfig(local_pip_repository=repository), isolated=True
)
environments.sweep()
with environments.scratch() as scratch:
    (scratch / "something").write_text("x")
    package = inspect_package(wheel, tmp=scratch)
    lock = environments.lock(package, wheel)
    print("locked", flush=True)
    environments.ensure(lock, "x", package.sha256, lambda _: wheel)
    print("made", flush=True)
"""


@pytest.fixture
def maker(environments: Environments, repository: Path, tmp_path: Path) -> list[str | Path]:
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    return [sys.executable, "-c", MAKER, environments.folder, repository, wheel]


def test_what_a_killed_process_was_making_is_swept(
    environments: Environments, maker: list[str | Path]
) -> None:
    killed = subprocess.Popen(maker, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "locked\n"
    wait_for(lambda: folders(environments) != [])
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run(maker, check=True)
    assert len(folders(environments)) == 1
    assert list((environments.folder / "incoming").iterdir()) == []
    killed.stdout.close()


@pytest.mark.slow
def test_twenty_kills_at_any_moment(environments: Environments, maker: list[str | Path]) -> None:
    started = time.monotonic()
    subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - started
    for number in range(20):
        environments.prune({})
        killed = subprocess.Popen(maker, stdout=subprocess.DEVNULL)
        time.sleep(whole * (0.2 + 0.8 * number / 20))  # at moments over its whole life
        killed.kill()
        killed.wait()
        for folder in environments.folder.glob("*/environment.json"):
            packages = list((folder.parent / "packages").glob("[!.]*"))
            assert all((one / "thinlens" / "model.py").exists() for one in packages)
    subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
    assert len(folders(environments)) == 1
    assert list((environments.folder / "incoming").iterdir()) == []
