"""SCORE against a plain evaluation of the same images on the same models.

The evaluation counts right answers, one model after the other. SCORE asks the same models about the same images; D_r
is so small that relearning and the search for duplicates, which are no part of the comparison, take next to nothing,
and yet they are counted.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks import measure
from benchmarks.subjects import random_images
from mcu_core import models
from mcu_core.audit.relearning import relearn
from mcu_core.audit.score import Origin, score
from mcu_core.config import ArchitectureConfig, Precision, UnlearningConfig, default_ladder
from mcu_core.images import ImageData, SealedSamples, seal
from mcu_core.inference import accuracy
from mcu_core.report import ModelName, References
from mcu_core.report.plan import AuditPlan, Signal
from mcu_core.runtime import runtime_of, stream
from mcu_core.types import Candidate, Outcome, PreUnlearned, Problem, State

PARTS = (256, 64, 64, 512, 128, 512)
"""Images of D_f, D_r, D_v, D_t, C_cal, C_eval."""
TARGET = 1.2
"""Most that SCORE may take, over the evaluation."""
CONFIG = UnlearningConfig(ladder=default_ladder(None), precision=Precision.FLOAT32)
DIGEST = "0" * 64


def build(network: str, parts: Sequence[int] = PARTS) -> tuple[Problem, SealedSamples, Outcome]:
    """Build a problem over random images, with models that were never trained."""
    architecture = ArchitectureConfig(name=network, classes=10, image_size=32, mean=(0.5,) * 3, std=(0.25,) * 3)
    rng = torch.Generator().manual_seed(0)
    count = sum(parts)
    whole = ImageData(images=random_images(count, rng), labels=torch.randint(0, 10, (count,), generator=rng))
    forget, retain, validation, test, calibration, evaluation = torch.split(torch.arange(count), list(parts))
    data, sealed = seal(whole, calibration=calibration, evaluation=evaluation)
    model = models.build(architecture)
    problem = Problem(
        model=model,
        architecture=architecture,
        original=models.state_of(model),
        data=data,
        forget=forget,
        retain=retain,
        validation=validation,
        test=test,
    )
    outcome = Outcome(
        name=ModelName.MCU_BETA,
        candidate=Candidate(t=0.9, state=_fresh(architecture)),
        references=References(train_accuracy=1.0, validation_accuracy=0.9),
        seconds={},
        pre_unlearned=PreUnlearned(name=ModelName.NEGGRAD_PLUS, state=_fresh(architecture)),
    )
    return problem, sealed, outcome


def _fresh(architecture: ArchitectureConfig) -> State:
    return models.state_of(models.build(architecture))


def plan_of(forget: int) -> AuditPlan:
    """Return a plan whose sample of D_r is all of it."""
    return AuditPlan(
        run_id="benchmark",
        lineage="benchmark",
        attempt=1,
        rung=0,
        audits_before=0,
        base_model=DIGEST,
        manifest=DIGEST,
        resolution=DIGEST,
        policy=DIGEST,
        spec=DIGEST,
        forget_count=forget,
        forget_root=DIGEST,
        split_commitment=DIGEST,
        primary_signal=Signal.PHI,
        seed=0,
        tail_level=0.05,
        confidence=0.95,
        retain_images=2048,
        svc_samples=2000,
        created_at=0,
    )


def compare(network: str, *, rounds: int, parts: Sequence[int] = PARTS) -> measure.Json:
    """Time both in turn.

    Args:
        network: its name.
        rounds: that are timed.
        parts: numbers of images, as `PARTS`.

    Returns:
        Ratios to the evaluation, and the timings.
    """
    problem, sealed, outcome = build(network, parts)
    plan = plan_of(len(problem.forget))
    runtime = runtime_of(problem, CONFIG)
    relearned = relearn(runtime, outcome.candidate.state, problem.retain, stream(plan.seed, "audit relearning"))
    runtime = replace(runtime, reader=replace(runtime.reader, data=sealed.open()))
    end = outcome.pre_unlearned
    asked = [problem.original, *([] if end is None else [end.state]), outcome.candidate.state, relearned[-1].state]
    everything = torch.cat([problem.forget, problem.retain, problem.test, sealed.calibration, sealed.evaluation])
    compared = torch.cat([problem.forget, sealed.evaluation])

    def evaluate() -> None:
        for state in asked:
            accuracy(runtime, state, everything)
        for mark in relearned[:-1]:
            accuracy(runtime, mark.state, compared)

    timings = measure.interleave(
        {
            "evaluation": evaluate,
            "score": lambda: score(problem, sealed, outcome, plan, config=CONFIG, origin=Origin(started_at=0)),
        },
        rounds=rounds,
        warm_up=1,
    )
    return {
        "threads": torch.get_num_threads(),
        "images": len(everything),
        "target": TARGET,
        "ratios_to_evaluation": measure.ratios(timings, "evaluation"),
        "timings": measure.as_json(timings),
    }


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=5)
    parser.add_argument("--network", default="preresnet20")
    options = parser.parse_args()
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        rows.append(compare(options.network, rounds=options.rounds))
    measure.write("score_time", {"network": options.network, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
