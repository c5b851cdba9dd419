"""Every code of a report has words, and none claims more than its code."""

import pytest

from mcu_core.report.evidence import BatchNormSource, Group, Role
from mcu_core.report.judgement import Claim, Judgement, ReasonCode, Stage, Verdict
from mcu_core.report.parts import ModelName
from mcu_core.report.plan import Signal
from service.report_page import words
from tests.judged_reports import REPORTS, SINGLE


def test_every_code_has_words() -> None:
    for names, codes in (
        (words.HEADLINES, Verdict),
        (words.CONSEQUENCES, Verdict),
        (words.SHORT, Verdict),
        (words.SIGNS, Verdict),
        (words.MODELS, ModelName),
        (words.ROLES, Role),
        (words.GROUPS, Group),
        (words.SIGNALS, Signal),
        (words.STAGES, Stage),
        (words.BATCHNORM, BatchNormSource),
    ):
        assert set(names) == set(codes)


@pytest.mark.parametrize("verdict", Verdict)
def test_only_what_is_accepted_may_be_published(verdict: Verdict) -> None:
    assert ("may be published" in words.CONSEQUENCES[verdict]) == verdict.accepts


@pytest.mark.parametrize("claim", Claim)
def test_each_claim_has_a_sentence_of_its_own(claim: Claim) -> None:
    judgement = REPORTS[Verdict.ACCEPT_POWERED].judgement
    said = {other: words.claim(judgement.model_copy(update={"claim": other})) for other in Claim}

    assert len(set(said.values())) == len(Claim)
    assert said[claim].endswith(".")


def test_equivalence_is_claimed_with_its_margin() -> None:
    assert "give or take 5.0 percentage points." in words.claim(REPORTS[Verdict.ACCEPT_POWERED].judgement)


def rejected_for(*codes: ReasonCode) -> Judgement:
    judgement = REPORTS[Verdict.REJECT].judgement
    reasons = tuple(judgement.reasons[0].model_copy(update={"code": code}) for code in codes)
    return judgement.model_copy(update={"reasons": reasons})


def test_a_rejection_says_what_was_found() -> None:
    assert "recognises" in words.headline(rejected_for(ReasonCode.AUC_ABOVE))
    assert "stand out" in words.headline(rejected_for(ReasonCode.LOWER_TAIL_FULL))
    lost = words.headline(rejected_for(ReasonCode.TEST_ACCURACY_LOST))
    assert "accuracy" in lost
    assert "recognises" not in lost


def test_every_code_that_rejects_is_said() -> None:
    rejecting = [*ReasonCode][[*ReasonCode].index(ReasonCode.AUC_ABOVE) :][:9]

    assert rejecting[-1] is ReasonCode.EARLIER_FORGOTTEN_CAME_BACK
    for code in rejecting:
        assert words.headline(rejected_for(code)) != words.HEADLINES[Verdict.REJECT]


def test_a_result_without_a_name_of_its_own_is_shown_as_it_is() -> None:
    assert words.result("tpr.0.01") == "tpr 0 01"
    assert words.result("auc") == "AUC: deleted against unseen"


def test_nothing_is_claimed_of_a_group_where_one_sample_is_deleted() -> None:
    assert SINGLE.judgement.claim is not Claim.EQUIVALENT_WITHIN
