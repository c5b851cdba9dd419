"""A published model version."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a lineage that readers can be pointed to.

    Attributes:
        number: 1 is the model as registered; each unlearning adds one.
        run_id: the run that made it; `None` for the registered model.
        forget_count: samples that this release forgot and the one before it had not.
        is_retrained: whether it was trained from scratch; false where an earlier version published it and did not say.
    """

    lineage: str
    number: int
    weights_digest: str
    report_digest: str | None
    run_id: str | None
    ticket_ids: tuple[str, ...]
    forget_count: int
    created_at: datetime
    is_retrained: bool = False


def weights_key(lineage: str, number: int) -> str:
    """Return where a release's weights lie in the object store."""
    return f"models/{lineage}/releases/v{number:06d}/model.safetensors"


def card_key(lineage: str, number: int) -> str:
    """Return where a release's description lies."""
    return f"models/{lineage}/releases/v{number:06d}/model.json"


def pointer_key(lineage: str) -> str:
    """Return the key of the pointer that readers follow."""
    return f"models/{lineage}/current.json"


def evidence_key(lineage: str, run_id: str, name: str) -> str:
    """Return where a part of a published run's evidence lies: members of a bundle, under their names there."""
    return f"reports/{lineage}/{run_id}/{name}"


def report_key(lineage: str, run_id: str, suffix: str) -> str:
    """Return where a run's published report lies, as `json` or `html`."""
    return evidence_key(lineage, run_id, f"report.{suffix}")
