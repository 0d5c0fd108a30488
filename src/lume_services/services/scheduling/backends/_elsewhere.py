"""What backends have in common whose jobs share no disk with who asks for them."""

from __future__ import annotations

from typing import Any

from lume_services.errors import ConfigurationError

__all__ = ["refuse_embedded_stores"]


def refuse_embedded_stores(settings: Any) -> None:
    """Refuse stores that are files of this machine.

    Args:
        settings: The whole ``LUMEServicesSettings``.

    Raises:
        ConfigurationError: With the variables that name servers.
    """
    registry = settings.model_db is None or str(settings.model_db.url or "").startswith("sqlite")
    missing = {
        "LUME_RESULTS_DB__URL": settings.results_store == "sqlite",
        "LUME_MODEL_DB__URL": registry,
    }
    if names := [name for name, is_missing in missing.items() if is_missing]:
        raise ConfigurationError(
            f"LUME_BACKEND={settings.backend}: its jobs cannot reach files of this machine, where "
            f"the embedded stores are. Set {' and '.join(names)} to servers that they can reach."
        )
