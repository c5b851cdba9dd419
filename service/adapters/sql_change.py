"""What one change writes, in one transaction."""

from sqlalchemy.engine import Connection

from service.adapters.sql_rows import (
    append,
    insert_canaries,
    insert_deployment,
    insert_forgotten,
    insert_held_samples,
    insert_release,
    insert_sample_ids,
    lock_head,
    save_hold,
    save_model,
    save_purge,
    save_run,
    save_ticket,
    take_canaries,
)
from service.adapters.sql_uploads import use_upload
from service.ports import Change


def save_change(connection: Connection, change: Change) -> None:
    """Save all of a change, its ledger entries last."""
    # The head is locked first, so that writers queue here and not halfway.
    sequence = lock_head(connection) if change.entries else 0
    for ticket in change.tickets:
        save_ticket(connection, ticket)
    for ticket_id, sample_ids in change.sample_ids:
        insert_sample_ids(connection, ticket_id, sample_ids)
    for ticket_id, upload_id in change.uploads_used:
        use_upload(connection, ticket_id, upload_id)
    for run in change.runs:
        save_run(connection, run)
    for model in change.models:
        save_model(connection, model)
    _save_releases(connection, change)
    for hold in change.holds:
        save_hold(connection, hold)
    for hold_id, sample_ids in change.held_samples:
        insert_held_samples(connection, hold_id, sample_ids)
    append(connection, change.entries, sequence)


def _save_releases(connection: Connection, change: Change) -> None:
    """Save what a release brings: itself, what it has forgotten, canaries, who serves it and when it goes."""
    for release in change.releases:
        insert_release(connection, release)
    for lineage, number, rows in change.forgotten:
        insert_forgotten(connection, lineage, number, rows)
    for lineage, canaries in change.canaries:
        insert_canaries(connection, lineage, canaries)
    for lineage, run_id, rows in change.canaries_taken:
        take_canaries(connection, lineage, run_id, rows)
    for deployment in change.deployments:
        insert_deployment(connection, deployment)
    for purge in change.purges:
        save_purge(connection, purge)
