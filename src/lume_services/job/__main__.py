"""The start of a job."""

from __future__ import annotations

import os
import signal

from lume_services._variables import export_prefect_secrets

# Before anything imports Prefect.
export_prefect_secrets()

# It would be patient by itself, and a job has to go on meanwhile.
os.environ["PREFECT_CLIENT_MAX_RETRIES"] = "0"

if __name__ == "__main__":
    # The first process of a container is deaf to SIGTERM until it says what it does then.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    from lume_services.job._run import main

    main()
