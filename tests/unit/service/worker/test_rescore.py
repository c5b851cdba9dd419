"""Scoring once more gives what the job wrote, and reads neither more nor less than the job."""

from dataclasses import replace
from pathlib import Path

import pytest

from mcu_core.report import Role
from mcu_core.statistics.scores import ScoreTable
from service import resolution_file
from service.domain.references import ReferenceTaint, families_folder, taint_key
from service.domain.run import resolution_key
from service.errors import ManifestDigestMismatchError
from service.ports import manifest_key
from service.premises import Premises
from service.verification.checks import CheckFailedError, NotAskedError
from service.verification.score_comparison import (
    compare_facts,
    compare_pre_unlearned,
    compare_references,
    compare_relearned,
    compare_samples,
    compare_scores,
)
from service.worker.rescore import Rescorer
from tests.audits import RUNG
from tests.cases import tiny_config
from tests.records import LINEAGE, NOW
from tests.unit.service.worker.test_job import BASE, Job, a_job


def rescored(job: Job, told: list[str] | None = None) -> ScoreTable:
    resolution = resolution_file.decode(job.objects.read(resolution_key(job.run.run_id)))
    candidate = job.read("candidate.safetensors")
    premises = Premises(order=job.order, resolution=resolution, original=BASE, candidate=candidate)
    notes = [] if told is None else told
    rescorer = Rescorer(
        objects=job.objects, folder=job.folder / "cache", told=lambda what, _done, _total: notes.append(what), threads=1
    )
    return rescorer.rescore(premises, job.report)


def worked(folder: Path, **kind: object) -> Job:
    job = a_job(folder, **kind)  # type: ignore[arg-type]  # passed on
    assert job.work() is None
    return job


@pytest.fixture(scope="module")
def pathway(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Return a job whose candidate lies on a pathway, with references, canaries and earlier deletions."""
    config = tiny_config().model_copy(update={"ladder": (RUNG,)})
    return worked(tmp_path_factory.mktemp("pathway"), config=config, references=True)


def require_same(stated: ScoreTable, computed: ScoreTable) -> None:
    compare_samples(stated, computed)
    for role in (Role.ORIGINAL, Role.CANDIDATE):
        compare_scores(stated, computed, role)
    compare_relearned(stated, computed)
    compare_facts(stated, computed)


def test_a_candidate_of_a_pathway_is_scored_to_the_same(pathway: Job) -> None:
    told: list[str] = []
    computed = rescored(pathway, told)
    require_same(pathway.scores, computed)
    compare_references(pathway.scores, computed, planned=True)
    with pytest.raises(NotAskedError, match="purged with the run"):
        compare_pre_unlearned(pathway.scores)
    assert {"decode", "score"} == set(told)


def test_nothing_is_left_in_the_folder_and_nothing_decoded_comes_back(pathway: Job) -> None:
    pixels = sorted((pathway.folder / "pixels").rglob("*"))
    rescored(pathway)
    assert [path.name for path in (pathway.folder / "cache").iterdir()] == [".rescored-lock"]
    assert sorted((pathway.folder / "pixels").rglob("*")) == pixels


def test_references_that_the_release_tainted_still_tell_what_they_told(pathway: Job) -> None:
    (folder,) = {key.rpartition("/")[0] for key in pathway.objects.keys(families_folder(LINEAGE))}
    pathway.objects.create(taint_key(folder), ReferenceTaint(release=2, tainted_at=NOW, purge_by=NOW).to_bytes())
    compare_references(pathway.scores, rescored(pathway), planned=True)


def test_references_of_another_family_are_found_out(pathway: Job) -> None:
    computed = rescored(pathway)
    assert computed.references is not None
    phi = computed.references.phi + 0.2
    stated = replace(pathway.scores, references=replace(computed.references, phi=phi))
    with pytest.raises(CheckFailedError, match=r"reference\.phi is another one in"):
        compare_references(stated, computed, planned=True)


def test_purged_references_are_not_asked_and_all_else_is(tmp_path: Path) -> None:
    job = worked(tmp_path, references=True)
    for key in list(job.objects.keys(families_folder(LINEAGE))):
        job.objects.delete(key)
    computed = rescored(job)
    require_same(job.scores, computed)
    with pytest.raises(NotAskedError, match="The references were purged"):
        compare_references(job.scores, computed, planned=True)


def test_another_manifest_in_its_place_is_refused(tmp_path: Path) -> None:
    job = worked(tmp_path)
    job.objects.overwrite(manifest_key(job.order.spec.manifest_digest), b"another")
    with pytest.raises(ManifestDigestMismatchError):
        rescored(job)


def test_what_a_killed_one_had_decoded_is_removed_by_the_next(pathway: Job) -> None:
    left = pathway.folder / "cache" / ".rescored-killed" / "pixels"
    left.mkdir(parents=True)
    (left / "images.bin").write_bytes(b"of deleted samples")

    rescored(pathway)

    assert [path.name for path in (pathway.folder / "cache").iterdir()] == [".rescored-lock"]
