"""Tasks that prepare a run: the services' configuration, and the values of model inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import get_run_logger

from lume_services.context import context
from lume_services.engine import task
from lume_services.variables import checked_inputs

__all__ = ["check_local_execution", "configure_lume_services", "prepare_lume_model_variables"]


@task
def configure_lume_services() -> None:
    """Configure the services of this process from ``LUME_*`` variables.

    A flow that uses services calls it first, so that it finds them wherever it is run. Where they
    are configured already, as in a local run, it leaves them as they are.

    Raises:
        ConfigurationError: A variable is wrong or missing.
    """
    if not context.configured:
        # The one task that reads the settings; every other asks the context.
        from lume_services.config import configure

        configure()


@task
def check_local_execution() -> bool:
    """Whether flows are run in this process: ``LUME_BACKEND`` is ``local``.

    Raises:
        EnvironmentNotConfiguredError: The services are not configured.
    """
    return context.settings.backend == "local"


@task
def prepare_lume_model_variables(
    value_map: Mapping[str, Any], variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Check values of a model's inputs, and fill in defaults for the others.

    Args:
        value_map: Values by name.
        variables: lume-base variables by name, ``LUMEModel.supported_variables`` for example.
            Those that are read-only are outputs and are left out.

    Returns:
        A value for each variable, by name. (lume-base's variables hold none themselves.)

    Raises:
        InvalidInputError: A name is unknown, a value has the wrong type or is out of its range,
            or a value is missing and its variable has no default.
    """
    prepared = checked_inputs(value_map, variables)
    defaulted = [name for name in prepared if name not in value_map]
    if defaulted:
        get_run_logger().info("Default values are used for: %s", ", ".join(defaulted))
    return prepared
