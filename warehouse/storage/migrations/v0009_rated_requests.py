"""The requests whose trace has feedback, apart from all others."""

from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=9,
    reason="What people think of a model, a team or any other group is answered without a look at every trace.",
    tables=("rated_requests",),
)
