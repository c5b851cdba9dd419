"""Score tables of models that remember as much as a test wants, and the plans that they belong to.

Every model answers a sample with logits of one common difficulty and noise of its own; the samples that it remembers
get `memory` more on their label. All signals are computed from these logits by their formulas.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcu_core.report import Counts, Environment, ModelName, References, WeightChange
from mcu_core.report.evidence import BatchNormSource, Duplicates, Facts, Group, RelearningPoint, Role
from mcu_core.report.plan import AuditPlan, CanaryPlan, ReferencesPlan, Signal
from mcu_core.statistics.scores import Floats, Integers, ModelScores, ReferenceScores, ScoreTable

STARTED_AT = 1_790_000_000_000_000
"""Of the run, microseconds since 1970-01-01 UTC; the plan is a minute older."""
NAMES: dict[Role, ModelName] = {
    Role.ORIGINAL: ModelName.ORIGINAL,
    Role.PRE_UNLEARNED: ModelName.RANDOM_LABEL,
    Role.CANDIDATE: ModelName.MCU_BETA,
    Role.RELEARNED: ModelName.FINETUNED,
}
DIGESTS: dict[Role, str] = {role: f"{index:064x}" for index, role in enumerate(Role) if role is not Role.NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How large the groups are, and how much each model remembers of D_f and of the canaries that were included.

    Memory is in units of a logit: 0 shows nothing, 3 is an AUC of about .9, below 0 is over-forgotten.
    """

    original: float = 3.0
    candidate: float = 0.0
    relearned: float = 0.0
    pre_unlearned: float | None = None
    """`None`: the method has no model at the end of a pathway."""
    forgotten_before_memory: float = 0.0
    """What the candidate shows of samples that earlier releases forgot."""
    retain_memory: float = 3.0
    """What original and candidate remember of D_r."""
    blind_shift: float = 0.0
    """How far the image statistics of D_f lie from everybody else's, in standard deviations."""
    calibration_shift: float = 0.0
    """How much more every model remembers of C_cal than of C_eval: an instrument that is off."""
    forget: int = 200
    retain: int = 400
    test: int = 500
    calibration: int = 1000
    evaluation: int = 1000
    canaries: int = 0
    """All of them; a fair coin decided which were trained on."""
    forgotten_before: int = 0
    references: bool = False
    """Whether scores of models that never saw the samples are there; the primary signal is then the calibrated one."""
    samples_per_subject: int = 1
    """Consecutive samples of a group that are copies with one person's difficulty and noise."""
    classes: int = 10
    """At least 2: with one, φ is infinite."""
    seed: int = 0


def plan_of(scene: Scene) -> AuditPlan:
    """Return the plan of the audit that scores the scene."""
    coins = _coins(scene)
    return AuditPlan(
        run_id="run-1",
        lineage="digits",
        attempt=1,
        rung=0,
        audits_before=0,
        base_model=DIGESTS[Role.ORIGINAL],
        manifest="a" * 64,
        resolution="b" * 64,
        policy="c" * 64,
        spec="d" * 64,
        forget_count=scene.forget,
        forget_root="e" * 64,
        split_commitment="f" * 64,
        primary_signal=Signal.CALIBRATED if scene.references else Signal.PHI,
        references=ReferencesPlan(family="1" * 64, folds=5) if scene.references else None,
        canaries=CanaryPlan(
            included=int(coins.sum()), excluded=int((~coins).sum()), coin_commitment="2" * 64
        ) if scene.canaries else None,
        seed=scene.seed,
        tail_level=0.05,
        confidence=0.95,
        retain_images=scene.retain,
        svc_samples=200,
        created_at=STARTED_AT - 60_000_000,
    )  # fmt: skip


def table_of(scene: Scene) -> ScoreTable:
    """Return the scores of original, candidate, relearned model and, where the scene has it, the pre-unlearned one."""
    rng = np.random.default_rng([17, scene.seed])
    group = _groups(scene)
    size, subject = len(group), _subjects(group, scene.samples_per_subject)
    label = rng.integers(0, scene.classes, size)[subject]
    difficulty = rng.normal(0.0, 1.5, (size, scene.classes))[subject]
    difficulty[np.arange(size), label] += 3.0
    models = {}
    for role, memory in _memories(scene).items():
        logits = difficulty + rng.normal(0.0, 1.0, (size, scene.classes))[subject]
        logits[np.arange(size), label] += _remembered(scene, group, role, memory)
        models[role] = scores_of(logits, label)
    unseen = [difficulty + rng.normal(0.0, 1.0, (size, scene.classes))[subject] for _ in range(4)]
    blind = rng.normal(0.0, 1.0, (size, 3))[subject]
    blind[group == Group.FORGET.value] += scene.blind_shift
    return ScoreTable(
        facts=_facts(scene, tuple(models)),
        group=group,
        label=label,
        subject=subject,
        blind=blind,
        models=models,
        references=_references(unseen, label) if scene.references else None,
    )


def scores_of(logits: Floats, label: Integers) -> ModelScores:
    """Return every signal of logits `[N, K]` by its formula."""
    rows = np.arange(len(label))
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    p = np.exp(log_p)
    others = logits.copy()
    others[rows, label] = -np.inf
    rest = np.log1p(-np.minimum(p, 1.0 - 1e-16))
    modified = (p * rest).sum(axis=1) - (p * rest)[rows, label] + ((1.0 - p) * log_p)[rows, label]
    return ModelScores(
        phi=logits[rows, label] - np.logaddexp.reduce(others, axis=1),
        confidence=p[rows, label],
        loss=log_p[rows, label],
        entropy=(p * log_p).sum(axis=1),
        modified_entropy=modified,
        prediction=logits.argmax(axis=1),
    )


def _references(unseen: list[Floats], label: Integers) -> ReferenceScores:
    scores = [scores_of(logits, label) for logits in unseen]
    return ReferenceScores(
        phi=np.mean([score.phi for score in scores], axis=0),
        confidence=np.mean([score.confidence for score in scores], axis=0),
    )


def _coins(scene: Scene) -> NDArray[np.bool_]:
    return np.random.default_rng([18, scene.seed]).random(scene.canaries) < 0.5


def _groups(scene: Scene) -> NDArray[np.str_]:
    coins = _coins(scene)
    sizes = {
        Group.FORGET: scene.forget,
        Group.RETAIN: scene.retain,
        Group.TEST: scene.test,
        Group.CALIBRATION: scene.calibration,
        Group.EVALUATION: scene.evaluation,
        Group.CANARY_INCLUDED: int(coins.sum()),
        Group.CANARY_EXCLUDED: int((~coins).sum()),
        Group.FORGOTTEN_BEFORE: scene.forgotten_before,
    }
    return np.repeat([group.value for group in sizes], list(sizes.values()))


def _subjects(group: NDArray[np.str_], each: int) -> Integers:
    first = {name: int(np.flatnonzero(group == name)[0]) for name in np.unique(group)}
    starts = np.array([first[name] for name in group], dtype=np.int64)
    subjects: Integers = starts + (np.arange(len(group)) - starts) // each
    return subjects


def _memories(scene: Scene) -> Mapping[Role, float]:
    memories = {Role.ORIGINAL: scene.original}
    if scene.pre_unlearned is not None:
        memories[Role.PRE_UNLEARNED] = scene.pre_unlearned
    return memories | {Role.CANDIDATE: scene.candidate, Role.RELEARNED: scene.relearned}


def _remembered(scene: Scene, group: NDArray[np.str_], role: Role, memory: float) -> Floats:
    remembered = np.zeros(len(group))
    remembered[(group == Group.FORGET.value) | (group == Group.CANARY_INCLUDED.value)] = memory
    remembered[group == Group.RETAIN.value] = scene.retain_memory
    remembered[group == Group.CALIBRATION.value] = scene.calibration_shift
    if role is not Role.ORIGINAL:
        remembered[group == Group.FORGOTTEN_BEFORE.value] = scene.forgotten_before_memory
    return remembered


def _facts(scene: Scene, roles: tuple[Role, ...]) -> Facts:
    return Facts(
        plan=plan_of(scene).digest,
        digests={role: DIGESTS[role] for role in roles},
        names={role: NAMES[role] for role in roles},
        seconds={role: 0.0 if role is Role.ORIGINAL else 12.5 for role in roles},
        chosen_t=0.8125 if scene.pre_unlearned is not None else None,
        weight_change=WeightChange(changed_elements=500, total_elements=1000, relative_l2=0.0625),
        batchnorm=BatchNormSource.REPRODUCED,
        shared_rows=0,
        counts=_counts(scene),
        references=References(train_accuracy=0.99, validation_accuracy=0.9),
        duplicates=Duplicates(exact=0, near=1, searched=scene.forget, method="cosine of pixels"),
        relearning=(
            RelearningPoint(epochs=0.5, forget_accuracy=0.85, auc=0.5),
            RelearningPoint(epochs=1.0, forget_accuracy=0.85, auc=0.5),
        ),
        pathway=None,
        phase_seconds={"pathway": 10.0, "score": 2.5},
        started_at=STARTED_AT,
        environment=Environment(
            versions={"torch": "2.9"}, device="cpu", processor="x86_64 AVX2", threads=2, precision="float32"
        ),
    )


def _counts(scene: Scene) -> Counts:
    return Counts(
        train=scene.forget + 10 * scene.retain,
        forget=scene.forget,
        retain=10 * scene.retain,
        forgotten_before=scene.forgotten_before,
        held=0,
        validation=scene.test,
        test=scene.test,
        sealed=scene.calibration + scene.evaluation,
        sealed_matched=scene.evaluation,
    )
