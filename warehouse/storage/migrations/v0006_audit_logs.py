"""Who changed what."""

from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=6,
    reason="Every change, and every token that was refused, can be looked up afterwards.",
    tables=(AUDIT_LOGS.name,),
)
