"""Receipts prove a submitter's samples to be in a run, and name nobody's."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.commitment import CommitmentKey
from service.domain.receipt import Inclusion, forgotten_set, inclusion_of, unproven
from tests.records import a_release, digest_of

KEY, OTHER_KEY = CommitmentKey(b"k" * 32), CommitmentKey(b"o" * 32)
RUN = "run-1"
RELEASE = replace(a_release(2), report_digest=digest_of("report"), run_id=RUN)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
ALL = tuple(f"sample-{number}" for number in range(11))
OWN = ("sample-3", "sample-7", "sample-10")


def an_inclusion(own: tuple[str, ...] = OWN, everything: tuple[str, ...] = ALL) -> Inclusion:
    return inclusion_of(KEY, forgotten_set(KEY, RUN, everything), RELEASE, dict(enumerate(own)))


@given(st.lists(names, min_size=1, max_size=12, unique=True), st.data())
def test_every_sample_of_a_request_is_proven_and_no_other(everything: list[str], data: st.DataObject) -> None:
    own = data.draw(st.lists(st.sampled_from(everything), min_size=1, unique=True))
    inclusion = an_inclusion(tuple(own), tuple(everything))
    asked = data.draw(st.permutations(everything))

    wrong = unproven(inclusion, asked)

    assert {asked[position] for position in wrong} == set(everything) - set(own)


def test_one_person_of_a_request_can_check_alone() -> None:
    assert unproven(an_inclusion(), OWN[1:2]) == ()


def test_a_receipt_names_no_sample() -> None:
    text = an_inclusion().model_dump_json()

    assert not any(sample_id in text for sample_id in ALL)


def test_the_root_says_which_run_and_which_samples() -> None:
    root = forgotten_set(KEY, RUN, ALL).root

    assert forgotten_set(KEY, RUN, reversed(ALL)).root == root == an_inclusion().root
    others = [(KEY, "run-2", ALL), (KEY, RUN, ALL[1:]), (OTHER_KEY, RUN, ALL)]
    assert all(forgotten_set(*other).root != root for other in others)


def test_salts_of_two_runs_cannot_be_compared() -> None:
    assert (
        KEY.leaf_salt("run-1", "sample") != KEY.leaf_salt("run-2", "sample") != OTHER_KEY.leaf_salt("run-2", "sample")
    )


def test_a_sample_that_the_run_did_not_forget_cannot_be_proven() -> None:
    with pytest.raises(RuntimeError, match="no such leaf"):
        an_inclusion(own=("somebody-else",))


@pytest.mark.parametrize("change", [{"root": digest_of("other")}, {"size": 12}, {"size": 5}])
def test_a_proof_holds_for_its_own_tree_only(change: dict[str, object]) -> None:
    inclusion = an_inclusion(ALL)

    assert unproven(inclusion, ALL) == ()
    assert unproven(inclusion.model_copy(update=change), ALL)
