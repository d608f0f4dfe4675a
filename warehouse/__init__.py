"""Columns, money and SQL: no HTTP, no users, no schedules."""

import os

# Polars' allocator gives unused pages back after half a second, and a load asks for as many again at once: a tenth of
# its time went there. Read once, when Polars is first imported; what the user has set counts.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:5000")
