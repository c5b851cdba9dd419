"""Tickets whose samples are named by people, by a label or by an upload."""

from dataclasses import replace

import pytest

from service.domain.deadline import Regime
from service.domain.manifest import Split
from service.domain.submission import ByLabel, BySubjects, ByUpload, Selection, Submission
from service.domain.ticket import IdSource, Ticket
from service.domain.upload import UploadHeader
from service.errors import (
    DuplicateSampleIdsError,
    EmptyForgetSetError,
    ManifestError,
    RequestIdReusedError,
    UnknownSampleIdsError,
    UnknownSubjectIdsError,
    UnknownUploadError,
)
from tests.memory_manifests import ROWS, TRAIN, MemoryManifestSource
from tests.records import LINEAGE, TENANT
from tests.world import ACTOR, KEY, World

PEOPLE = tuple(replace(row, subject_id=f"person-{number % 7}") for number, row in enumerate(ROWS))
"""Seven people, each with training samples; and one more who has held-out samples only."""
WITH_PEOPLE = (*PEOPLE[:-1], replace(PEOPLE[-1], subject_id="unseen"))
OF_PERSON_3 = tuple(row.sample_id for row in WITH_PEOPLE if row.subject_id == "person-3" and row.split is Split.TRAIN)
OF_LABEL_4 = tuple(row.sample_id for row in WITH_PEOPLE if row.label == 4 and row.split is Split.TRAIN)


@pytest.fixture
def world() -> World:
    manifests = MemoryManifestSource(WITH_PEOPLE)
    world = World(manifests=manifests)
    world.registration = replace(world.registration, manifest_digest=manifests.digest, canaries=None)
    world.register()
    return world


def asked(selection: Selection, *, request_id: str = "request", lineage: str = LINEAGE) -> Submission:
    return Submission(lineage=lineage, request_id=request_id, sample_ids=(), regime=Regime.GDPR, selection=selection)


def submit(world: World, selection: Selection, **fields: str) -> Ticket:
    return world.service.intake.submit_ticket(asked(selection, **fields), tenant=TENANT, actor=ACTOR)


def uploaded(world: World, *ids: str) -> ByUpload:
    header = UploadHeader(request_id="upload", lineage=LINEAGE, sample_count=len(ids))
    return ByUpload(upload_id=world.service.intake.upload_sample_ids(header, [ids], tenant=TENANT).upload_id)


def test_people_are_their_training_samples(world: World) -> None:
    ticket = submit(world, BySubjects(subject_ids=("person-3",)))

    assert ticket.source is IdSource.SUBJECTS
    assert tuple(world.store.sample_ids(ticket.ticket_id)) == OF_PERSON_3
    assert ticket.sample_count == len(OF_PERSON_3) > 1


def test_a_label_is_all_its_training_samples(world: World) -> None:
    ticket = submit(world, ByLabel(label=4))

    assert ticket.source is IdSource.LABEL
    assert tuple(world.store.sample_ids(ticket.ticket_id)) == OF_LABEL_4


def test_an_upload_is_its_ids_and_is_kept_for_the_ticket(world: World) -> None:
    selection = uploaded(world, *TRAIN[:3])
    ticket = submit(world, selection)
    world.clock.advance((world.service.intake.selector.uploads.keep) * 2)
    world.service.intake.selector.uploads.sweep()

    assert ticket.source is IdSource.UPLOAD
    assert tuple(world.store.sample_ids(ticket.ticket_id)) == TRAIN[:3]


def test_equal_sets_have_equal_commitments_however_they_were_named(world: World) -> None:
    inline = world.submit(*reversed(OF_PERSON_3), request_id="inline")
    subjects = submit(world, BySubjects(subject_ids=("person-3",)))
    upload = submit(world, uploaded(world, *OF_PERSON_3), request_id="upload")

    assert inline.ids_commitment == subjects.ids_commitment == upload.ids_commitment == KEY.of_sample_ids(OF_PERSON_3)


def test_a_preview_names_the_same_samples_and_stores_nothing(world: World) -> None:
    preview = world.service.intake.preview_ticket(asked(ByLabel(label=4)), tenant=TENANT)

    assert preview.sample_count == len(OF_LABEL_4)
    assert not world.store.open_tickets()


def test_the_same_request_twice_is_one_ticket_though_its_upload_is_gone(world: World) -> None:
    selection = uploaded(world, *TRAIN[:3])
    first = submit(world, selection)
    world.clock.advance(world.service.intake.selector.uploads.keep)

    assert submit(world, selection) == first


@pytest.mark.parametrize(
    "other",
    [ByLabel(label=5), BySubjects(subject_ids=("4",)), ByUpload(upload_id="4"), BySubjects(subject_ids=("person-3",))],
)
def test_a_request_id_with_another_selection_is_refused(world: World, other: Selection) -> None:
    submit(world, ByLabel(label=4))

    with pytest.raises(RequestIdReusedError):
        submit(world, other)


def test_people_without_a_training_sample_are_named_by_position(world: World) -> None:
    with pytest.raises(UnknownSubjectIdsError) as refused:
        submit(world, BySubjects(subject_ids=("nobody", "person-3", "unseen")))
    assert refused.value.positions == (0, 2)
    assert "nobody" not in str(refused.value)


def test_people_named_twice_are_named_by_position(world: World) -> None:
    with pytest.raises(DuplicateSampleIdsError) as refused:
        submit(world, BySubjects(subject_ids=("person-3", "person-4", "person-3")))
    assert refused.value.positions == (2,)


def test_a_label_without_training_samples_is_an_empty_set(world: World) -> None:
    with pytest.raises(EmptyForgetSetError):
        submit(world, ByLabel(label=99))


def test_ids_of_an_upload_that_are_no_training_samples_refuse_the_ticket(world: World) -> None:
    with pytest.raises(UnknownSampleIdsError) as refused:
        submit(world, uploaded(world, "train-00", "nobody"))
    assert refused.value.positions == (1,)


def test_an_upload_that_is_not_there_is_unknown(world: World) -> None:
    with pytest.raises(UnknownUploadError):
        submit(world, ByUpload(upload_id="upl-9"))


def test_a_manifest_without_people_says_so() -> None:
    world = World()
    world.register()

    with pytest.raises(ManifestError, match="subject_id"):
        submit(world, BySubjects(subject_ids=("person-3",)))


@pytest.mark.parametrize("how", ["upload", "label"])
def test_a_ticket_is_processed_whatever_named_its_samples(how: str) -> None:
    world = World()
    world.register()
    selection = uploaded(world, *TRAIN[:3]) if how == "upload" else ByLabel(label=4)
    ticket = submit(world, selection)
    world.drive()

    run = world.run(ticket)
    assert run.spec.forget_count >= ticket.sample_count
    assert world.service.intake.get_receipt(ticket.ticket_id, tenant=TENANT)
