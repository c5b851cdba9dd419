"""What the tables compare: UA, RA, TA, MIA as the literature has them, and the audit's own AUC and tails."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.audit.accuracy import label_probability, right_answers
from mcu_core.audit.membership import label_logit
from mcu_core.data import match_classes, subsample
from mcu_core.experiments.cells import Metrics
from mcu_core.experiments.setup import Split
from mcu_core.inference import accuracy, logits
from mcu_core.report import AucEstimate, TailTest
from mcu_core.runtime import Runtime, stream
from mcu_core.statistics.auc import auc
from mcu_core.statistics.svc import svc_attack
from mcu_core.statistics.tails import both_tails
from mcu_core.types import State

RETAIN_IMAGES = 4096
"""Of D_r (seeded sample) that RA is measured on: a tenth of a point of deviation at RA .995."""
SEALED_IMAGES = 4096
"""Most non-members that D_f is compared with: from there on D_f's own size decides how sharp the AUC is."""
SVC_SAMPLES = 2000
"""Most members and non-members, each, that the SVC attack is fitted on."""
CONFIDENCE = 0.95
"""Level of the AUC's interval."""
TAIL_LEVEL = 0.01
"""Share of the non-members beyond each tail's threshold."""
TAIL_FORGET, TAIL_NONMEMBERS = 100, 2000
"""Samples on either side from which on the share of a 1 % tail is shown: of fewer, none is what one expects to see."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredRows:
    """What every model of one experiment is measured on: int64 positions."""

    forget: Tensor
    retain: Tensor
    test: Tensor
    class_test: Tensor
    sealed: Tensor
    """As D_f in its class proportions."""
    members: Tensor
    """Positions in `retain`."""
    nonmembers: Tensor
    """Positions in `test`, as many."""


def draw_measured_rows(labels: Tensor, split: Split, seed: int) -> MeasuredRows:
    """Draw what the models of one experiment are measured on.

    Args:
        labels: int64 `[N]`, of all samples.
        split: who is who.
        seed: of the draws; the same for every model that is compared.

    Raises:
        DataError: a class of D_f has no sealed sample.
    """
    rng = stream(seed, "measure")
    retain = subsample(split.retain, RETAIN_IMAGES, rng)
    each = min(SVC_SAMPLES, len(retain), len(split.test))
    matched = match_classes(labels, split.sealed, labels[split.forget], rng)
    return MeasuredRows(
        forget=split.forget,
        retain=retain,
        test=split.test,
        class_test=split.class_test,
        sealed=subsample(matched, SEALED_IMAGES, rng),
        members=subsample(torch.arange(len(retain)), each, rng),
        nonmembers=subsample(torch.arange(len(split.test)), each, rng),
    )


def measure(runtime: Runtime, state: State, rows: MeasuredRows) -> Metrics:
    """Measure one model.

    Logits are computed in float32 whatever the experiment's precision.

    Args:
        runtime: network, samples, device.
        state: of the model.
        rows: what it is measured on.

    Returns:
        Rates as fractions. MIA is the SVC's `nonmember_share` on D_f.

    Raises:
        DivergedError: an output is not finite.
    """
    precise = runtime.in_float32()
    right, confidence, score = {}, {}, {}
    parts = {"forget": rows.forget, "retain": rows.retain, "test": rows.test, "sealed": rows.sealed}
    for name, positions in parts.items():
        outputs, labels = logits(precise, state, positions), runtime.reader.data.labels[positions]
        right[name] = right_answers(outputs, labels)
        confidence[name] = label_probability(outputs, labels)
        score[name] = label_logit(outputs, labels)
    has_class = len(rows.class_test) > 0
    return Metrics(
        unlearning=1.0 - float(right["forget"].mean()),
        class_unlearning=1.0 - accuracy(precise, state, rows.class_test) if has_class else None,
        retain=float(right["retain"].mean()),
        test=float(right["test"].mean()),
        membership=svc_attack(
            members=confidence["retain"][rows.members.numpy()],
            nonmembers=confidence["test"][rows.nonmembers.numpy()],
            forget=confidence["forget"],
            sealed=confidence["sealed"],
        ),
        auc=auc(score["forget"], score["sealed"], confidence=CONFIDENCE),
        tails=both_tails(score["forget"], score["sealed"], level=TAIL_LEVEL),
    )


def tail_is_estimable(tail: TailTest, of: AucEstimate) -> bool:
    """Return whether the share of D_f in a tail means anything.

    Args:
        tail: of some score.
        of: the AUC of the same scores, which tells how many non-members set the threshold.
    """
    return tail.forget_count >= TAIL_FORGET and of.nonmember_count >= TAIL_NONMEMBERS


def compared(metrics: Metrics) -> dict[str, float]:
    """Return the metrics that Avg. Gap is made of, by the paper's names."""
    with_class = {} if metrics.class_unlearning is None else {"UA_test": metrics.class_unlearning}
    return {
        "UA": metrics.unlearning,
        **with_class,
        "RA": metrics.retain,
        "TA": metrics.test,
        "MIA": metrics.membership.nonmember_share,
    }


def average_gap(metrics: Metrics, retrained: Metrics) -> float:
    """Return the paper's Avg. Gap to the retrained model of the same experiment.

    mean over m of |m - m_RT|, m in UA, RA, TA, MIA, and UA_test where a class is forgotten

    Args:
        metrics: of an unlearned model.
        retrained: of the model that was retrained on the same D_r.

    Returns:
        A fraction.

    Source: arXiv 2505.10859, captions of tables 1 to 3.
    """
    truth = compared(retrained)
    gaps = [abs(value - truth[name]) for name, value in compared(metrics).items()]
    return sum(gaps) / len(gaps)
