"""Results that LUME-services 0.x stored, brought to the documents of this version.

0.x put each result into MongoDB like this: the fields of a ``Result`` by their names, arrays among
the inputs and outputs as pickles, pandas frames as the text of ``DataFrame.to_json()``, files as
their records, and nothing that tells these from other bytes, text and dicts.
:func:`migrate_results` reads such documents without unpickling, and stores them anew.
"""

from __future__ import annotations

from lume_services.results.legacy.documents import result_from_original
from lume_services.results.legacy.migration import Migrated, migrate_results
from lume_services.results.legacy.pickles import array_from_pickle

__all__ = ["Migrated", "array_from_pickle", "migrate_results", "result_from_original"]
