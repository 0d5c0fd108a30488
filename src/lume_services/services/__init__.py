"""The four services; each has its settings, base class, service API and implementations."""
