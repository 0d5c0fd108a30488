"""The start of a job."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from lume_services._variables import SECRETS_DIR

# Prefect reads its settings when it is imported, from variables only. What lets a job into the
# server is among the secret files, so that neither a process list nor `docker inspect` shows it.
if folder := os.environ.get(SECRETS_DIR):
    for file in Path(folder).glob("PREFECT_*"):
        os.environ.setdefault(file.name, file.read_text(encoding="utf-8"))

# It would be patient by itself, and a job has to go on meanwhile.
os.environ["PREFECT_CLIENT_MAX_RETRIES"] = "0"

if __name__ == "__main__":
    # The first process of a container is deaf to SIGTERM until it says what it does then.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    from lume_services.job._run import main

    main()
