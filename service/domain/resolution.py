"""Which rows a run forgets, keeps, and leaves out."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.canonical import canonical_digest
from service.errors import EmptyForgetSetError, ForgetSetTooLargeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The training split of one run in four parts: disjoint and, with D_r as the rest, exhaustive.

    Attributes:
        manifest_digest: of the manifest whose row numbers these are.
        train_rows: size of the training split.
        forget: D_f, sorted row numbers.
        forgotten_before: rows that earlier releases of this lineage forgot, sorted; in neither D_f nor D_r.
        held: rows under a hold, sorted; in neither D_f nor D_r.
    """

    manifest_digest: str
    train_rows: int
    forget: tuple[int, ...]
    forgotten_before: tuple[int, ...]
    held: tuple[int, ...] = ()

    @property
    def retain_count(self) -> int:
        """Return |D_r|."""
        return self.train_rows - len(self.forget) - len(self.forgotten_before) - len(self.held)

    @property
    def digest(self) -> str:
        """Return the SHA-256 that binds all parts."""
        return canonical_digest(
            {
                "manifest": self.manifest_digest,
                "train_rows": self.train_rows,
                "forget": _rows_digest(self.forget),
                "forgotten_before": _rows_digest(self.forgotten_before),
                "held": _rows_digest(self.held),
            }
        )


def resolve(
    *,
    manifest_digest: str,
    train_rows: int,
    requested: Iterable[int],
    forgotten_before: Iterable[int],
    held: Iterable[int] = (),
) -> Resolution:
    """Split the training rows of a run.

    1. What the lineage has forgotten stays out of everything.
    2. What is held stays out of D_f and D_r (restricted processing).
    3. D_f is what the tickets name and neither of the two.
    4. D_r, the rest, must not be empty.

    Raises:
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
    )
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
