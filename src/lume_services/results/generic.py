"""``Result``: the inputs and outputs of one run of a model, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from lume_services._invalid import described
from lume_services.context import context
from lume_services.errors import (
    AmbiguousError,
    InvalidInputError,
    ResultNotFoundError,
    SerializationError,
)
from lume_services.results._classes import class_named, stored_class, type_string
from lume_services.results._fields import ErrorRecord, Identifier, Milliseconds, Values, now
from lume_services.results._lazy import stored_values, summaries
from lume_services.results._original import refuse_original
from lume_services.results.provenance import Provenance
from lume_services.serialization import (
    GetBlob,
    PutBlob,
    canonical_hash,
    decode,
    encode,
    fit,
    hash_only,
)

if TYPE_CHECKING:
    from lume_services.services.results import ResultsDBService

__all__ = ["Result", "get_result_from_string"]

# So many names of inputs and of outputs are in the representation of a result.
_SHOWN = 20


class Result(BaseModel):
    """The inputs and outputs of one run of a model. A record: it does not change.

    Two results of a collection with the same ``unique_hash`` are the same result and stored once;
    the hash covers the fields named by ``unique_on``, and for a failed result its flow run.

    A subclass adds fields, of any type that :func:`lume_services.serialization.encode` takes, and
    may name others in ``unique_on``. It is stored under its ``module:Class`` and comes back as
    itself. Making one raises ``InvalidInputError`` when a field is missing, unknown or wrong::

        class ImagingResult(Result):
            unique_on = ("flow_id", "inputs", "camera")
            camera: str
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=()
    )

    unique_on: ClassVar[tuple[str, ...]] = ("flow_id", "inputs", "outputs")
    """Names of the fields that say whether two results are the same."""

    project_name: Identifier = Field("local", min_length=1)
    """Project, and collection of the results database."""
    flow_id: Identifier | None = None
    """Identifies model, version, project and flow, the same on every database and backend."""
    inputs: Values
    """What the model was given, by name."""
    outputs: Values = Field(default_factory=dict)
    """What came out, by name. Of a stored result, large values are read on first access."""
    date_modified: Milliseconds = Field(default_factory=now)
    """When it was computed: UTC, in milliseconds."""
    status: Literal["success", "failed"] = "success"
    """Whether the model ran to its end."""
    error: ErrorRecord | None = None
    """Of a failed result: ``type``, ``message`` and ``traceback`` of the exception."""
    flow_run_id: Identifier | None = None
    """The run that it was computed in."""
    model_id: int | None = None
    """The model in the registry."""
    deployment_id: int | None = None
    """Its deployment in the registry."""
    version: Identifier | None = None
    """Version of that deployment."""
    provenance: Provenance | None = None
    """Machine, user, time and packages."""

    _id: str | None = PrivateAttr(None)
    _hashes: dict[str, str] | None = PrivateAttr(None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse what no result could be told apart by."""
        super().__pydantic_init_subclass__(**kwargs)
        wrong = [n for n in cls.unique_on if n not in cls.model_fields or n == "provenance"]
        if wrong:
            raise TypeError(
                f"{cls.__name__}.unique_on names {', '.join(wrong)}: it takes fields of the class "
                "other than provenance."
            )

    # Type checkers see the fields as arguments. It does what BaseModel's does, rather than call it,
    # as a tenth of the time goes into calling.
    if not TYPE_CHECKING:

        def __init__(self, /, **fields: Any) -> None:
            try:
                self.__pydantic_validator__.validate_python(fields, self_instance=self)
            except ValidationError as error:
                raise InvalidInputError(
                    f"{type(self).__name__} cannot be made: {described(error)}"
                ) from error

    @model_validator(mode="after")
    def _error_fits_status(self) -> Self:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a failed result has an error, and no other has one")
        return self

    @property
    def id(self) -> str | None:
        """Its ``_id`` in the results database; None as long as it is not stored."""
        return self._id

    @property
    def result_type_string(self) -> str:
        """The class that it is loaded as, ``module:Class``."""
        return type_string(type(self))

    @property
    def inputs_hash(self) -> str:
        """The canonical hash of the inputs alone: equal for every run with the same inputs."""
        return self._hash("inputs_hash")

    @property
    def unique_hash(self) -> str:
        """The canonical hash of the fields that say whether two results are the same."""
        return self._hash("unique_hash")

    def get_db_dict(self, put_blob: PutBlob = hash_only) -> dict[str, Any]:
        """The document to store.

        Args:
            put_blob: Where large values go, ``put_blob`` of the service that the document is for.
                The default stores them nowhere; the document is the same.

        Raises:
            SerializationError: A value cannot be stored; the message says which, and what to do.
        """
        document: dict[str, Any] = {} if self._id is None else {"_id": self._id}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None or name in _AS_IS:
                document[name] = value
            elif name == "provenance":
                document[name] = value.to_document(put_blob)
            else:
                document[name] = encode(value, put_blob, path=name)
        self._hashes = hashes_of(document, self.unique_on)
        document |= {**self._hashes, "result_type_string": self.result_type_string}
        return fit(document, put_blob)

    def insert(self, service: ResultsDBService | None = None) -> str:
        """Store the result, unless it is stored already.

        Args:
            service: The results database; that of ``lume_services.config.context`` when not given.

        Returns:
            The id. Of a result that was stored before, by whomever, the id that it got then; that
            one stays as it is.

        Raises:
            SerializationError: A value cannot be stored; the message says which, and what to do.
            ResultsDBError: The database refused it or failed.
        """
        service = context.results_db_service() if service is None else service
        self._id = service.insert_one(self.project_name, self.get_db_dict(service.put_blob))
        return self._id

    def unique_rep(self) -> dict[str, Any]:
        """The least that it can be loaded from again.

        Returns:
            ``result_type_string``, for :func:`get_result_from_string`, and ``query``, for
            :meth:`load_from_query`; text only.
        """
        query = {"project_name": self.project_name, "unique_hash": self.unique_hash}
        return {"result_type_string": self.result_type_string, "query": query}

    @classmethod
    def load_from_query(
        cls,
        query: Mapping[str, Any],
        *,
        project_name: str | None = None,
        service: ResultsDBService | None = None,
    ) -> Self:
        """Load the one result that matches.

        Args:
            query: In MongoDB's query language; see :func:`lume_services.results.field` for names.
            project_name: The collection; that in the query, or ``local``, when not given.
            service: The results database; that of ``lume_services.config.context`` when not given.

        Raises:
            ResultNotFoundError: None matches.
            AmbiguousError: Several match.
            LegacyDocumentError: LUME-services 0.x stored it.
            SerializationError: It is not of this class, or cannot be read.
        """
        service = context.results_db_service() if service is None else service
        collection = project_name or query.get("project_name") or "local"
        found = service.find(collection, dict(query), limit=2)
        if not found:
            raise ResultNotFoundError(f"No result of project {collection!r} matches {query!r}.")
        if len(found) > 1:
            raise AmbiguousError(
                f"{service.count(collection, dict(query))} results of project {collection!r} match "
                f"{query!r}. Ask for one, by its unique_hash or _id, or list them with the "
                "service's find()."
            )
        return cls.from_document(found[0], service.get_blob)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], get_blob: GetBlob | None = None) -> Self:
        """A stored result again, as the class that it was stored as.

        A document does not make this process import anything: its class is one that is imported
        or defined here, or that an installed package announces by an entry point of group
        ``lume_services.results``.

        Args:
            document: What the results database holds.
            get_blob: Where large values are read from, on first access.

        Raises:
            LegacyDocumentError: LUME-services 0.x stored it.
            SerializationError: The document is malformed, or its class is not known here or not
                a subclass of this one.
        """
        refuse_original(document)
        result_type = stored_class(document.get("result_type_string"), Result)
        if not issubclass(result_type, cls):
            raise SerializationError(
                f"The result {document.get('_id')} is a {result_type.__name__}, not a "
                f"{cls.__name__}: load it with {result_type.__name__} or Result."
            )
        try:
            result = result_type(**_field_values(result_type, document, get_blob))
        except (InvalidInputError, ValidationError, TypeError) as error:
            raise SerializationError(
                f"The stored result {document.get('_id')} is malformed: {error}"
            ) from error
        result._id = document.get("_id")
        if {"inputs_hash", "unique_hash"} <= document.keys():
            result._hashes = {name: document[name] for name in ("inputs_hash", "unique_hash")}
        return result

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with some fields replaced; one that differs is not stored yet."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy._id = copy._hashes = None
        return copy

    def _hash(self, name: str) -> str:
        if self._hashes is None:
            self.get_db_dict()
        assert self._hashes is not None
        return self._hashes[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self.unique_rep() == other.unique_rep()

    def __hash__(self) -> int:
        return hash(self.unique_hash)

    def __repr_args__(self) -> Any:
        yield "id", self.id
        yield "project_name", self.project_name
        yield "status", self.status
        yield "inputs", dict(summaries(self.inputs, _SHOWN))
        yield "outputs", dict(summaries(self.outputs, _SHOWN))

    def _repr_html_(self) -> str:
        from lume_services.results._html import to_html

        return to_html(self)


# Fields of types that documents hold, checked by pydantic.
_AS_IS = frozenset(Result.model_fields) - {"inputs", "outputs", "error", "provenance"}


def hashes_of(document: Mapping[str, Any], unique_on: Sequence[str]) -> dict[str, str]:
    """``inputs_hash`` and ``unique_hash`` of a document, made before anything in it is moved.

    Args:
        document: The encoded fields of a result.
        unique_on: Names of the fields that say whether two results are the same.
    """
    inputs_hash = canonical_hash(document["inputs"])
    unique = {name: document[name] for name in unique_on}
    if "inputs" in unique:  # by their hash: inputs may be large, and are hashed already
        unique["inputs"] = inputs_hash
    if document["status"] == "failed":
        unique["flow_run_id"] = document["flow_run_id"]
    return {"inputs_hash": inputs_hash, "unique_hash": canonical_hash(unique)}


def get_result_from_string(result_type_string: Any) -> type[Result]:
    """The result class of that name.

    It is for names from your own code: the module is imported, which runs what is in it.

    Args:
        result_type_string: ``module:Class``, or the bare name of a class that this process knows.

    Raises:
        SerializationError: There is no such class, or it is not a subclass of ``Result``.
        AmbiguousError: The bare name is that of several classes.
    """
    return class_named(result_type_string, Result)


def _field_values(
    result_type: type[Result], document: Mapping[str, Any], get_blob: GetBlob | None
) -> dict[str, Any]:
    values = {name: document[name] for name in result_type.model_fields if name in document}
    for name, value in values.items():
        if name in ("inputs", "outputs"):
            values[name] = stored_values(value, get_blob)
        elif name == "provenance" and isinstance(value, dict):
            values[name] = Provenance.from_document(value, get_blob)
        elif name not in _AS_IS or isinstance(value, dict):
            values[name] = decode(value, get_blob)
    return values
