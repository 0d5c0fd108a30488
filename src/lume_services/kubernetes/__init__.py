"""Kubernetes: the Job of a run, and what runs a worker in a cluster."""

from __future__ import annotations

from lume_services.kubernetes.manifests import job_template, merged, read_job_template
from lume_services.kubernetes.rendering import render, render_secrets

__all__ = ["job_template", "merged", "read_job_template", "render", "render_secrets"]
