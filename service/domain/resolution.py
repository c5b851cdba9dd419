"""Which rows a run forgets, keeps, and leaves out."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.canary import NO_CANARIES, CanaryBatch
from service.domain.canonical import canonical_digest
from service.errors import EmptyForgetSetError, ForgetSetTooLargeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The training split of one run in parts: disjoint and, with D_r as the rest, exhaustive.

    Attributes:
        manifest_digest: of the manifest whose row numbers these are.
        train_rows: size of the training split.
        forget: what the tickets want forgotten, sorted row numbers.
        forgotten_before: rows that earlier releases of this lineage forgot, sorted; in neither D_f nor D_r.
        held: rows under a hold, sorted; in neither D_f nor D_r.
        canary_included: canaries that the model was trained on and the run forgets, sorted; the unlearner cannot tell
            them from the tickets' samples.
        canary_excluded: canaries that no model was trained on, sorted; outside the training split, for the audit alone.
    """

    manifest_digest: str
    train_rows: int
    forget: tuple[int, ...]
    forgotten_before: tuple[int, ...]
    held: tuple[int, ...] = ()
    canary_included: tuple[int, ...] = ()
    canary_excluded: tuple[int, ...] = ()

    @property
    def unlearned(self) -> tuple[int, ...]:
        """Return D_f as the unlearner gets it: the tickets' samples and canaries in one ascending order."""
        return tuple(sorted(self.forget + self.canary_included))

    @property
    def retain_count(self) -> int:
        """Return |D_r|."""
        return self.train_rows - len(self.unlearned) - len(self.forgotten_before) - len(self.held)

    @property
    def digest(self) -> str:
        """Return the SHA-256 that binds all parts."""
        parts: dict[str, str | int] = {
            "manifest": self.manifest_digest,
            "train_rows": self.train_rows,
            "forget": _rows_digest(self.forget),
            "forgotten_before": _rows_digest(self.forgotten_before),
            "held": _rows_digest(self.held),
        }
        # Left out where there are none, so that older runs keep their digests.
        canaries = {"canary_included": self.canary_included, "canary_excluded": self.canary_excluded}
        return canonical_digest(parts | {part: _rows_digest(rows) for part, rows in canaries.items() if rows})


def resolve(
    *,
    manifest_digest: str,
    train_rows: int,
    requested: Iterable[int],
    forgotten_before: Iterable[int],
    held: Iterable[int] = (),
    canaries: CanaryBatch = NO_CANARIES,
) -> Resolution:
    """Split the training rows of a run.

    1. What the lineage has forgotten stays out of everything.
    2. What is held stays out of D_f and D_r (restricted processing).
    3. D_f is what the tickets name and neither of the two.
    4. Canaries are none of these.
    5. D_r, the rest, must not be empty.

    Raises:
        RuntimeError: a canary is in another part too.
        EmptyForgetSetError: everything that was requested is forgotten or held.
        ForgetSetTooLargeError: nothing would be left to keep.
    """
    forgotten = set(forgotten_before)
    on_hold = set(held) - forgotten
    forget = set(requested) - forgotten - on_hold
    resolution = Resolution(
        manifest_digest=manifest_digest,
        train_rows=train_rows,
        forget=tuple(sorted(forget)),
        forgotten_before=tuple(sorted(forgotten)),
        held=tuple(sorted(on_hold)),
        canary_included=tuple(sorted(canaries.included)),
        canary_excluded=tuple(sorted(canaries.excluded)),
    )
    if not (forget | forgotten | on_hold).isdisjoint(canaries.rows) or len(set(canaries.rows)) < len(canaries.rows):
        raise RuntimeError("a canary of the run is in another part of it too")
    if not resolution.forget:
        raise EmptyForgetSetError("every requested sample is forgotten already or held: nothing to do")
    if resolution.retain_count <= 0:
        raise ForgetSetTooLargeError(
            f"forgetting {len(resolution.forget)} of {train_rows} training samples leaves none to keep: "
            "withdraw the model or train a new one"
        )
    return resolution


def _rows_digest(rows: tuple[int, ...]) -> str:
    return hashlib.sha256(b"".join(row.to_bytes(8, "big") for row in rows)).hexdigest()
