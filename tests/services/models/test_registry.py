"""What the registry keeps, and what it says when asked for something else: on every database."""

from __future__ import annotations

import pickle
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import event, insert, select

from lume_services.errors import (
    AmbiguousError,
    ConstraintError,
    DeploymentNotFoundError,
    FlowNotFoundError,
    FlowOfFlowsNotFoundError,
    InvalidInputError,
    ModelDBError,
    ModelNotFoundError,
    NotFoundError,
    ProjectNotFoundError,
)
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB
from lume_services.services.models.db.schema import DEPLOYMENT, MODEL, PROJECT

X = {"variable_class": "ScalarVariable", "name": "x", "value_range": [float("-inf"), 1.0]}


class TestModels:
    def test_same_names_are_one_model(self, service: ModelDBService, model_id: int) -> None:
        assert service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "injector") == model_id
        assert len(service.get_models()) == 1

    @pytest.mark.parametrize("place", range(5))
    def test_every_name_is_part_of_the_identity(
        self, service: ModelDBService, model_id: int, place: int
    ) -> None:
        names = ["Ada", "SLAC", "LCLS", "cu_hxr", "injector"]
        names[place] = names[place].swapcase()
        assert service.store_model(*names) != model_id

    @pytest.mark.parametrize(
        "names",
        [
            ["A", "a"],
            ["\u00e9", "e\u0301"],  # é in one piece and in two
            ["stra\u00dfe", "strasse"],
            ["a-b", "ab"],
            ["a\u00a0b", "a b"],
            ["i", "I", "\u0130", "\u0131"],
            ["\u212a", "K"],  # the sign for kelvin
            ["\U0001f642", "\U0001f643"],
            ["1", "01", "1.0"],
            ["a%", "a_", "ab"],
            ["\\", "\\\\"],
            ["'", "''", '"'],
        ],
        ids=ascii,
    )
    def test_names_are_the_same_to_the_letter_only(
        self, service: ModelDBService, names: list[str]
    ) -> None:
        ids = {name: service.store_model(name, "", "", "", "") for name in names}
        assert len(set(ids.values())) == len(names)
        projects = [service.store_project(name) for name in names]
        for name, model_id in ids.items():
            assert service.get_model(author=name).model_id == model_id
            assert service.store_model(name, "", "", "", "") == model_id
            assert service.get_project(project_name=name).project_name == name
        assert [project.project_name for project in service.get_projects()] == sorted(projects)

    @pytest.mark.parametrize("around", ["injector ", " injector", "injector\t", "injector\n"])
    def test_blanks_around_a_name_are_another_name(
        self, service: ModelDBService, model_id: int, around: str
    ) -> None:
        with pytest.raises(ModelNotFoundError):
            service.get_model(description=around)
        with pytest.raises(InvalidInputError, match="white space"):
            service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", around)

    def test_row_of_another_program_that_ends_with_a_blank(
        self, database: str, model_db: ModelDB, service: ModelDBService
    ) -> None:
        names = dict.fromkeys(("author", "laboratory", "facility", "beampath"), "")
        with model_db.connection(write=True) as connection:
            connection.execute(insert(MODEL), {**names, "description": "injector "})
        if database == "mariadb":  # whose constraint takes no notice of the blank
            with pytest.raises(ConstraintError):
                service.store_model(**names, description="injector")
        else:
            model_id = service.store_model(**names, description="injector")
            assert service.get_model(description="injector").model_id == model_id
            assert len(service.get_models()) == 2

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=ascii)
    def test_what_is_no_text(self, service: ModelDBService, model_id: int, text: str) -> None:
        with pytest.raises(ModelDBError, match=r"model\.author holds what is not a character"):
            service.store_model(text, "", "", "", "")
        with pytest.raises(ModelNotFoundError):
            service.get_model(author=text)

    def test_criteria_are_of_the_column_s_type(
        self, service: ModelDBService, model_id: int
    ) -> None:
        assert service.get_model(model_id=np.int64(model_id)).author == "Ada"
        for value in ("1", 1.0, "one"):
            with pytest.raises(InvalidInputError, match=r"Model\.model_id is a whole number"):
                service.get_model(model_id=value)
        with pytest.raises(InvalidInputError, match=r"Model\.author is text, not int: 5"):
            service.get_model(author=5)

    @pytest.mark.parametrize("number", [-1, 2**31, 2**63, 2**100])
    def test_number_that_no_model_has(self, service: ModelDBService, number: int) -> None:
        with pytest.raises(ModelNotFoundError):
            service.get_model(model_id=number)
        with pytest.raises(ModelNotFoundError):
            service.store_deployment(number, "1.0")

    def test_is_given_back(self, service: ModelDBService, model_id: int) -> None:
        model = service.get_model(laboratory="SLAC", facility="LCLS")
        assert (model.model_id, model.author, model.beampath) == (model_id, "Ada", "cu_hxr")
        assert timedelta(0) <= datetime.now(UTC) - model.created < timedelta(minutes=1)

    def test_none_matches(self, service: ModelDBService, model_id: int) -> None:
        with pytest.raises(ModelNotFoundError, match="no model with model_id=7, author='Eve'"):
            service.get_model(model_id=7, author="Eve")

    def test_empty_registry(self, service: ModelDBService) -> None:
        with pytest.raises(LookupError, match=r"has no model$"):
            service.get_models()

    def test_several_match(self, service: ModelDBService, model_id: int) -> None:
        service.store_model("Ada", "SLAC", "LCLS", "sc_sxr", "undulator")
        with pytest.raises(AmbiguousError, match=r"author='Ada'.*injector.*undulator"):
            service.get_model(author="Ada")

    def test_unknown_column(self, service: ModelDBService) -> None:
        with pytest.raises(ValueError, match="Model has no 'autor'; did you mean 'author'"):
            service.get_model(autor="Ada")

    def test_long_name(self, service: ModelDBService) -> None:
        assert service.store_model("é" * 50, "", "", "", "d" * 255)
        with pytest.raises(ModelDBError, match=r"model\.author takes up to 50 .* has 51: 'a"):
            service.store_model("a" * 51, "", "", "", "")

    def test_name_that_is_not_text(self, service: ModelDBService) -> None:
        with pytest.raises(ModelDBError, match=r"model\.author is text, not int: 5"):
            service.store_model(5, "", "", "", "")  # the user's mistake

    def test_white_space_around_a_name(self, service: ModelDBService) -> None:
        with pytest.raises(InvalidInputError, match="description='injector '"):
            service.store_model("", "", "", "", "injector ")


class TestDeployments:
    def test_everything_is_given_back(self, service: ModelDBService, model_id: int) -> None:
        given = {
            "version": "1.0",
            "source": "https://example.org/injector-1.0.tar.gz",
            "sha256": "0" * 64,
            "image": "injector:1.0",
            "package_import_name": "injector",
            "asset_dir": "/data",
            "kind": "package",
            "entry_point": "injector:Model",
            "variables": {"x": X},
        }
        deployment_id = service.store_deployment(model_id, **given)
        deployment = service.get_deployment(deployment_id=deployment_id)
        assert {name: getattr(deployment, name) for name in given} == given
        assert deployment.model.description == "injector"
        assert not deployment.is_live

    def test_order_of_variables_is_kept(self, service: ModelDBService, model_id: int) -> None:
        names = ["z", "a", "m"]
        service.store_deployment(model_id, "1", variables=dict.fromkeys(names, X))
        variables = service.get_deployment().variables
        assert variables is not None
        assert list(variables) == names

    def test_unknown_model(self, service: ModelDBService) -> None:
        with pytest.raises(ModelNotFoundError, match="model_id=3"):
            service.store_deployment(3, "1.0")

    @pytest.mark.parametrize("version", ["", "newest", "1.0-my branch", None])
    def test_version_is_checked(self, service: ModelDBService, model_id: int, version: str) -> None:
        with pytest.raises(InvalidInputError, match=r"PEP 440 version; write for example '1\.0"):
            service.store_deployment(model_id, version)

    def test_spelling_of_a_version(self, service: ModelDBService, model_id: int) -> None:
        deployment_id = service.store_deployment(model_id, "v1.0-RC1")
        assert service.store_deployment(model_id, "1.0rc1") == deployment_id
        assert service.get_deployment(version="1.0.rc1").version == "1.0rc1"

    def test_variables_that_are_not_json(self, service: ModelDBService, model_id: int) -> None:
        with pytest.raises(InvalidInputError, match="model_dump"):
            service.store_deployment(model_id, "1.0", variables={"x": {"default": object()}})

    def test_same_content_again(self, service: ModelDBService, model_id: int) -> None:
        again = [
            service.store_deployment(
                model_id, "1.0", sha256="a" * 64, variables={"x": {**X, "value_range": bounds}}
            )
            for bounds in ((0, 1), [0, 1])
        ]
        assert again[0] == again[1]

    def test_other_content_again(self, service: ModelDBService, model_id: int) -> None:
        service.store_deployment(model_id, "1.0", sha256="a" * 64)
        with pytest.raises(
            ModelDBError, match=rf"1\.0 of model {model_id} .*sha256.*use a new version"
        ):
            service.store_deployment(model_id, "1.0", sha256="b" * 64)

    def test_same_code_found_elsewhere(self, service: ModelDBService, model_id: int) -> None:
        deployment_id = service.store_deployment(model_id, "1", source="/a", sha256="a" * 64)
        again = service.store_deployment(model_id, "1", source="/b", sha256="a" * 64)
        assert again == deployment_id
        assert service.get_deployment().source == "/a"

    def test_same_version_of_two_models(self, service: ModelDBService, model_id: int) -> None:
        other = service.store_model("", "", "", "", "other")
        first = service.store_deployment(model_id, "1.0", sha256="a" * 64)
        assert service.store_deployment(other, "1.0", sha256="a" * 64) != first

    def test_latest_is_by_version(self, service: ModelDBService, model_id: int) -> None:
        for version in ["1.10", "1.9", "2.0.dev1", "2.0rc1", "1!0.1", "1.10.post1"]:
            service.store_deployment(model_id, version)
        assert service.get_latest_deployment(model_id=model_id).version == "1!0.1"
        assert [deployment.version for deployment in service.get_deployments()] == [
            *["1!0.1", "2.0rc1", "2.0.dev1", "1.10.post1", "1.10", "1.9"]
        ]

    def test_latest_of_equal_versions_is_by_date(
        self, service: ModelDBService, model_id: int
    ) -> None:
        for version in ["1.0.0", "1.0", "1"]:
            service.store_deployment(model_id, version)
        assert service.get_latest_deployment().version == "1"

    def test_none_matches(self, service: ModelDBService, model_id: int) -> None:
        for get in (
            service.get_deployment,
            service.get_deployments,
            service.get_latest_deployment,
            service.get_live_deployment,
        ):
            with pytest.raises(DeploymentNotFoundError, match=f"model_id={model_id}"):
                get(model_id=model_id)

    def test_one_statement_with_the_model(
        self, model_db: ModelDB, service: ModelDBService, model_id: int
    ) -> None:
        service.store_deployment(model_id, "1.0")
        statements: list[str] = []
        event.listen(
            model_db.engine,
            "before_cursor_execute",
            lambda connection, cursor, statement, *rest: statements.append(statement),
        )
        assert service.get_latest_deployment(model_id=model_id).model.author == "Ada"
        assert [text for text in statements if text != "BEGIN"] == [statements[-1]]


class TestLive:
    def live(self, service: ModelDBService) -> list[str]:
        return [deployment.version for deployment in service.get_deployments(is_live=True)]

    def test_storing_promotes(self, service: ModelDBService, model_id: int) -> None:
        for version in ["1.0", "2.0", "1.5"]:
            service.store_deployment(model_id, version, is_live=True)
            assert self.live(service) == [version]
        assert service.get_live_deployment(model_id=model_id).version == "1.5"

    def test_storing_another_changes_nothing(self, service: ModelDBService, model_id: int) -> None:
        service.store_deployment(model_id, "1.0", is_live=True)
        service.store_deployment(model_id, "2.0")
        service.store_deployment(model_id, "1.0")
        assert self.live(service) == ["1.0"]

    def test_storing_again_promotes(self, service: ModelDBService, model_id: int) -> None:
        service.store_deployment(model_id, "1.0", is_live=True)
        service.store_deployment(model_id, "2.0", is_live=True)
        service.store_deployment(model_id, "1.0", is_live=True)
        assert self.live(service) == ["1.0"]

    def test_promote(self, service: ModelDBService, model_id: int) -> None:
        first = service.store_deployment(model_id, "1.0")
        second = service.store_deployment(model_id, "2.0", is_live=True)
        for deployment_id in (first, second, second):
            assert service.promote(deployment_id).is_live
            assert service.get_live_deployment().deployment_id == deployment_id

    def test_each_model_has_its_own(self, service: ModelDBService, model_id: int) -> None:
        other = service.store_model("", "", "", "", "other")
        service.store_deployment(model_id, "1.0", is_live=True)
        service.store_deployment(other, "1.0", is_live=True)
        assert len(self.live(service)) == 2
        with pytest.raises(AmbiguousError):
            service.get_live_deployment()

    def test_unknown_deployment(self, service: ModelDBService) -> None:
        with pytest.raises(DeploymentNotFoundError, match="deployment_id=9"):
            service.promote(9)

    def test_database_refuses_a_second_one(
        self, model_db: ModelDB, service: ModelDBService, model_id: int
    ) -> None:
        service.store_deployment(model_id, "1.0", is_live=True)
        second = {"model_id": model_id, "version": "2.0", "is_live": True}
        with pytest.raises(ConstraintError), model_db.connection(write=True) as connection:
            connection.execute(insert(DEPLOYMENT), second)
        assert self.live(service) == ["1.0"]


class TestFlows:
    @pytest.fixture
    def deployment_id(self, service: ModelDBService, model_id: int) -> int:
        service.store_project("local", "runs of this machine")
        return service.store_deployment(model_id, "1.0")

    def store(self, service: ModelDBService, deployment_id: int, name: str) -> str:
        return service.store_flow(deployment_id=deployment_id, flow_name=name, project_name="local")

    def test_project_is_found_again(self, service: ModelDBService) -> None:
        assert service.store_project("p", "first") == service.store_project("p", "second") == "p"
        assert service.get_project(project_name="p").description == "first"
        assert [project.project_name for project in service.get_projects()] == ["p"]

    def test_unknown_project(self, service: ModelDBService) -> None:
        for get in (service.get_project, service.get_projects):
            with pytest.raises(ProjectNotFoundError, match="project_name='q'"):
                get(project_name="q")

    def test_flow_is_found_again(self, service: ModelDBService, deployment_id: int) -> None:
        flow_id = self.store(service, deployment_id, "run")
        assert self.store(service, deployment_id, "run") == flow_id
        flow = service.get_flow(deployment_id=deployment_id)
        assert (flow.flow_id, flow.flow_name) == (flow_id, "run")
        assert flow.project.description == "runs of this machine"
        assert flow.deployment.model.author == "Ada"

    def test_flow_of_another_entry_point(self, service: ModelDBService, deployment_id: int) -> None:
        def store(name: str, entry_point: str | None) -> str:
            return service.store_flow(
                deployment_id=deployment_id,
                flow_name=name,
                project_name="local",
                entry_point=entry_point,
            )

        flow_id = store("run", "ring.flows:run")
        assert store("run", "ring.flows:run") == store("run", None) == flow_id
        with pytest.raises(ModelDBError, match=r"'ring.flows:run', now 'other:run'.*new version"):
            store("run", "other:run")
        assert service.get_flow(flow_id=flow_id).entry_point == "ring.flows:run"
        store("bare", None)
        with pytest.raises(ModelDBError, match=r"None, now 'other:run'"):
            store("bare", "other:run")

    def test_flow_of_nothing(self, service: ModelDBService, deployment_id: int) -> None:
        with pytest.raises(DeploymentNotFoundError):
            service.store_flow(deployment_id=99, flow_name="run", project_name="local")
        with pytest.raises(ProjectNotFoundError):
            service.store_flow(
                deployment_id=deployment_id, flow_name="run", project_name="elsewhere"
            )
        for get in (service.get_flow, service.get_flows):
            with pytest.raises(FlowNotFoundError):
                get()

    def test_parts_in_their_order(self, service: ModelDBService, deployment_id: int) -> None:
        parent, *parts = (self.store(service, deployment_id, name) for name in "pxbya")
        service.store_flow_of_flows(parent, parts)
        service.store_flow_of_flows(parent, parts)
        flows = service.get_flow_of_flows(parent_flow_id=parent)
        assert [flow.flow_name for flow in flows] == ["x", "b", "y", "a"]
        assert flows[0].deployment.model.author == "Ada"

    def test_other_parts(self, service: ModelDBService, deployment_id: int) -> None:
        parent, one, two = (self.store(service, deployment_id, name) for name in "pxy")
        service.store_flow_of_flows(parent, [one, two])
        with pytest.raises(ModelDBError, match="new version"):
            service.store_flow_of_flows(parent, [two, one])
        with pytest.raises(InvalidInputError, match="twice"):
            service.store_flow_of_flows(parent, [one, one])
        for unknown in ("no-flow", f"{two} ", two.upper()):
            with pytest.raises(FlowNotFoundError, match=unknown):
                service.store_flow_of_flows(one, [unknown])
            with pytest.raises(FlowOfFlowsNotFoundError):
                service.get_flow_of_flows(parent_flow_id=unknown)
        with pytest.raises(FlowOfFlowsNotFoundError):
            service.get_flow_of_flows(parent_flow_id=f"{parent} ")

    def test_flow_without_parts(self, service: ModelDBService, deployment_id: int) -> None:
        flow_id = self.store(service, deployment_id, "run")
        with pytest.raises(FlowOfFlowsNotFoundError, match=flow_id):
            service.get_flow_of_flows(parent_flow_id=flow_id)


class TestRows:
    def test_are_copies_that_refuse_changes(self, service: ModelDBService, model_id: int) -> None:
        model = service.get_model()
        with pytest.raises(AttributeError, match="author"):
            model.author = "Eve"
        assert model.author == "Ada"

    def test_travel_to_other_processes(self, service: ModelDBService, model_id: int) -> None:
        service.store_deployment(model_id, "1.0", variables={"x": X})
        deployment = pickle.loads(pickle.dumps(service.get_deployment()))
        assert deployment.model.author == "Ada"
        assert deployment.variables == {"x": X}
        assert deployment == service.get_deployment()
        assert len({deployment, service.get_deployment()}) == 1
        service.promote(deployment.deployment_id)
        assert deployment != service.get_deployment()

    def test_show_what_they_are(self, service: ModelDBService, model_id: int) -> None:
        assert repr(service.get_model()) == (
            f"Model(model_id={model_id}, author='Ada', laboratory='SLAC', facility='LCLS', "
            "beampath='cu_hxr', description='injector')"
        )

    def test_every_table_has_its_error(self, service: ModelDBService) -> None:
        errors = []
        for get in (
            service.get_models,
            service.get_deployments,
            service.get_projects,
            service.get_flows,
            service.get_flow_of_flows,
        ):
            with pytest.raises(NotFoundError) as error:
                get()
            errors.append(error.type)
        assert all(one is not other for one, other in pairwise(errors))


def test_own_queries(model_db: ModelDB, service: ModelDBService, model_id: int) -> None:
    with model_db.connection() as connection:
        author = connection.scalar(select(MODEL.c.author).where(MODEL.c.model_id == model_id))
    assert author == "Ada"


P = {"project_name": "p", "description": ""}


def projects(model_db: ModelDB) -> list[str]:
    with model_db.connection() as connection:
        return list(connection.scalars(select(PROJECT.c.project_name)))


def test_connection_that_reads_keeps_nothing(model_db: ModelDB) -> None:
    # SQLite forgets it, servers refuse it.
    with suppress(ModelDBError), model_db.connection() as connection:
        connection.execute(insert(PROJECT), P)
    assert projects(model_db) == []


def test_transaction_on_a_connection_that_has_read(model_db: ModelDB) -> None:
    with model_db.connection() as connection:
        assert connection.execute(select(PROJECT)).all() == []
        with model_db.transaction(connection):
            connection.execute(insert(PROJECT), P)
    assert projects(model_db) == ["p"]


def test_what_comes_after_a_rollback_is_not_kept(model_db: ModelDB) -> None:
    def write_twice() -> None:
        with model_db.connection(write=True) as connection:
            connection.execute(insert(PROJECT), P)
            connection.rollback()
            connection.execute(insert(PROJECT), P)

    with pytest.raises(ModelDBError, match="closed transaction"):
        write_twice()
    assert projects(model_db) == []


def test_failed_block_leaves_nothing(model_db: ModelDB) -> None:
    def fail() -> None:
        with model_db.connection(write=True) as connection:
            connection.execute(insert(PROJECT), P)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert projects(model_db) == []


def test_reference_to_nothing(model_db: ModelDB) -> None:
    orphan = {"model_id": 7, "version": "1.0", "is_live": False}
    with (
        pytest.raises(ConstraintError, match=r"(?i)foreign key"),
        model_db.connection(write=True) as connection,
    ):
        connection.execute(insert(DEPLOYMENT), orphan)


def test_can_be_used_after_close(model_db: ModelDB, service: ModelDBService) -> None:
    service.store_project("p")
    model_db.close()
    assert service.get_project().project_name == "p"


def test_tells_what_it_is_and_whether_it_may_be_written_to(
    database: str, model_db: ModelDB, service: ModelDBService
) -> None:
    model_db.check_writable()
    with pytest.raises(ProjectNotFoundError):
        service.get_projects()
    name, _, number = model_db.version().partition(" ")
    assert name.lower() == database
    assert int(number.split(".")[0]) > 2
    assert database[:5] in model_db.address.replace("mysql", "mariadb")
