"""Kubernetes: the Job of a run, and what runs a worker in a cluster."""

from __future__ import annotations

from lume_services.kubernetes.manifests import job_template, merged

__all__ = ["job_template", "merged"]
