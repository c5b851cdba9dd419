from dataclasses import replace

import pytest
import torch

from mcu_core import checkpoint
from mcu_core.audit.assemble import measure
from mcu_core.audit.facts import Excluded
from mcu_core.config import Precision
from mcu_core.errors import DataError
from mcu_core.gate import GatePolicy, judge
from mcu_core.images import SealedSamples
from mcu_core.inference import accuracy
from mcu_core.methods import unlearn
from mcu_core.report import Measurements, ModelName, ReasonCode, References, Verdict
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Candidate, Outcome, PreUnlearned, Problem, ProgressUpdate, State
from tests.cases import RECIPE, tiny_config, tiny_runtime, tiny_sealed

REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.9)
POLICY = GatePolicy(
    version="test",
    alpha=0.05,
    alpha_decay=0.5,
    auc_margin=0.1,
    auc_margin_share_of_original=0.5,
    tail_level=0.05,
    test_accuracy_loss_margin=0.2,
)


@pytest.fixture(scope="module")
def retrained(problem: Problem) -> State:
    return unlearn(problem, RECIPE, stream(3, "test"), runtime=tiny_runtime(problem.data))


def outcome(state: State, name: ModelName = ModelName.RETRAINED) -> Outcome:
    return Outcome(
        name=name,
        candidate=Candidate(t=None, state=state),
        references=REFERENCES,
        seconds={"pre_unlearn": 2.0, "curve": 3.0},
    )


def measured(problem: Problem, result: Outcome, sealed: SealedSamples | None = None) -> Measurements:
    return measure(problem, sealed or tiny_sealed(), result, tiny_config(), 0, tail_level=POLICY.tail_level)


def test_rows_run_from_the_original_to_the_candidate(problem: Problem, retrained: State) -> None:
    result = replace(
        outcome(retrained, ModelName.MCU_BETA),
        pre_unlearned=PreUnlearned(name=ModelName.NEGGRAD_PLUS, state=retrained),
    )
    rows = measured(problem, result).models
    assert [row.name for row in rows] == [ModelName.ORIGINAL, ModelName.NEGGRAD_PLUS, ModelName.MCU_BETA]
    assert [row.seconds for row in rows] == [0.0, 2.0, 5.0]
    assert rows[0].digest == checkpoint.digest(problem.original)
    assert rows[2].digest == checkpoint.digest(retrained)


def test_the_original_submitted_as_candidate_is_not_accepted(problem: Problem) -> None:
    judgement = judge(measured(problem, outcome(problem.original)), POLICY, attempt=0)
    assert judgement.verdict is Verdict.INVALID
    assert [reason.code for reason in judgement.reasons] == [ReasonCode.WEIGHTS_UNCHANGED]


def test_the_original_with_a_changed_bit_is_rejected_for_its_membership(problem: Problem) -> None:
    params = {name: tensor * (1.0 + 1e-6) for name, tensor in problem.original.params.items()}
    same = State(params=params, buffers=problem.original.buffers)
    judgement = judge(measured(problem, outcome(same)), POLICY, attempt=0)
    assert judgement.verdict is Verdict.REJECT
    assert ReasonCode.AUC_ABOVE_MARGIN in {reason.code for reason in judgement.reasons}


def test_measurements_survive_json_and_repeat(problem: Problem, retrained: State) -> None:
    first, again = (measured(problem, outcome(retrained)) for _ in range(2))
    assert Measurements.model_validate_json(first.model_dump_json()) == first
    assert first.model_copy(update={"seconds": {}}) == again.model_copy(update={"seconds": {}})


def test_the_audit_does_not_depend_on_the_precision_of_the_run(problem: Problem, retrained: State) -> None:
    exact, half = (
        measure(
            problem,
            tiny_sealed(),
            outcome(retrained),
            tiny_config().model_copy(update={"precision": precision}),
            0,
            tail_level=0.05,
        )
        for precision in (Precision.FLOAT32, Precision.BFLOAT16)
    )
    assert exact.models == half.models
    assert (exact.environment.precision, half.environment.precision) == ("float32", "bfloat16")


def test_accuracies_are_those_of_the_models(problem: Problem, runtime: Runtime, retrained: State) -> None:
    row = measured(problem, outcome(retrained)).candidate
    assert row.unlearning_accuracy.value == pytest.approx(1.0 - accuracy(runtime, retrained, problem.forget))
    assert row.test_accuracy.value == pytest.approx(accuracy(runtime, retrained, problem.test))


def test_the_sealed_samples_are_matched_to_the_classes_of_d_f(problem: Problem, retrained: State) -> None:
    counts = measured(problem, outcome(retrained)).counts
    labels = problem.data.labels
    forget = torch.bincount(labels[problem.forget], minlength=3)
    sealed = torch.bincount(labels[tiny_sealed().evaluation], minlength=3)
    scale = min((sealed / forget).tolist())
    assert counts.sealed == len(tiny_sealed().evaluation)
    assert counts.sealed_matched == sum(int(scale * count + 1e-6) for count in forget.tolist())


def test_samples_left_out_are_counted(problem: Problem, retrained: State) -> None:
    counts = measure(
        problem,
        tiny_sealed(),
        outcome(retrained),
        tiny_config(),
        0,
        tail_level=0.05,
        excluded=Excluded(forgotten_before=5, held=2),
    ).counts
    assert counts.train == counts.forget + counts.retain + 7
    assert (counts.forgotten_before, counts.held) == (5, 2)


def test_sealed_samples_that_the_run_used_are_refused(problem: Problem, retrained: State) -> None:
    with pytest.raises(DataError, match="1 sealed samples are also used"):
        measured(problem, outcome(retrained), replace(tiny_sealed(), evaluation=problem.validation[:1]))


def test_the_change_of_the_weights_is_measured(problem: Problem) -> None:
    params = dict(problem.original.params)
    params["head.bias"] = params["head.bias"] + 1.0
    change = measured(problem, outcome(State(params=params, buffers=problem.original.buffers))).weight_change
    assert change.changed_elements == 3
    assert change.total_elements == sum(tensor.numel() for tensor in params.values())
    assert change.relative_l2 > 0.0


def test_progress_covers_every_part_of_every_model(problem: Problem, retrained: State) -> None:
    seen: list[ProgressUpdate] = []
    measure(problem, tiny_sealed(), outcome(retrained), tiny_config(), 0, tail_level=0.05, progress=seen.append)
    assert [(update.epoch, update.step) for update in seen] == [(m, p) for m in range(2) for p in (1, 2, 3, 4)]
