"""Settings: read from variables, written back to them, and clear about what is wrong."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lume_services.config import LUMEServicesSettings, get_env_vars
from lume_services.errors import ConfigurationError, LUMEServicesWarning

COMPOSE = {
    "LUME_MOUNTED_FILESYSTEM__IDENTIFIER": "mounted",
    "LUME_MOUNTED_FILESYSTEM__MOUNT_PATH": "${PWD}",
    "LUME_MOUNTED_FILESYSTEM__MOUNT_ALIAS": "/working_directory",
    "LUME_MOUNTED_FILESYSTEM__MOUNT_TYPE": "DirectoryOrCreate",
    "LUME_MODEL_DB__HOST": "http://mysql",
    "LUME_MODEL_DB__PORT": "3306",
    "LUME_MODEL_DB__USER": "root",
    "LUME_MODEL_DB__PASSWORD": "hunter2",
    "LUME_MODEL_DB__DATABASE": "lume_services_models",
    "LUME_RESULTS_DB__DATABASE": "results",
    "LUME_RESULTS_DB__USERNAME": "root",
    "LUME_RESULTS_DB__HOST": "http://mongodb",
    "LUME_RESULTS_DB__PASSWORD": "hunter2",
    "LUME_RESULTS_DB__PORT": "27017",
    "LUME_PREFECT__SERVER__HOST": "apollo",
    "LUME_PREFECT__SERVER__HOST_PORT": "42001",
    "LUME_PREFECT__HOME_DIR": "~/.prefect",
    "LUME_PREFECT__DEBUG": "false",
    "LUME_PREFECT__BACKEND": "server",
}


def with_environment(**variables: str) -> Any:
    return mock.patch.dict(os.environ, variables)


def test_nothing_set_is_valid_and_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUME_HOME")
    settings = LUMEServicesSettings()
    assert settings.backend == "local"
    assert settings.model_db is settings.results_db is settings.mounted_filesystem is None
    assert settings.results_store == "sqlite"
    assert settings.home.name == "lume-services"


def test_the_compose_excerpt_of_the_original_page_works() -> None:
    with with_environment(**COMPOSE):
        settings = LUMEServicesSettings()
    assert settings.model_db is not None
    assert settings.model_db.host == "mysql"
    assert settings.model_db.port == 3306
    assert settings.results_db is not None
    assert settings.results_db.host == "mongodb"
    assert settings.results_store == "mongodb"
    assert settings.mounted_filesystem is not None
    assert settings.mounted_filesystem.mount_path == Path.cwd()
    assert settings.prefect is not None
    assert settings.prefect.server.host == "apollo"
    assert settings.prefect.home_dir == Path("~/.prefect").expanduser()


def test_names_are_not_case_sensitive() -> None:
    with with_environment(lume_results_db__url="sqlite:////data/results.db"):
        settings = LUMEServicesSettings()
    assert settings.results_db is not None
    assert settings.results_db.url == "sqlite:////data/results.db"


def test_a_variable_of_a_path_may_have_a_default_or_must_be_set() -> None:
    with with_environment(LUME_HOME="${NOT_SET_ANYWHERE:-/data}/lume"):
        assert LUMEServicesSettings().home == Path("/data/lume")
    with with_environment(LUME_HOME="$SCRATCH/lume", SCRATCH="/scratch"):
        assert LUMEServicesSettings().home == Path("/scratch/lume")
    with (
        with_environment(LUME_HOME="${NOT_SET_ANYWHERE}/lume"),
        pytest.raises(ConfigurationError, match=r"LUME_HOME=.*NOT_SET_ANYWHERE.* is not set"),
    ):
        LUMEServicesSettings()


def test_a_relative_home_stays_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with with_environment(LUME_HOME="data"):
        assert LUMEServicesSettings().home == tmp_path / "data"


def test_the_env_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "lume.env"
    file.write_text("LUME_BACKEND=docker\nLUME_PREFECT__DEBUG=true\nPATH=/nowhere\n")
    with with_environment(LUME_ENV_FILE=str(file), LUME_BACKEND="local"):
        settings = LUMEServicesSettings()
    assert settings.backend == "local"
    assert settings.prefect is not None
    assert settings.prefect.debug is True


def test_a_missing_env_file_is_named(tmp_path: Path) -> None:
    with (
        with_environment(LUME_ENV_FILE=str(tmp_path / "none.env")),
        pytest.raises(ConfigurationError, match=r"LUME_ENV_FILE=.*none\.env.* No such file"),
    ):
        LUMEServicesSettings()


def test_a_password_comes_from_a_secret_file(tmp_path: Path) -> None:
    (tmp_path / "lume_model_db__password").write_text("from-a-file\n")
    variables = {**COMPOSE, "LUME_SECRETS_DIR": str(tmp_path), "LUME_MODEL_DB__PASSWORD": ""}
    with with_environment(**variables):
        settings = LUMEServicesSettings()
    assert settings.model_db is not None
    assert settings.model_db.password == SecretStr("from-a-file")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"LUME_MODEL_DB__HOST": "h"},
            ["LUME_MODEL_DB__USER", "LUME_MODEL_DB__PASSWORD", "LUME_MODEL_DB__DATABASE"],
        ),
        ({"LUME_RESULTS_DB__HOST": "h"}, ["LUME_RESULTS_DB__DATABASE"]),
        (
            {"LUME_MOUNTED_FILESYSTEM__MOUNT_PATH": "/data"},
            ["LUME_MOUNTED_FILESYSTEM__MOUNT_ALIAS is missing"],
        ),
        (
            {"LUME_RESULTS_DB__URL": "mongodb://h/d", "LUME_RESULTS_DB__HOST": "h"},
            ["LUME_RESULTS_DB__URL is given together with LUME_RESULTS_DB__HOST"],
        ),
        ({**COMPOSE, "LUME_MODEL_DB__PORT": "http"}, ["LUME_MODEL_DB__PORT='http'", "integer"]),
        ({**COMPOSE, "LUME_MODEL_DB__PORT": "70000"}, ["LUME_MODEL_DB__PORT='70000'", "65535"]),
        (
            {**COMPOSE, "LUME_MOUNTED_FILESYSTEM__MOUNT_TYPE": "Folder"},
            ["LUME_MOUNTED_FILESYSTEM__MOUNT_TYPE='Folder'", "'DirectoryOrCreate'"],
        ),
        (
            {"LUME_MODEL_DB__URL": "mysql://u:hunter2@h/d", "LUME_MODEL_DB__PASSWORD": "hunter3"},
            ["LUME_MODEL_DB__PASSWORD differs from the password inside LUME_MODEL_DB__URL"],
        ),
        (
            {"LUME_RESULTS_DB__URL": "mongodb://h/d?tlsCertificateKeyFilePassword=hunter2"},
            ["LUME_RESULTS_DB__URL holds a secret in its option tlsCertificateKeyFilePassword"],
        ),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_shown(
    variables: dict[str, str], expected: list[str]
) -> None:
    with with_environment(**variables), pytest.raises(ConfigurationError) as caught:
        LUMEServicesSettings()
    for text in expected:
        assert text in str(caught.value)
    everything = "".join(traceback.format_exception(caught.value))
    assert "hunter" not in everything


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LUME_FILESYSTEMS__X__URL", "sftp://u:hunter2@h/d"),
        ("LUME_FILESYSTEMS__X__URL", "s3://b?secret=hunter2"),
        ("LUME_RESULTS_DB__OPTIONS", "tls=true&tlsCertificateKeyFilePassword=hunter2"),
        ("LUME_MODEL_DB__HOST", "http://u:hunter2@mysql"),
        ("LUME_PREFECT__SERVER__HOST", "http://u:hunter2@h"),
        ("LUME_MODEL_DB__URL", "u:hunter2@h/d"),
        *(
            ("LUME_MODEL_DB__URL", f"mysql://h/d?{option}=hunter2")
            for option in ("pwd", "pass", "apikey", "api_key", "access_key", "ssl.passphrase")
        ),
        ("LUME_MODEL_DB__URL", "mysql://h/d#password=hunter2"),
        (
            "LUME_RESULTS_DB__URL",
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
        ),
    ],
)
def test_a_secret_where_it_would_be_shown_is_refused(name: str, value: str) -> None:
    with with_environment(**{name: value}), pytest.raises(ConfigurationError) as caught:
        LUMEServicesSettings()
    assert name in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_part_of_the_settings_does_not_change() -> None:
    with with_environment(**COMPOSE):
        settings = LUMEServicesSettings()
    assert settings.model_db is not None
    with pytest.raises(ValueError, match="frozen"):
        settings.model_db.url = "mysql://u:secret@h/d"
    assert settings.model_db.url is None


def test_the_env_file_may_be_named_in_small_letters(tmp_path: Path) -> None:
    file = tmp_path / "lume.env"
    file.write_text("LUME_BACKEND=docker\n")
    with with_environment(lume_env_file=str(file)):
        assert LUMEServicesSettings().backend == "docker"


def test_a_folder_of_secrets_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        with_environment(LUME_SECRETS_DIR=str(tmp_path / "gone")),
        pytest.raises(ConfigurationError, match=r"LUME_SECRETS_DIR=.*gone.* is not a folder"),
    ):
        LUMEServicesSettings()


def test_a_constructor_argument_that_is_not_a_setting_is_refused_without_its_value() -> None:
    model_db = {"host": "h", "user": "u", "pasword": "-".join(["hunter", "2"])}
    with pytest.raises(ConfigurationError) as caught:
        LUMEServicesSettings(model_db=model_db)
    assert "Did you mean LUME_MODEL_DB__PASSWORD?" in str(caught.value)
    assert "hunter-2" not in "".join(traceback.format_exception(caught.value))


def test_assignment_is_validated() -> None:
    settings = LUMEServicesSettings()
    with pytest.raises(ConfigurationError, match="LUME_MODEL_DB: incomplete"):
        settings.model_db = {"host": "h"}
    assert settings.model_db is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LUME_MODEL_DB_PORT", "LUME_MODEL_DB__PORT"),
        ("LUME_MODEL_DB__PASWORD", "LUME_MODEL_DB__PASSWORD"),
        (
            "LUME_EVIRONMENT__LOCAL_PIP_REPOSITORY",
            "LUME_ENVIRONMENT__LOCAL_PIP_REPOSITORY",
        ),
    ],
)
def test_a_mistyped_name_warns_with_the_right_one_and_without_its_value(
    name: str, meant: str
) -> None:
    with with_environment(**{name: "hunter2"}), pytest.warns(LUMEServicesWarning) as caught:
        LUMEServicesSettings()
    (message,) = [str(warning.message) for warning in caught]
    assert name in message
    assert f"Did you mean {meant}?" in message
    assert "hunter2" not in message
    assert caught[0].filename == __file__


def test_variables_of_tests_are_not_ours() -> None:
    with with_environment(LUME_TEST_REQUIRE_SERVICES="1"):
        LUMEServicesSettings()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LUME_PREFECT__AGENT__HOST": "http://agent"}, "LUME_PREFECT__AGENT"),
        ({"LUME_PREFECT__TELEMETRY__ENABLED": "true"}, "LUME_PREFECT__TELEMETRY"),
        ({"LUME_PREFECT__BACKEND": "cloud"}, "PREFECT_API_KEY"),
    ],
)
def test_what_prefect_3_has_no_use_for_is_accepted_with_a_warning(
    variables: dict[str, str], named: str
) -> None:
    with with_environment(**variables), pytest.warns(LUMEServicesWarning, match=named):
        LUMEServicesSettings()


@pytest.mark.parametrize(
    ("url", "kept", "password"),
    [
        ("mysql+pymysql://u:p%40ss@h/d", "mysql+pymysql://u@h/d", "p@ss"),
        ("mongodb://u:a/b@h:27017/d?x=1", "mongodb://u@h:27017/d?x=1", "a/b"),
        ("postgresql://u:p@s@h/d", "postgresql://u@h/d", "p@s"),
        ("sqlite:////data/a@b:c.db", "sqlite:////data/a@b:c.db", None),
        ("mysql://h/d", "mysql://h/d", None),
    ],
)
def test_a_password_inside_a_url_is_kept_apart(url: str, kept: str, password: str | None) -> None:
    settings = LUMEServicesSettings(model_db={"url": url})
    assert settings.model_db is not None
    assert settings.model_db.url == kept
    secret = settings.model_db.password
    assert (secret.get_secret_value() if secret else None) == password


@pytest.mark.parametrize(
    "url", ["mongodb://LAB/jane:hunter2@db.lab/lume", "mongodb://db.lab/jane:hunter2@lume"]
)
def test_a_password_behind_the_host_of_a_url_is_refused_without_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"LUME_RESULTS_DB__URL.*%2F") as raised:
        LUMEServicesSettings(results_db={"url": url})
    assert "hunter2" not in str(raised.value)


def test_options_of_a_filesystem_are_its_own() -> None:
    with with_environment(
        LUME_FILESYSTEMS__lab__URL="s3://bucket/lab",
        LUME_FILESYSTEMS__lab__OPTIONS__secret="hunter2",
        LUME_FILESYSTEMS__LAB__OPTIONS__KEY="abc",
        LUME_FILESYSTEMS__OTHER__URL="sftp://host/x",
    ):
        settings = LUMEServicesSettings()
    assert settings.job == {}
    assert settings.filesystems["lab"].options == {
        "secret": SecretStr("hunter2"),
        "key": SecretStr("abc"),
    }
    assert settings.filesystems["other"].options == {}
    assert "hunter2" not in repr(settings) + str(settings.to_environment())


def test_an_option_of_a_filesystem_has_one_part() -> None:
    variable = "LUME_FILESYSTEMS__LAB__OPTIONS__CLIENT_KWARGS__REGION_NAME"
    with (
        with_environment(LUME_FILESYSTEMS__LAB__URL="s3://b", **{variable: "eu"}),
        pytest.warns(LUMEServicesWarning, match=f"{variable} is not read"),
    ):
        LUMEServicesSettings()
    with pytest.raises(ConfigurationError, match="one JSON object"):
        LUMEServicesSettings(filesystems={"lab": {"url": "s3://b", "options": {"a__b": "eu"}}})


@pytest.mark.parametrize(
    "url",
    [
        "sftp://anna@host/data",
        "sftp://anna@host:2222/data/b@c",
        "sftp://host:22/data/b@c",
        "s3://bucket/a@b:c",
        "file:///data/a@b:c",
    ],
)
def test_the_url_of_a_filesystem_may_name_a_user(url: str) -> None:
    assert LUMEServicesSettings(filesystems={"lab": {"url": url}}).filesystems["lab"].url == url


@pytest.mark.parametrize(
    "url",
    [
        "sftp://anna:hunter2@host/data",
        "sftp://anna:hun/ter2@host/data",
        "s3://key:hunter2@bucket",
        "sftp://host/data?password=hunter2",
    ],
)
def test_a_password_in_the_url_of_a_filesystem_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="leave it out") as raised:
        LUMEServicesSettings(filesystems={"lab": {"url": url}})
    assert "LUME_FILESYSTEMS__LAB__URL" in str(raised.value)
    assert "ter2" not in str(raised.value)


def test_secrets_show_nowhere_but_where_they_are_asked_for() -> None:
    with with_environment(**COMPOSE):
        settings = LUMEServicesSettings()
    shown = [repr(settings), str(settings), settings._repr_html_(), str(settings.masked())]
    shown.append(str(settings.to_environment()))
    assert not [text for text in shown if "hunter2" in text]
    assert settings.to_environment(include_secrets=True)["LUME_MODEL_DB__PASSWORD"] == "hunter2"


# What an environment variable can hold.
TEXT = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12
)
WORD = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
PORT = st.integers(1, 65535)
PATH = WORD.map(lambda word: Path("/data") / word)
SERVER = {"host": WORD, "port": PORT, "password": TEXT, "database": TEXT}
SETTINGS = st.fixed_dictionaries(
    {"backend": TEXT, "home": PATH},
    optional={
        "model_db": st.one_of(
            st.fixed_dictionaries(
                {**SERVER, "user": TEXT},
                optional={
                    "dialect_str": WORD,
                    "connection": st.fixed_dictionaries(
                        {"pool_size": st.integers(1, 9), "pool_pre_ping": st.booleans()}
                    ),
                },
            ),
            st.fixed_dictionaries(
                {"url": WORD.map("mysql+pymysql://u:secret@{}/d".format)},
            ),
        ),
        "results_db": st.fixed_dictionaries(
            {**SERVER, "username": TEXT}, optional={"options": WORD, "authmechanism": WORD}
        ),
        "prefect": st.fixed_dictionaries(
            {},
            optional={
                "server": st.fixed_dictionaries({"host": WORD, "host_port": PORT}),
                "ui": st.fixed_dictionaries({"host_ip": WORD}),
                "home_dir": PATH,
                "debug": st.booleans(),
                "default_image": TEXT,
                "isolated": st.booleans(),
            },
        ),
        "mounted_filesystem": st.fixed_dictionaries(
            {"mount_path": PATH, "mount_alias": PATH},
            optional={
                "identifier": WORD,
                "mount_type": st.sampled_from(["Directory", "File", "FileOrCreate"]),
            },
        ),
        "filesystems": st.dictionaries(
            st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True),
            st.fixed_dictionaries(
                {"url": WORD},
                optional={
                    "options": st.dictionaries(
                        st.from_regex(r"[a-z]+(_[a-z0-9]+)?", fullmatch=True), TEXT, max_size=3
                    )
                },
            ),
            max_size=3,
        ),
        "environment": st.fixed_dictionaries(
            {},
            optional={
                "tmp_directory": PATH,
                "local_pip_repository": st.one_of(
                    PATH, st.just("https://packages.lab.example/simple")
                ),
                "python_version": st.from_regex(r"3\.[0-9]{1,2}", fullmatch=True),
                "token": TEXT,
            },
        ),
        "job": st.dictionaries(
            st.from_regex(r"[A-Z][A-Z0-9]{0,8}(__[A-Z]{1,5})?", fullmatch=True), TEXT, max_size=3
        ),
    },
)


@given(SETTINGS)
@pytest.mark.filterwarnings("ignore::lume_services.errors.LUMEServicesWarning")
def test_settings_are_rebuilt_exactly_from_their_environment(values: dict[str, Any]) -> None:
    settings = LUMEServicesSettings(**values)
    environment = settings.to_environment(include_secrets=True)
    with mock.patch.dict(os.environ, environment, clear=True):
        assert LUMEServicesSettings() == settings


def test_every_field_has_a_variable_with_a_meaning() -> None:
    variables = get_env_vars()
    assert {"LUME_BACKEND", "LUME_HOME", "LUME_ENV_FILE", "LUME_SECRETS_DIR"} <= {
        variable.name for variable in variables
    }
    assert not [variable.name for variable in variables if not variable.meaning]
    assert {variable.name for variable in variables if variable.secret} == {
        "LUME_MODEL_DB__PASSWORD",
        "LUME_RESULTS_DB__PASSWORD",
        "LUME_ENVIRONMENT__TOKEN",
        "LUME_FILESYSTEMS__<identifier>__OPTIONS__<option>",
        "LUME_JOB__<variable>",
    }
