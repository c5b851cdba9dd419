"""How scores that were signed and scores that were computed once more are held against each other.

Two processors do not round alike. On the digits of the tests (PreResNet-8, 1 673 samples, signals up to 30) the same
machine gave the same bits, two threads in place of one 6e-6, and convolutions with the 11-bit significand of a GPU's
TF32, emulated, .014 in the worst sample and .0005 in the median; another model, retrained by the same recipe with
another seed, 9 and .4. The tolerances lie between, nearer to the rounding; what they let through cannot carry a
verdict, since the gate decides anew on the scores that were computed here.
"""

import math
from dataclasses import fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mcu_core.report import Facts, Group, Part, Role
from mcu_core.statistics.scores import Floats, ModelScores, ScoreTable
from service.domain.comparison import first_difference
from service.verification.checks import CheckFailedError, NotAskedError, demand

LARGEST = 0.05
"""By which any signal of any sample may differ; a share of the signal where that is above 1."""
MEDIAN = 0.002
"""By which half of the samples may differ."""
PREDICTIONS = 0.01
"""Share of samples, at least one of them, whose largest output may be another class: two of them were nearly equal."""
LEAST = 30
"""Samples of a part of the data whose median is known well enough to tell rounding from another model."""
RELEARNING_SHARE = 0.5
"""Of what relearning moves the median sample's phi by: half of it may be another processor's rounding, which a training
amplifies. Emulated TF32 and bfloat16 in place of float32 gave at most .17 and .24 in any part of the digits' data, and
bfloat16 .07 where relearning moves more (PreResNet-14 on 9 000 images); no relearning at all gives 1."""
IMAGES = 1e-4
"""By which plain statistics of an image may differ, all in [0, 1] and computed in float32; no two images share all."""
ACCURACY = 0.01
"""Of accuracies that are computed in the run's own precision: bfloat16 rounds otherwise than float32."""
RELEARNED = 0.02
"""Of D_f's accuracy and AUC while it is relearned."""
WEIGHTS = 1e-6
"""Of how far the weights moved: a sum of squares."""
NEAR_COPIES = 0.01
"""Share of D_f, at least one sample, whose likeness to a sample of D_r lies on the threshold."""
_EXACT = ("plan", "batchnorm", "shared_rows", "counts")


def compare_samples(stated: ScoreTable, computed: ScoreTable) -> str:
    """Check that the same samples were scored, in the same groups and under the same labels; return what was compared.

    Raises:
        CheckFailedError: they were not.
    """
    count = len(computed.group)
    demand(len(stated.group) == count, f"{len(stated.group)} samples were scored, not the {count} of the plan")
    for name, what in (("group", "parts of the data"), ("label", "labels"), ("subject", "people")):
        wrong = int((getattr(stated, name) != getattr(computed, name)).sum())
        demand(wrong == 0, f"{wrong} of {count} samples have other {what} than manifest, plan and run say")
    demand(stated.blind.shape == computed.blind.shape, "the scores tell other statistics of the images")
    apart = (_relative(stated.blind, computed.blind) > IMAGES).any(axis=1)
    demand(not apart.any(), f"{int(apart.sum())} of {count} samples are other images than those of the manifest")
    return f"All {count} samples, their parts, labels, people and images are those of manifest, plan and run."


def compare_scores(stated: ScoreTable, computed: ScoreTable, role: Role) -> str:
    """Check that a model's scores are what its weights say, row by row; return what was compared.

    Raises:
        CheckFailedError: they are another model's, or of other samples.
    """
    require_same_size(stated, computed)
    if role not in stated.models:
        raise CheckFailedError(f"the scores hold none of the {role.value} model")
    said, found = stated.models[role], computed.models[role]
    _require_predictions(said.prediction, found.prediction, role.value)
    pairs = {f"{role.value}.{name}": (getattr(said, name), getattr(found, name)) for name in _signals()}
    worst = max(_require_close(one, other, name) for name, (one, other) in pairs.items())
    count = len(stated.group)
    return f"All signals of {count} samples are what the weights of the {role.value} say, {_within(worst)}."


def compare_relearned(stated: ScoreTable, computed: ScoreTable) -> str:
    """Check that the relearned model is about as far from the candidate, in the same direction; see `compare_scores`.

    Raises:
        CheckFailedError: it is another model, or was not relearned.
    """
    require_same_size(stated, computed)
    if Role.RELEARNED not in stated.models:
        raise CheckFailedError("the scores hold none of the relearned model")
    said, found = stated.models[Role.RELEARNED], computed.models[Role.RELEARNED]
    before = computed.models[Role.CANDIDATE]
    parts = [rows for group in Group if len(rows := computed.rows(group)) >= LEAST]
    for rows, name in product(parts, _signals()):
        one, right, start = (getattr(scores, name)[rows] for scores in (said, found, before))
        apart, moved = (float(np.median(np.abs(other - right))) for other in (one, start))
        allowed = max(MEDIAN, RELEARNING_SHARE * moved)
        text = f"relearned.{name} differs by {apart:.2g} in the median sample, where relearning moves it by {moved:.2g}"
        demand(apart <= allowed, f"{text}: this is not the candidate relearned")
    if stated.facts.digests.get(Role.RELEARNED) == computed.facts.digests[Role.RELEARNED]:
        compare_scores(stated, computed, Role.RELEARNED)
        return "Relearning the candidate gave the same model, bit for bit."
    apart = float(np.median(np.abs(said.phi - found.phi)))
    return (
        f"Relearning the candidate gave the same answers within {apart:.1g} in the median sample, and other bits: a "
        "training amplifies what another processor, or number of threads, rounds otherwise."
    )


def _signals() -> list[str]:
    return [field.name for field in fields(ModelScores) if field.name != "prediction"]


def compare_pre_unlearned(stated: ScoreTable) -> str:
    """Say why nothing is compared.

    Raises:
        NotAskedError: always.
    """
    if Role.PRE_UNLEARNED not in stated.models:
        raise NotAskedError("This candidate was not made from a pre-unlearned model.")
    raise NotAskedError(
        "The pre-unlearned model was purged with the run: what is reported of it stays as it was signed. The verdict "
        "does not rest on it."
    )


def compare_references(stated: ScoreTable, computed: ScoreTable, *, planned: bool) -> str:
    """Check that the references' scores are those of the registered family; return what was compared.

    Raises:
        CheckFailedError: they are another family's.
        NotAskedError: the plan has no references, or they are purged.
    """
    require_same_size(stated, computed)
    said, found = stated.references, computed.references
    demand((said is not None) == planned, "the scores have references that the plan does not have, or lack its own")
    if said is None:
        raise NotAskedError("The plan has no references.")
    if found is None:
        raise NotAskedError(
            "The references were purged, since they knew what was deleted: their scores, and the relearning curve's "
            "AUC, stay as they were signed. The verdict rests on them."
        )
    worst = max(
        _require_close(getattr(said, field.name), getattr(found, field.name), f"reference.{field.name}")
        for field in fields(said)
    )
    return f"The scores are those of the family that the plan names, {_within(worst)}."


def compare_facts(stated: ScoreTable, computed: ScoreTable) -> str:
    """Check what SCORE states beside the scores; return what was compared and what was not.

    Raises:
        CheckFailedError: a fact is another one.
    """
    said, found = stated.facts, completed(stated, computed).facts
    for role in (Role.ORIGINAL, Role.CANDIDATE):
        same = said.digests.get(role) == computed.facts.digests[role]
        demand(same, f"the digest of the {role.value} is not that of the weights that are scored here")
    for name in _EXACT:
        _same(getattr(said, name), getattr(found, name), name)
    _same(said.weight_change, found.weight_change, "weight_change", WEIGHTS)
    _same(said.references, found.references, "references", ACCURACY)
    _compare_duplicates(said, found)
    _compare_relearning(said, found)
    return (
        "Weights' change, origin of BatchNorm, sizes and overlap of the parts, copies, accuracies and the relearning "
        "curve are as stated. How the candidate was made, times and hardware are the worker's word."
    )


def completed(stated: ScoreTable, computed: ScoreTable) -> ScoreTable:
    """Return the computed table, with what can no longer be computed as it was stated."""
    purged = stated.references is not None and computed.references is None
    facts = computed.facts
    digests = {role: facts.digests.get(role, digest) for role, digest in stated.facts.digests.items()}
    changes: dict[str, object] = {"plan": stated.facts.plan, "relearning": stated.facts.relearning} if purged else {}
    changes |= {name: getattr(stated.facts, name) for name in ("names", "seconds", "pathway", "phase_seconds")}
    changes |= {"digests": digests, "environment": stated.facts.environment}
    return ScoreTable(
        facts=facts.model_copy(update=changes),
        group=computed.group,
        label=computed.label,
        subject=computed.subject,
        blind=computed.blind,
        models={role: computed.models.get(role, scores) for role, scores in stated.models.items()},
        references=stated.references if purged else computed.references,
    )


def require_same_size(stated: ScoreTable, computed: ScoreTable) -> None:
    """Check that the tables have as many rows, so that they can be held against each other.

    Raises:
        CheckFailedError: they have not.
    """
    same = len(stated.group) == len(computed.group)
    demand(same, "other samples were scored: nothing can be held against each other")


def _compare_duplicates(said: Facts, found: Facts) -> None:
    one, other = said.duplicates, found.duplicates
    allowed = max(1, math.floor(NEAR_COPIES * other.searched))
    same = (one.exact, one.searched) == (other.exact, other.searched) and abs(one.near - other.near) <= allowed
    text = f"{one.exact} copies of D_f and {one.near} near ones are stated"
    demand(same, f"{text}, {other.exact} and {other.near} are found in D_r")


def _compare_relearning(said: Facts, found: Facts) -> None:
    one, other = said.relearning, found.relearning
    demand(
        [point.epochs for point in one] == [point.epochs for point in other], "the relearning curve has other points"
    )
    allowed = max(RELEARNED, 2 / found.duplicates.searched)  # two samples of a small D_f
    for point, right in zip(one, other, strict=True):
        apart = max(abs(point.forget_accuracy - right.forget_accuracy), abs(point.auc - right.auc))
        demand(apart <= allowed, f"the relearning curve differs by {apart:.2g} after {point.epochs:g} epochs")


def _same(said: object, found: object, name: str, tolerance: float = 0.0) -> None:
    one, other = (value.model_dump(mode="json") if isinstance(value, Part) else value for value in (said, found))
    difference = first_difference(one, other, tolerance=tolerance, path=f"facts.{name}")
    if difference is not None:
        raise CheckFailedError(f"{difference} as computed once more")


def _require_predictions(said: NDArray[np.int64], found: NDArray[np.int64], who: str) -> None:
    wrong, count = int((said != found).sum()), len(found)
    text = f"the {who} answers {wrong} of {count} samples with another class than is stated: these are the scores of"
    demand(wrong <= max(1, PREDICTIONS * count), f"{text} another model, or of other samples")


def _require_close(said: Floats, found: Floats, name: str) -> float:
    """Return the largest difference."""
    apart = _relative(said, found)
    wrong, worst, median = int((apart > LARGEST).sum()), float(apart.max(initial=0.0)), float(np.median(apart))
    text = f"{name} is another one in {wrong} of {len(found)} samples, by up to {worst:.2g}, median {median:.2g}"
    demand(wrong == 0 and median <= MEDIAN, f"{text}: these are the scores of another model, or of other samples")
    return worst


def _within(worst: float) -> str:
    return f"within {worst:.1g}" if worst else "bit for bit"


def _relative(said: Floats, found: Floats) -> Floats:
    """Return the differences: absolute, or a share of the value where that is above 1."""
    apart: Floats = np.abs(said - found) / np.maximum(1.0, np.abs(found))
    return apart
