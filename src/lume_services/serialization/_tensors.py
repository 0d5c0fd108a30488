"""torch tensors, stored as arrays are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import MissingDependencyError, SerializationError
from lume_services.serialization._arrays import array_fields, array_from

if TYPE_CHECKING:
    from lume_services.serialization._blobs import GetBlob, PutBlob

__all__ = ["TensorCodec"]


class TensorCodec:
    """Dense tensors; they come back on the CPU, without gradient."""

    kind = "tensor"

    def matches(self, value: object) -> bool:
        """See ``Codec``."""
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(value, torch.Tensor)

    def encode(self, value: Any, put_blob: PutBlob) -> Mapping[str, Any]:
        """See ``Codec``."""
        import torch

        # numpy has no bfloat16: its bits are kept as integers.
        bfloat16 = value.dtype == torch.bfloat16
        try:
            tensor = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
            array = (tensor.view(torch.int16) if bfloat16 else tensor).numpy()
        except (RuntimeError, TypeError) as error:
            raise SerializationError(
                f"a tensor of layout {value.layout} and dtype {value.dtype} cannot be stored "
                f"({error}). Convert it with .to_dense() and .float()."
            ) from error
        return {**array_fields(array), "bfloat16": bfloat16}

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Any:
        """See ``Codec``."""
        array = array_from(document)
        bfloat16 = document.get("bfloat16")
        if type(bfloat16) is not bool or (bfloat16 and array.dtype != np.int16):
            raise SerializationError("A stored tensor does not say its type.")
        try:
            import torch
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "A stored value is a torch tensor: pip install torch"
            ) from error
        tensor = torch.from_numpy(array)
        return tensor.view(torch.bfloat16) if bfloat16 else tensor
