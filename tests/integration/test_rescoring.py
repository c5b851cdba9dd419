"""Level 3 of verification: what a worker could get past every other check, scored once more where the data are.

Every bundle here is signed by the service itself and passes levels 0 to 2.
"""

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mcu_core import checkpoint, models
from mcu_core.report import Group, Role
from mcu_core.statistics.scores import ScoreTable
from mcu_core.types import Outcome as Made
from mcu_core.types import State
from service.domain.release import weights_key
from service.domain.run import WorkOrder
from service.pixel_files import PixelCache
from service.ports import manifest_key
from service.worker.posing import PosedRun
from tests.attempts import Attempt
from tests.memorised_digits import ARCHITECTURE, MemorisedDigits, build
from tests.mutations import one_bit, with_digest
from tests.records import LINEAGE
from tests.rescoring import Published, publish, with_facts
from tests.workers import Worker, real, score


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> MemorisedDigits:
    torch.set_num_threads(1)
    return build(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def honest(digits: MemorisedDigits, tmp_path_factory: pytest.TempPathFactory) -> Published:
    home = tmp_path_factory.mktemp("honest")
    return publish(home, digits, real(PixelCache(root=home / "cache" / "decoded")))


@pytest.fixture
def copied(honest: Published, tmp_path: Path) -> Published:
    """Return the same data directory in another place, to be damaged."""
    return replace(honest, home=shutil.copytree(honest.home, tmp_path / "data", symlinks=True))


def outcomes(checks: dict[str, dict[str, str]], outcome: str) -> list[str]:
    return [name for name, check in checks.items() if check["outcome"] == outcome]


def test_an_honest_audit_is_scored_once_more_to_the_same_verdict(honest: Published) -> None:
    checks = honest.verify()
    assert outcomes(checks, "failed") == []
    assert outcomes(checks, "not asked") == ["digest.weights", "scores.pre_unlearned", "scores.references"]
    assert "bit for bit" in checks["scores.relearned"]["text"]
    assert "ACCEPT" in checks["gate.rescored"]["text"]


def test_nothing_of_what_was_decoded_stays(honest: Published) -> None:
    honest.verify()
    kept = {path for path in (honest.home / "cache").rglob("*") if path.is_file()}
    assert not any(path.parent.name.startswith(".rescored-") for path in kept)
    honest.verify()
    assert {path for path in (honest.home / "cache").rglob("*") if path.is_file()} == kept


# A worker that offers one model and scores another


def offering_the_original(retrained: State, pixels: PixelCache) -> Attempt:
    """Return an attempt that offers the original but for one bit, and says of it what the retrained model answers."""

    def lie(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
        return with_digest(score(order, posed, made.with_candidate(retrained)), Role.CANDIDATE, made.candidate.state)

    return Worker(decoded=pixels, unlearn=one_bit, score=lie)


def test_scores_of_another_model_than_the_published_one_are_found_out(
    honest: Published, digits: MemorisedDigits, tmp_path: Path
) -> None:
    content = honest.objects.read(weights_key(LINEAGE, 2))
    digest = honest.scores.facts.digests[Role.CANDIDATE]
    retrained = checkpoint.load(content, models.build(ARCHITECTURE), expected_digest=digest)
    forged = publish(tmp_path, digits, offering_the_original(retrained, PixelCache(root=tmp_path / "decoded")))

    checks = forged.verify(code=1)

    failed = outcomes(checks, "failed")
    assert failed == ["scores.candidate", "scores.relearned", "facts.recomputed", "gate.rescored"]
    assert "scores of another model" in checks["scores.candidate"]["text"]
    assert "say REJECT" in checks["gate.rescored"]["text"]


# A worker that scores something else under the right names


def shuffled_labels(table: ScoreTable) -> ScoreTable:
    labels, rows = table.label.copy(), table.rows(Group.EVALUATION)
    labels[rows] = np.roll(labels[rows], 1)
    return replace(table, label=labels)


def other_samples(table: ScoreTable) -> ScoreTable:
    """Unseen samples of the same classes in D_f's place, whatever can be."""
    forget, taken = table.rows(Group.FORGET), []
    unseen = list(table.rows(Group.TEST))
    for row in forget:
        taken.append(next(place for place in unseen if table.label[place] == table.label[row]))
        unseen.remove(taken[-1])
    places = np.arange(len(table.label))
    places[forget] = taken
    scores = {
        role: replace(part, **{field.name: getattr(part, field.name)[places] for field in fields(part)})
        for role, part in table.models.items()
    }
    return replace(table, models=scores, blind=table.blind[places])


def some_left_out(table: ScoreTable) -> ScoreTable:
    kept = np.sort(np.setdiff1d(np.arange(len(table.label)), table.rows(Group.TEST)[:40]))
    scores = {
        role: replace(part, **{field.name: getattr(part, field.name)[kept] for field in fields(part)})
        for role, part in table.models.items()
    }
    columns = {name: getattr(table, name)[kept] for name in ("group", "label", "subject", "blind")}
    return replace(table, models=scores, **columns)


def a_person_for_each(table: ScoreTable) -> ScoreTable:
    return replace(table, subject=np.roll(table.subject, 1))


def louder_original(table: ScoreTable) -> ScoreTable:
    phi = table.models[Role.ORIGINAL].phi.copy()
    phi[table.rows(Group.FORGET)] += 0.5
    return replace(table, models={**table.models, Role.ORIGINAL: replace(table.models[Role.ORIGINAL], phi=phi)})


def not_relearned(table: ScoreTable) -> ScoreTable:
    return replace(table, models={**table.models, Role.RELEARNED: table.models[Role.CANDIDATE]})


def fewer_copies(table: ScoreTable) -> ScoreTable:
    return with_facts(table, duplicates=table.facts.duplicates.model_copy(update={"exact": 3}))


def smaller_d_r(table: ScoreTable) -> ScoreTable:
    return with_facts(table, counts=table.facts.counts.model_copy(update={"retain": 10}))


def flat_relearning(table: ScoreTable) -> ScoreTable:
    first, *others = table.facts.relearning
    return with_facts(table, relearning=(first, *(each.model_copy(update={"auc": 0.3}) for each in others)))


LIES: dict[str, tuple[Callable[[ScoreTable], ScoreTable], str, str]] = {
    "shuffled labels": (shuffled_labels, "scores.samples", "other labels"),
    "other samples": (other_samples, "scores.samples", "other images"),
    "samples left out": (some_left_out, "scores.samples", "samples were scored, not the"),
    "other people": (a_person_for_each, "scores.samples", "other people"),
    "an original that remembers more": (louder_original, "scores.original", "original.phi is another one in 120 of"),
    "no relearning": (not_relearned, "scores.relearned", "not the candidate relearned"),
    "copies that there are not": (fewer_copies, "facts.recomputed", "3 copies"),
    "another size of D_r": (smaller_d_r, "facts.recomputed", "facts.counts.retain is 10"),
    "a relearning curve that stays low": (flat_relearning, "facts.recomputed", "relearning curve differs"),
}


@pytest.mark.parametrize(("lie", "check", "says"), LIES.values(), ids=LIES)
def test_what_was_not_measured_is_found_out_at_its_check(
    honest: Published, lie: Callable[[ScoreTable], ScoreTable], check: str, says: str
) -> None:
    checks = honest.verify(members=honest.claiming(lie(honest.scores)), code=1)

    failed = outcomes(checks, "failed")
    assert failed[0] == check, checks
    assert says in checks[check]["text"]
    assert [name for name in failed if checks[name]["level"] < 3] == []


# What is missing


def test_missing_weights_are_named_together_and_nothing_else_is_said(copied: Published) -> None:
    for number in (1, 2):
        copied.objects.delete(weights_key(LINEAGE, number))

    checks = copied.verify(code=1)

    text = checks["premises"]["text"]
    assert "the weights of the original (release 1) and the weights of the candidate (release 2)" in text
    assert "see premises" in checks["gate.rescored"]["text"]
    assert [name for name in outcomes(checks, "failed") if checks[name]["level"] < 3] == []


def test_weights_that_somebody_kept_stand_in_and_are_checked(copied: Published, digits: MemorisedDigits) -> None:
    kept = copied.home / "candidate.safetensors"
    kept.write_bytes(copied.objects.read(weights_key(LINEAGE, 2)))
    for number in (1, 2):
        copied.objects.delete(weights_key(LINEAGE, number))
    original = ("--original", str(digits.weights))

    assert outcomes(copied.verify(*original, "--weights", str(kept)), "failed") == []
    checks = copied.verify("--original", str(kept), "--weights", str(kept), code=1)
    assert "not those of the plan" in checks["premises"]["text"]
    checks = copied.verify(*original, "--weights", str(digits.weights), code=1)
    assert "not those that were audited" in checks["premises"]["text"]


def test_a_manifest_that_is_gone_or_another_one_is_told(copied: Published) -> None:
    key = manifest_key(copied.order.spec.manifest_digest)
    objects = copied.objects
    objects.overwrite(key, b"another manifest")
    assert "The stored manifest has SHA-256" in copied.verify(code=1)["premises"]["text"]
    objects.delete(key)
    assert "no longer has the manifest" in copied.verify(code=1)["premises"]["text"]


def test_another_commitment_key_is_told(copied: Published) -> None:
    (copied.home / "commitment.key").write_text("ff" * 32)
    assert "commitment key was replaced" in copied.verify(code=1)["premises"]["text"]


def test_where_no_service_has_worked_nothing_can_be_checked(copied: Published) -> None:
    (copied.home / "store.db").unlink()
    assert "has no store.db: give UNLEARN_DATA_DIR" in copied.verify(code=2)["message"]
