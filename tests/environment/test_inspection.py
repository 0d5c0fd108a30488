"""What is read of a package is what stands in it; what is wrong is refused in one clear line."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lume_services.environment import _unpacked
from lume_services.environment.inspection import examine, inspect_package
from lume_services.environment.package import Package
from lume_services.errors import ConfigurationError, PackageError
from tests.environment.archives import ENTRY_POINTS, FLOW, PKG_INFO, add, sdist, wheel

PREFECT1_FLOW = """\
from typing import Dict

from prefect import Flow, Parameter, case, task
from prefect.storage import Module

from lume_services.tasks import configure_lume_services
from my_model.model import MyModel


@task(log_stdout=True)
def evaluate(variables: Dict[str, float]):
    return MyModel().evaluate(variables)


with Flow("my-model", storage=Module(__name__)) as flow:
    configured = configure_lume_services()
    x = Parameter("x", default=1.0)
    with case(x, 2.0):
        output = evaluate({"x": x})


def get_flow():
    return flow
"""
# What setuptools makes of a package of the 0.x template: nothing but setup.py names what it has.
TEMPLATE: dict[str, str | None] = {
    "pyproject.toml": None,
    "PKG-INFO": "Metadata-Version: 2.1\nName: my-model\nVersion: 1.2.0\nRequires-Python: >=3.8\n",
    "setup.py": "raise RuntimeError('run')\n",
    "setup.cfg": "[versioneer]\nVCS = git\nstyle = pep440\n\n[egg_info]\ntag_build = \n",
    "versioneer.py": "raise RuntimeError('run')\n",
    "MANIFEST.in": "include versioneer.py\ninclude environment.yml\n",
    "environment.yml": """\
name: my-model
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - numpy >=1.20
  - conda-forge::impact-t=2.0
  - pip:
    - -e .[dev]
    - lume-services>=1.0
    - lume-model @ git+https://github.com/slaclab/lume-model.git
""",
    "my_model/__init__.py": "from my_model import _version\n__version__ = _version.get()\n",
    "my_model/_image.py": """\
from my_model import __version__

IMAGE = f"registry.hub.docker.com/group/my-model:v{__version__}"
""",
    "my_model/flow.py": PREFECT1_FLOW,
    "my_model.egg-info/PKG-INFO": PKG_INFO,
    "my_model.egg-info/SOURCES.txt": "setup.py\n",
    "my_model.egg-info/top_level.txt": "my_model\n",
    "my_model.egg-info/requires.txt": """\
pandas

[:python_version < '3.12']
tomli

[dev]
pytest
""",
    "my_model.egg-info/entry_points.txt": """\
[console_scripts]
plot-flow = my_model.scripts.plot:main

[orchestration]
my_model.flow = my_model.flow:get_flow
my_model.model = my_model.model:MyModel

""",
}


def read(folder: Path, files: Mapping[str, str | None] | None = None) -> Package:
    return inspect_package(sdist(folder, files))


def test_an_sdist(tmp_path: Path) -> None:
    path = sdist(tmp_path)
    assert inspect_package(path) == Package(
        filename="my_model-1.2.0.tar.gz",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        name="my-model",
        version="1.2.0",
        import_name="my_model",
        model="my_model.model:MyModel",
        flow="my_model.flow:run",
        requirements=("numpy>=1.20",),
        requires_python=">=3.9",
    )


def test_a_wheel(tmp_path: Path) -> None:
    path = wheel(tmp_path, {"my_model/_image.py": "IMAGE: str = 'lab.example/my-model:1.2'\n"})
    assert inspect_package(path) == Package(
        filename="my_model-1.2.0-py3-none-any.whl",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        name="my-model",
        version="1.2.0",
        import_name="my_model",
        model="my_model.model:MyModel",
        flow="my_model.flow:flow",
        requirements=("numpy>=1.20",),
        requires_python=">=3.9",
        image="lab.example/my-model:1.2",
    )


def test_a_package_of_the_template_of_0x(tmp_path: Path) -> None:
    found = read(tmp_path, TEMPLATE)
    assert (found.model, found.flow, found.prefect1_flow) == ("my_model.model:MyModel", None, True)
    assert found.requirements == (
        "pandas",
        'tomli; python_version < "3.12"',
        "lume-services>=1.0",
        "lume-model @ git+https://github.com/slaclab/lume-model.git",
    )
    assert found.requires_python == ">=3.8"
    assert found.conda == ("numpy >=1.20", "conda-forge::impact-t=2.0")
    assert found.channels == ("conda-forge",)
    assert found.image == "registry.hub.docker.com/group/my-model:v1.2.0"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    inspect_package(sdist(tmp_path), tmp=tmp_path / "tmp")
    with pytest.raises(PackageError):
        inspect_package(sdist(tmp_path, {"PKG-INFO": None}), tmp=tmp_path / "tmp")
    assert not list((tmp_path / "tmp").iterdir())


def test_a_folder_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LUME_ENVIRONMENT__TMP_DIRECTORY"):
        inspect_package(sdist(tmp_path), tmp=tmp_path / "missing")


SETUP_CFG = """\
[options.entry_points]
orchestration =
    my_model.model = my_model.model:MyModel
    my_model.flow=my_model.flow:run
"""
SRC: dict[str, str | None] = {
    "my_model/__init__.py": None,
    "my_model/model.py": None,
    "my_model/flow.py": None,
    "src/my_model/__init__.py": "",
    "src/my_model/model.py": "",
    "src/my_model/flow.py": FLOW,
    "src/my_model/_image.py": "IMAGE = 'image'\n",
}
LAYOUTS: dict[str, dict[str, str | None]] = {
    "setup.cfg": {"pyproject.toml": None, "setup.cfg": SETUP_CFG},
    "pyproject.toml of tools only": {"pyproject.toml": "[tool.x]", "setup.cfg": SETUP_CFG},
    "egg-info": {
        "pyproject.toml": None,
        "my_model.egg-info/entry_points.txt": ENTRY_POINTS.replace("flow:flow", "flow:run"),
    },
    "metadata in egg-info": {"PKG-INFO": None, "my_model.egg-info/PKG-INFO": PKG_INFO},
    "src": SRC,
    "src with egg-info": {
        **SRC,
        "PKG-INFO": None,
        "pyproject.toml": None,
        "src/my_model.egg-info/PKG-INFO": PKG_INFO,
        "src/my_model.egg-info/entry_points.txt": ENTRY_POINTS.replace("flow:flow", "flow:run"),
    },
    "another folder": {name.replace("src/", "python/"): text for name, text in SRC.items()},
    "package": {"my_model/model.py": None, "my_model/model/__init__.py": ""},
    "compiled": {"my_model/model.py": None, "my_model/model.cpython-311-darwin.so": ""},
    "byte order mark": {"PKG-INFO": f"\ufeff{PKG_INFO}"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_model_and_flow_are_found_in_every_layout(layout: str, tmp_path: Path) -> None:
    found = read(tmp_path, LAYOUTS[layout])
    assert found.import_name == "my_model"
    assert found.model == "my_model.model:MyModel"
    assert found.flow == "my_model.flow:run"
    has_image = any("_image" in name for name in LAYOUTS[layout])
    assert found.image == ("image" if has_image else None)
    assert found.requirements == ("numpy>=1.20",)


def announcing(*entries: str) -> dict[str, str | None]:
    return {
        "pyproject.toml": None,
        "my_model.egg-info/entry_points.txt": "\n".join(["[orchestration]", *entries]),
    }


MAIL = "Content-Type: multipart/mixed; boundary=x{0}\n\n--x{0}\n"
REFUSALS: dict[str, tuple[dict[str, str | None], str]] = {
    "no metadata": (
        {"PKG-INFO": None},
        r"It has no metadata \(PKG-INFO\).*python -m build",
    ),
    "metadata that are mails in mails": (
        {"PKG-INFO": PKG_INFO[:-10] + "".join(map(MAIL.format, range(3000)))},
        "It has no metadata",
    ),
    "metadata that are not text": ({"PKG-INFO": "\0\0\0"}, "The name '' is not one"),
    "no name": (
        {"PKG-INFO": "Metadata-Version: 2.1\nVersion: 1.2.0\n"},
        "The name '' is not one",
    ),
    "two names": ({"PKG-INFO": f"Name: other\n{PKG_INFO}"}, "The name '' is not one"),
    "a name that is a path": (
        {"PKG-INFO": PKG_INFO.replace("my-model", "../my")},
        r"The name '\.\./my' is not one.*letters",
    ),
    "version that is not PEP 440": (
        {"PKG-INFO": PKG_INFO.replace("1.2.0", "1.2-dirty-x")},
        "The version '1.2-dirty-x' is not PEP 440: write 1.2.0",
    ),
    "another name than the file's": (
        {"PKG-INFO": PKG_INFO.replace("my-model", "other")},
        "says my-model 1.2.0, and the metadata say other 1.2.0: give it back",
    ),
    "another version than the file's": (
        {"PKG-INFO": PKG_INFO.replace("1.2.0", "1.3")},
        "says my-model 1.2.0, and the metadata say my-model 1.3",
    ),
    "requirement": (
        {"PKG-INFO": PKG_INFO.replace("numpy>=1.20", "git+https://host/x")},
        r"The requirement 'git\+https://host/x' is not PEP 508: write",
    ),
    "requires-python": (
        {"PKG-INFO": PKG_INFO.replace(">=3.9", "python 3")},
        "Requires-Python 'python 3' is not a set of versions: write",
    ),
    "no entry points": (
        {"pyproject.toml": "[project]\nname = 'x'\n"},
        r"It announces no model: write into pyproject.toml \[project.entry-points.orchestration\]",
    ),
    "entry points of others": (announcing("my_model.other = x:y"), "It announces no model"),
    "only a flow for Prefect 1": (
        {**announcing("my_model.flow = my_model.flow:flow"), "my_model/flow.py": PREFECT1_FLOW},
        r"no model, only the flow 'my_model.flow:flow', which is written for Prefect 1\. "
        r"Write it for Prefect 3 \(docs/migrating\.md#flows\)",
    ),
    "models of two packages": (
        announcing("my_model.model = my_model.model:MyModel", "other.model = other.model:Other"),
        "models of several packages, my_model, other: make a package of each",
    ),
    "name of no package": (
        announcing("my-model.model = my_model.model:MyModel"),
        "The entry point 'my-model.model' is not named by a package",
    ),
    "no attribute": (
        announcing("my_model.model = my_model.model"),
        "my_model.model = 'my_model.model' is malformed: write 'module:name', such as "
        "'my_model.model:MyModel'",
    ),
    "a path": (announcing("my_model.model = my_model/model.py:MyModel"), "is malformed"),
    "with extras": (announcing("my_model.model = my_model.model:MyModel [x]"), "is malformed"),
    "code": (announcing("my_model.model = my_model.model:MyModel()"), "is malformed"),
    "a module of elsewhere": (
        announcing("my_model.model = os:system"),
        r"names a module that is not in the package: correct the name, or have os\.py put into it",
    ),
    "a flow of elsewhere": (
        announcing("my_model.model = my_model.model:MyModel", "my_model.flow = my_model.run:run"),
        "my_model.flow = 'my_model.run:run' names a module that is not in the package",
    ),
    "malformed pyproject.toml": ({"pyproject.toml": "[project"}, "pyproject.toml is malformed"),
    "pyproject.toml of another shape": (
        {"pyproject.toml": "project = 3"},
        "pyproject.toml is malformed",
    ),
    "malformed setup.cfg": (
        {"pyproject.toml": None, "setup.cfg": "orchestration ="},
        "setup.cfg is malformed",
    ),
    "malformed environment.yml": ({"environment.yml": "a: [b"}, "environment.yml is malformed"),
    "environment.yml of another shape": (
        {"environment.yml": "- numpy"},
        "environment.yml is malformed: write a list 'dependencies'",
    ),
    "environment.yml with a tag": (
        {"environment.yml": "dependencies: !!python/object/apply:os.system ['id']"},
        "environment.yml is malformed",
    ),
    "environment.yml with aliases": (
        {"environment.yml": "a: &a [x, x]\ndependencies: [*a, *a]"},
        "environment.yml is malformed.*alias",
    ),
    "environment.yml that is deep": (
        {"environment.yml": "[" * 500_000},
        "environment.yml is malformed.*too deep",
    ),
    "environment.yml that is long": (
        {"environment.yml": "dependencies:\n" + "- a\n" * 200_000},
        "environment.yml is malformed.*too long",
    ),
    "dependencies that are no list": (
        {"environment.yml": "dependencies: numpy"},
        "'dependencies' is not a list",
    ),
    "a dependency that is an option": (
        {"environment.yml": "dependencies: ['--file=/etc/passwd']"},
        "the dependency '--file=/etc/passwd' is not",
    ),
    "a dependency that is a number": (
        {"environment.yml": "dependencies: [3.11]"},
        "the dependency 3.11 is not",
    ),
    "a channel that is an option": (
        {"environment.yml": "channels: ['-c']"},
        "the channel '-c' is not a name or a URL",
    ),
    "a file of pip's": (
        {"environment.yml": "dependencies: [{pip: ['-r requirements.txt']}]"},
        "The pip dependency of environment.yml '-r requirements.txt' is not PEP 508",
    ),
    "an image that is computed": (
        {"my_model/_image.py": "import os\nIMAGE = os.environ['IMAGE']\n"},
        "IMAGE in my_model/_image.py is computed: write it as a plain text",
    ),
    "an image of other names": (
        {"my_model/_image.py": "IMAGE = f'lab/{open(1)}'\n"},
        "IMAGE in my_model/_image.py is computed",
    ),
    "an image that is a number": ({"my_model/_image.py": "IMAGE = 3"}, "is computed"),
    "an image that is an option": (
        {"my_model/_image.py": "IMAGE = '--privileged'"},
        "IMAGE in my_model/_image.py is '--privileged', which is no image's name",
    ),
    "an image in no Python": (
        {"my_model/_image.py": "IMAGE = '"},
        "my_model/_image.py cannot be read as Python",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line_with_the_remedy(case: str, tmp_path: Path) -> None:
    files, message = REFUSALS[case]
    with pytest.raises(PackageError) as caught:
        read(tmp_path, files)
    text = str(caught.value)
    assert re.search(message, text), text
    assert text.startswith("'my_model-1.2.0.tar.gz' is refused: ")
    assert "\n" not in text


def test_a_wheel_without_metadata_or_with_those_of_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"METADATA in its one \.dist-info folder"):
        inspect_package(wheel(tmp_path, {"my_model-1.2.0.dist-info/METADATA": None}))
    with pytest.raises(PackageError, match=r"METADATA in its one \.dist-info folder"):
        inspect_package(wheel(tmp_path, {"other-1.0.dist-info/METADATA": PKG_INFO}))


def test_a_file_that_was_renamed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"'model\.tar\.gz' is not <name>-<version>"):
        inspect_package(sdist(tmp_path).rename(tmp_path / "model.tar.gz"))
    with pytest.raises(PackageError, match=r"'my_model-1\.2\.0\.whl' is not <name>-<version>"):
        inspect_package(wheel(tmp_path).rename(tmp_path / "my_model-1.2.0.whl"))


def test_names_are_compared_as_package_indexes_compare_them(tmp_path: Path) -> None:
    files: dict[str, str | None] = {"PKG-INFO": PKG_INFO.replace("my-model", "My.Model")}
    assert read(tmp_path, files).name == "My.Model"


def test_a_version_is_normalised(tmp_path: Path) -> None:
    files: dict[str, str | None] = {"PKG-INFO": PKG_INFO.replace("1.2.0", "v1.2.0-RC1")}
    path = sdist(tmp_path, files, name="my_model-1.2.0rc1.tar.gz")
    assert inspect_package(path).version == "1.2.0rc1"


def test_a_python_that_is_not_this_one_is_no_reason_to_refuse(tmp_path: Path) -> None:
    files: dict[str, str | None] = {"PKG-INFO": PKG_INFO.replace(">=3.9", "<3.0")}
    assert read(tmp_path, files).requires_python == "<3.0"


def test_a_package_may_have_a_model_only_or_a_flow_only(tmp_path: Path) -> None:
    only_model = read(tmp_path, announcing("my_model.model = my_model.model:MyModel"))
    assert (only_model.model, only_model.flow) == ("my_model.model:MyModel", None)
    only_flow = read(tmp_path, announcing("my_model.flow = my_model.flow:run"))
    assert (only_flow.model, only_flow.flow) == (None, "my_model.flow:run")


def test_files_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unpacked, "_MAX_TEXT", 1 << 10)
    with pytest.raises(PackageError, match=r"environment\.yml is larger than"):
        read(tmp_path, {"environment.yml": "#" * 2000})


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = sdist(tmp_path)
    with tarfile.open(path) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    with tarfile.open(path, "w:gz") as tar:
        for name, text in {**texts, "my_model-1.2.0/environment.yml": b"name: \xff"}.items():
            add(tar, name, text)
    with pytest.raises(PackageError, match=r"environment\.yml is not UTF-8"):
        inspect_package(path)


def test_every_problem_is_told_with_what_could_be_read(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "PKG-INFO": PKG_INFO.replace("1.2.0", "one").replace("numpy>=1.20", "numpy>>1"),
        "environment.yml": "dependencies: [{pip: [-r x]}, [1], impact-t]",
        "my_model/_image.py": "IMAGE = None",
        "my_model/model.py": None,
    }
    package, problems = examine(sdist(tmp_path, files))
    assert (package.name, package.version, package.model) == ("my-model", "", None)
    assert package.conda == ("impact-t",)
    told = ["version 'one'", "numpy>>1", "[1]", "'-r x'", "not in the package", "IMAGE"]
    assert len(problems) == len(told)
    for part, problem in zip(told, problems, strict=True):
        assert part in problem


PREFECT1 = {
    "template": PREFECT1_FLOW,
    "alias": "from prefect import Flow as F\nwith F('x') as flow:\n    pass\n",
    "module": "import prefect\nwith prefect.Flow('x') as flow:\n    pass\n",
    "module by alias": "import prefect as p\nflow = p.Flow('x')\n",
    "name without a context": "from prefect import Flow\nflow = Flow('x', tasks=[])\n",
    "inside a function": (
        "def get_flow():\n    from prefect import Flow\n    with Flow('x') as flow:\n"
        "        return flow\n"
    ),
    "parameter": "from prefect import Parameter\n",
    "parameter of the module": "import prefect\nx = prefect.Parameter('x')\n",
    "core": "from prefect.core import Flow\n",
    "run configuration": "from prefect.run_configs import DockerRun\n",
    "run configuration as a module": "import prefect.run_configs as configs\n",
    "storage": "from prefect import storage\n",
    "signals": "from prefect.engine import signals\n",
    "results": "from prefect.engine.results import LocalResult\n",
    "elsewhere": "from my_model.old import flow\n",
    "elsewhere by another name": "from .old import other as flow\n",
}
PREFECT3 = {
    "proper": FLOW,
    "Flow for annotations": "from prefect import Flow, flow\nx: Flow | None = None\n",
    "Flow of a function": "from prefect import Flow\nflow = Flow(print, name='x')\n",
    "engine": "from prefect.engine import handle_engine_signals\nimport prefect.engine\n",
    "tasks": "from prefect.tasks import task_input_hash, Task\n",
    "schedules": "from prefect.schedules import Cron\n",
    "storage of runners": "from prefect.runner.storage import GitRepository\n",
    "one's own Parameter": "from my_model.model import Parameter, Flow\nwith Flow('x'): pass\n",
    "own module of that name": "from .prefect import storage\n",
    "context": "from prefect import context, tags\nwith tags('a'):\n    pass\n",
    "tried": (
        "try:\n    from prefect import Parameter\nexcept ImportError:\n    Parameter = None\n"
        "from prefect import flow\n"
    ),
    "for types only": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from prefect.storage import Module\n"
    ),
    "ours": "from lume_services.flows import Flow, flow\n@flow\ndef run(): ...\n",
    "text": "'''with Flow('x') as flow: from prefect import Parameter'''\n",
    "elsewhere, another name": "from my_model.old import other\nfrom prefect import flow\n",
    "round and round": "from my_model.flow import flow\n",
    "Python that is not read here": "match = = 1\n",
    "deep": f"x = {'(' * 150}1{')' * 150}\ny = {'-' * 5000}1\n",
}


@pytest.mark.parametrize("case", PREFECT1)
def test_a_flow_for_prefect_1_is_recognised(case: str, tmp_path: Path) -> None:
    found = read(tmp_path, prefect_files(PREFECT1[case]))
    assert found.prefect1_flow
    assert found.flow is None
    assert found.model == "my_model.model:MyModel"


@pytest.mark.parametrize("case", PREFECT3)
def test_a_flow_for_prefect_3_is_not_mistaken(case: str, tmp_path: Path) -> None:
    found = read(tmp_path, prefect_files(PREFECT3[case]))
    assert not found.prefect1_flow
    assert found.flow == "my_model.flow:flow"


def prefect_files(source: str) -> dict[str, str | None]:
    model, flow = ENTRY_POINTS.splitlines()[1:]
    old = "from prefect import Flow\nwith Flow('x') as other:\n    pass\nflow = other\n"
    return {**announcing(model, flow), "my_model/flow.py": source, "my_model/old.py": old}
