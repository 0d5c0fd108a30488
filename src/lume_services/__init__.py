"""Model registry, results database, file service and scheduling for accelerator models."""

__version__ = "1.0.0.dev0"
