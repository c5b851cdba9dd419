"""`verify`: every check of every level asked for, each with its sentence."""

from collections.abc import Callable, Sequence

from securesystemslib.signer import SSlibKey

from service.bundle import Bundle
from service.verification.authenticity import authenticity_checks
from service.verification.checks import CheckName, CheckResult, make_check
from service.verification.contents import Contents
from service.verification.identity import identity_checks
from service.verification.recomputation import recomputation_checks

MAX_LEVEL = 2
"""Level 3, scoring the samples once more, needs model and data and is not made by this version."""


def verify(
    bundle: Bundle, keys: Sequence[SSlibKey], *, level: int, weights_digest: str | None = None
) -> tuple[CheckResult, ...]:
    """Verify a bundle up to a level; a check that cannot be made has failed, and the others are still made.

    0. Signatures, schemas, what the statements speak of, plan before run.
    1. Digests: everything is what was signed, planned and reported; no attempt is missing.
    2. Evidence and verdict are recomputed from the scores.

    Args:
        bundle: as it was read.
        keys: that are trusted to sign.
        level: 0, 1 or 2; it includes those below it.
        weights_digest: SHA-256 of weights that somebody holds against the bundle.

    Returns:
        The results in the order of the checks.

    Raises:
        RuntimeError: there is no such level.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise RuntimeError(f"level {level} of 0 to {MAX_LEVEL}")
    contents = Contents(bundle=bundle)
    stages: list[Callable[[], dict[CheckName, Callable[[], str]]]] = [
        lambda: authenticity_checks(contents, keys),
        lambda: identity_checks(contents, weights_digest),
        lambda: recomputation_checks(contents),
    ]
    return tuple(
        make_check(name, number, check) for number in range(level + 1) for name, check in stages[number]().items()
    )
