"""The optics of a storage ring, computed wherever LUME_BACKEND says: prints them, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from lume_services.config import configure, context
from lume_services.demo.storage_ring import StorageRing
from lume_services.models import Model


def main() -> None:
    """Register the ring, run it, and print what came back."""
    configure()
    context.model_db_service().apply_schema()
    model = Model.create_model(description="EBS", laboratory="ESRF", facility="ring")
    model.register(StorageRing, version="1.0")
    result = model.run_and_return({"QF1": 2.62, "QD2": -2.6})
    print(json.dumps({name: _bits(value) for name, value in result.outputs.items()}))


def _bits(value: Any) -> Any:
    return value.tobytes().hex() if isinstance(value, np.ndarray) else float(value).hex()


if __name__ == "__main__":
    main()
