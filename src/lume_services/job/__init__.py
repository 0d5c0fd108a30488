"""What a worker starts for a run: ``python -m lume_services.job``.

Prefect's worker says by ``PREFECT__FLOW_RUN_ID`` which run it is, and by ``PREFECT_API_URL`` where
the server is; everything else comes from ``LUME_*`` variables, as anywhere. The flow is carried out
by this package's engine, which needs no server for its tasks, while a thread tells the server what
is logged and that the job is alive, and listens for a request to stop. Whatever goes wrong, before
or after the flow, the run ends in a state that says so.
"""
