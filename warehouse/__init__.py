"""Columns, money and SQL: no HTTP, no users, no schedules."""

import os
import sys

# How memory is taken, read once by Polars and Arrow when they are first imported; what the user has set counts.
# Polars' allocator gives unused pages back after half a second, and a load asks for as many again at once: a tenth of
# its time went there. Arrow's default keeps what threads freed for these threads, which took 50 MB more of a load.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:5000")
if sys.platform == "linux":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
