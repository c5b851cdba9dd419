"""Whether weights may serve, or would bring back what a lineage has forgotten."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.domain.purge import ReleasePurge
from service.domain.release import Release


class ServingDecision(StrEnum):
    """What the serving side may do with weights."""

    ALLOWED = "allowed"
    RESURRECTS_FORGOTTEN_SAMPLES = "resurrects_forgotten_samples"
    UNKNOWN_WEIGHTS = "unknown_weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingAnswer:
    """A decision and why.

    Attributes:
        resurrected: samples, canaries among them, that the lineage has forgotten and these weights know.
    """

    decision: ServingDecision
    text: str
    resurrected: int = 0


def unknown_weights(current: int) -> ServingAnswer:
    """Return the answer to weights that nobody has released."""
    text = f"They are no release of this lineage, and nobody knows what they have learned: serve release {current}."
    return ServingAnswer(decision=ServingDecision.UNKNOWN_WEIGHTS, text=text)


def may_serve(
    release: Release, forgotten_by: Iterable[int], purges: Sequence[ReleasePurge], *, current: int
) -> ServingAnswer:
    """Return whether a release may serve.

    Args:
        release: what is asked about.
        forgotten_by: for each sample that its lineage has forgotten, the release that did.
        purges: of its lineage.
        current: number of the release that readers are pointed to.
    """
    known = Counter(number for number in forgotten_by if number > release.number)
    purge = next((purge for purge in purges if purge.number == release.number), None)
    gone = (
        "" if purge is None or purge.purged_at is None else f" Its weights were purged on {purge.purged_at:%Y-%m-%d}."
    )
    if not known and not gone:
        text = f"Release {release.number} has forgotten everything that this lineage has."
        return ServingAnswer(decision=ServingDecision.ALLOWED, text=text)
    by = ", ".join(f"{count} that release {number} has forgotten" for number, count in sorted(known.items()))
    text = f"Release {release.number} knows samples: {by}. Serve release {current}.{gone}"
    return ServingAnswer(decision=ServingDecision.RESURRECTS_FORGOTTEN_SAMPLES, text=text, resurrected=known.total())
