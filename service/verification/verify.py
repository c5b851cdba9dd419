"""`verify`: every check of every level asked for, each with its sentence."""

from collections.abc import Callable, Sequence

from securesystemslib.signer import SSlibKey

from service.bundle import Bundle
from service.verification.authenticity import authenticity_checks
from service.verification.checks import CheckName, CheckResult, make_check
from service.verification.contents import Contents
from service.verification.identity import identity_checks
from service.verification.recomputation import recomputation_checks
from service.verification.rescoring import Rescore, rescoring_checks

MAX_LEVEL = 3
"""Level 4 of the design, running the unlearning once more, is not made."""


def verify(
    bundle: Bundle,
    keys: Sequence[SSlibKey],
    *,
    level: int,
    weights_digest: str | None = None,
    rescore: Rescore | None = None,
) -> tuple[CheckResult, ...]:
    """Verify a bundle up to a level; a check that cannot be made has failed, and the others are still made.

    0. Signatures, schemas, what the statements speak of, plan before run.
    1. Digests: everything is what was signed, planned and reported; no attempt is missing.
    2. Evidence and verdict are recomputed from the scores.
    3. The scores are computed once more from the models and the samples, and the verdict from those.

    Args:
        bundle: as it was read.
        keys: that are trusted to sign.
        level: 0 to 3; it includes those below it.
        weights_digest: SHA-256 of weights that somebody holds against the bundle.
        rescore: what scores once more, for level 3.

    Returns:
        The results in the order of the checks.

    Raises:
        RuntimeError: there is no such level, or nothing that scores for level 3.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise RuntimeError(f"level {level} of 0 to {MAX_LEVEL}")
    if level == MAX_LEVEL and rescore is None:
        raise RuntimeError(f"level {MAX_LEVEL} needs something that scores")
    contents = Contents(bundle=bundle)
    stages: list[Callable[[], dict[CheckName, Callable[[], str]]]] = [
        lambda: authenticity_checks(contents, keys),
        lambda: identity_checks(contents, weights_digest),
        lambda: recomputation_checks(contents),
        lambda: {} if rescore is None else rescoring_checks(contents, rescore),
    ]
    return tuple(
        make_check(name, number, check) for number in range(level + 1) for name, check in stages[number]().items()
    )
