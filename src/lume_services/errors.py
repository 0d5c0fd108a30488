"""Every error that LUME-services raises, in one tree.

::

    LUMEServicesError
    ├── ConfigurationError                 a setting is wrong or missing
    │   ├── EnvironmentNotConfiguredError      a service was asked for before configure()
    │   ├── UnknownPluginError                 a backend, store or filesystem that is not there
    │   └── MissingDependencyError             (ImportError) an optional package is not installed
    ├── NotFoundError                      (LookupError) nothing stored matches
    │   ├── ModelNotFoundError
    │   ├── DeploymentNotFoundError
    │   ├── ProjectNotFoundError
    │   ├── FlowNotFoundError
    │   ├── FlowOfFlowsNotFoundError
    │   ├── ResultNotFoundError
    │   ├── BlobNotFoundError
    │   └── FilesystemNotFoundError
    ├── AmbiguousError                     (LookupError) several match where one was asked for
    ├── ModelDBError                       the model registry refused or failed
    │   ├── ConstraintError                    a row contradicts what is stored
    │   ├── ModelDBUnavailableError            (ConnectionError) away for now: try again later
    │   │   └── ModelDBUnreachableError            (ConfigurationError) it never answered
    │   └── SchemaError                        its tables are not those of this version
    ├── ResultsDBError                     the results database refused or failed
    │   ├── ResultsDBUnavailableError          (ConnectionError) away for now: try again later
    │   ├── DuplicateResultError               the id is taken by another document
    │   ├── UnsupportedQueryError              (ValueError) an operator that is not understood
    │   └── CorruptBlobError                   the bytes do not match their digest
    ├── SerializationError                 (ValueError) a value cannot be stored or read back
    │   └── LegacyDocumentError                it is a document of LUME-services 0.x: migrate it
    ├── FilesystemError                    a file could not be read or written
    │   ├── FilesystemUnavailableError         (ConnectionError) away for now: try again later
    │   ├── MissingFileError                   (FileNotFoundError) there is no such file
    │   └── PathOutsideFilesystemError         (ValueError) the path leaves its filesystem
    ├── InvalidInputError                  (ValueError) a value that a model or flow does not take
    ├── ModelLoadError                     what was registered cannot be loaded here
    ├── ModelFailedError                   a model ended the program, or raised in a command
    ├── PackageError                       a package with a model is refused, or cannot be had
    ├── EnvironmentBuildError              the environment of a packaged model could not be made
    ├── ImageBuildError                    Docker is not there, or could not build an image
    ├── StackError                         Docker is not there, or a service of a stack is not ready
    └── FlowError                          a flow is defined or used wrongly
        ├── SchedulingUnavailableError         (ConnectionError) the Prefect server is away for now
        ├── FlowOfFlowsError                   (ValueError) a flow of flows does not fit together
        └── RunError                           a run did not end as it should
            ├── RunCancelledError
            └── RunTimeoutError                (TimeoutError)

Messages name the variable, the value and the remedy; secrets are never part of them. Where an
error is also a standard one (in brackets), ``except LookupError`` and the like work too.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousError",
    "BlobNotFoundError",
    "ConfigurationError",
    "ConstraintError",
    "CorruptBlobError",
    "DeploymentNotFoundError",
    "DuplicateResultError",
    "EnvironmentBuildError",
    "EnvironmentNotConfiguredError",
    "FilesystemError",
    "FilesystemNotFoundError",
    "FilesystemUnavailableError",
    "FlowError",
    "FlowNotFoundError",
    "FlowOfFlowsError",
    "FlowOfFlowsNotFoundError",
    "ImageBuildError",
    "InvalidInputError",
    "LUMEServicesError",
    "LUMEServicesWarning",
    "LegacyDocumentError",
    "MissingDependencyError",
    "MissingFileError",
    "ModelDBError",
    "ModelDBUnavailableError",
    "ModelDBUnreachableError",
    "ModelFailedError",
    "ModelLoadError",
    "ModelNotFoundError",
    "NotFoundError",
    "PackageError",
    "PathOutsideFilesystemError",
    "ProjectNotFoundError",
    "ResultNotFoundError",
    "ResultsDBError",
    "ResultsDBUnavailableError",
    "RunCancelledError",
    "RunError",
    "RunTimeoutError",
    "SchedulingUnavailableError",
    "SchemaError",
    "SerializationError",
    "StackError",
    "UnknownPluginError",
    "UnsupportedQueryError",
]


class LUMEServicesWarning(UserWarning):
    """Something the user should know that does not stop the work."""


class LUMEServicesError(Exception):
    """Base of every error raised by this package."""


class ConfigurationError(LUMEServicesError):
    """A setting is wrong, missing, or contradicts another one."""


class EnvironmentNotConfiguredError(ConfigurationError):
    """A service was asked for before ``configure()`` was called."""

    def __init__(self, what: str = "A service") -> None:
        super().__init__(
            f"{what} was asked for before LUME-services was configured. Call "
            "lume_services.config.configure() first; with no LUME_* variable set it uses "
            "SQLite and files on this machine."
        )


class UnknownPluginError(ConfigurationError):
    """A backend, store or filesystem of that name is not known."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional package is needed and not installed; the message says what to install."""


class NotFoundError(LUMEServicesError, LookupError):
    """Nothing stored matches what was asked for."""


class ModelNotFoundError(NotFoundError):
    """No model in the registry matches."""


class DeploymentNotFoundError(NotFoundError):
    """No deployment in the registry matches."""


class ProjectNotFoundError(NotFoundError):
    """No project in the registry matches."""


class FlowNotFoundError(NotFoundError):
    """No flow in the registry matches."""


class FlowOfFlowsNotFoundError(NotFoundError):
    """No flow of flows in the registry matches."""


class ResultNotFoundError(NotFoundError):
    """No stored result matches the query."""


class BlobNotFoundError(NotFoundError):
    """No blob with that digest is stored."""


class FilesystemNotFoundError(NotFoundError):
    """No filesystem with that identifier is configured."""


class AmbiguousError(LUMEServicesError, LookupError):
    """Several stored things match where exactly one was asked for."""


class ModelDBError(LUMEServicesError):
    """The model registry refused a request or could not be reached."""


class ConstraintError(ModelDBError):
    """A row that was to be stored contradicts the rows that are there."""


class ModelDBUnavailableError(ModelDBError, ConnectionError):
    """The registry cannot be reached, or was lost: the same call may succeed later."""


class ModelDBUnreachableError(ModelDBUnavailableError, ConfigurationError):
    """No server has answered this process yet: it is away, or host or port are wrong."""


class SchemaError(ModelDBError):
    """The registry's tables are not those of this version; the message says what to run."""


class ResultsDBError(LUMEServicesError):
    """The results database refused a request or could not be reached."""


class ResultsDBUnavailableError(ResultsDBError, ConnectionError):
    """The results database cannot be reached, or was lost: the same call may succeed later."""


class DuplicateResultError(ResultsDBError):
    """The document's ``_id`` is already taken by another document."""


class UnsupportedQueryError(ResultsDBError, ValueError):
    """The query uses an operator, or an operand, that is not part of the query language."""


class CorruptBlobError(ResultsDBError):
    """The stored bytes do not have the digest they are stored under."""


class SerializationError(LUMEServicesError, ValueError):
    """A value cannot be stored, or a stored document cannot be read back."""


class LegacyDocumentError(SerializationError):
    """A document of LUME-services 0.x; the message says how to bring it to this version."""


class FilesystemError(LUMEServicesError):
    """A file could not be read or written."""


class FilesystemUnavailableError(FilesystemError, ConnectionError):
    """The filesystem cannot be reached, or was lost: the same call may succeed later."""


class MissingFileError(FilesystemError, FileNotFoundError):
    """The file, or the folder it should go into, does not exist."""


class PathOutsideFilesystemError(FilesystemError, ValueError):
    """A path leads out of the filesystem it was given to."""


class InvalidInputError(LUMEServicesError, ValueError):
    """A model or flow does not take this input: unknown name, wrong type, or out of range."""


class ModelLoadError(LUMEServicesError):
    """What was registered cannot be loaded in this process."""


class ModelFailedError(LUMEServicesError):
    """A model raised ``SystemExit``, or anything at all in a command."""


class PackageError(LUMEServicesError):
    """A package with a model is broken, hostile or incomplete, or cannot be had."""


class EnvironmentBuildError(LUMEServicesError):
    """The environment of a packaged model could not be made; the message names the log."""


class ImageBuildError(LUMEServicesError):
    """Docker does not answer, or a step of building an image failed."""


class StackError(LUMEServicesError):
    """Docker does not answer, or a service of the stack on this machine is not ready."""


class FlowError(LUMEServicesError):
    """A flow is defined or used wrongly."""


class SchedulingUnavailableError(FlowError, ConnectionError):
    """The Prefect server cannot be reached, or was lost: the same call may succeed later."""


class FlowOfFlowsError(FlowError, ValueError):
    """A flow of flows does not fit together; the message names flow, parameter and task."""


class RunError(FlowError):
    """A run did not end as it should."""


class RunCancelledError(RunError):
    """The run was cancelled before it had a result."""


class RunTimeoutError(RunError, TimeoutError):
    """The run, or the wait for it, took longer than allowed."""
