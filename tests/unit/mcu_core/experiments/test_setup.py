import pytest
import torch

from mcu_core.errors import ConfigurationError, DataError
from mcu_core.experiments.setup import (
    Deletion,
    RandomCount,
    RandomShare,
    Samples,
    WholeClass,
    draw_split,
    draw_train,
)
from mcu_core.images import ImageData
from tests.cases import CLASSES
from tests.studies import OFFICIAL_TRAIN, tiny_samples, tiny_world

DELETIONS: tuple[Deletion, ...] = (RandomShare(share=0.1), RandomCount(count=7), WholeClass(label=1))


@pytest.mark.parametrize("deletion", DELETIONS, ids=lambda deletion: deletion.kind)
def test_the_parts_are_disjoint_and_make_up_the_data(deletion: Deletion) -> None:
    samples = tiny_samples()
    split = draw_split(samples, tiny_world(), deletion)
    parts = (split.forget, split.retain, split.sealed, split.validation, split.test, split.class_test)
    everything = torch.cat(parts)
    assert everything.sort().values.tolist() == list(range(len(samples.data.labels)))


@pytest.mark.parametrize("deletion", DELETIONS, ids=lambda deletion: deletion.kind)
def test_official_splits_are_kept_apart(deletion: Deletion) -> None:
    split = draw_split(tiny_samples(), tiny_world(), deletion)
    assert int(torch.cat([split.forget, split.retain, split.sealed]).max()) < OFFICIAL_TRAIN
    assert int(torch.cat([split.validation, split.test, split.class_test]).min()) >= OFFICIAL_TRAIN


def test_d_train_is_the_same_whatever_is_forgotten() -> None:
    splits = [draw_split(tiny_samples(), tiny_world(), deletion) for deletion in DELETIONS]
    trains = [torch.cat([split.forget, split.retain]).sort().values for split in splits]
    expected, _ = draw_train(tiny_samples(), tiny_world())
    assert all(torch.equal(train, expected) for train in trains)


def test_a_random_deletion_forgets_its_share() -> None:
    assert len(draw_split(tiny_samples(), tiny_world(), RandomShare(share=0.1)).forget) == 10


def test_a_forgotten_class_is_nowhere_in_what_is_kept_and_in_d_t() -> None:
    labels = tiny_samples().data.labels
    split = draw_split(tiny_samples(), tiny_world(), WholeClass(label=1))
    assert set(labels[torch.cat([split.retain, split.test])].tolist()) == {0, 2}
    assert set(labels[torch.cat([split.forget, split.class_test])].tolist()) == {1}


def test_d_v_is_a_tenth_of_the_test_set() -> None:
    split = draw_split(tiny_samples(), tiny_world(), RandomShare())
    assert (len(split.validation), len(split.test)) == (8, 72)


def test_another_seed_draws_others() -> None:
    first, second = (draw_split(tiny_samples(), tiny_world(seed), RandomShare()) for seed in (0, 1))
    for name in ("forget", "validation", "sealed"):
        assert not torch.equal(getattr(first, name), getattr(second, name))


def test_training_images_that_leave_no_non_members_are_refused() -> None:
    world = tiny_world().model_copy(update={"train_images": OFFICIAL_TRAIN})
    with pytest.raises(ConfigurationError, match="non-members: take fewer"):
        draw_train(tiny_samples(), world)


def test_a_class_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to compare"):
        draw_split(tiny_samples(), tiny_world(), WholeClass(label=CLASSES))


def test_the_digest_tells_one_pixel_and_the_splits_apart() -> None:
    samples = tiny_samples()
    images = samples.data.images.clone()
    images[3, 0, 0, 0] += 1
    changed = Samples(
        data=ImageData(images=images, labels=samples.data.labels), train=samples.train, heldout=samples.heldout
    )
    moved = Samples(data=samples.data, train=samples.train[:-1], heldout=samples.heldout)
    assert len({one.digest for one in (samples, changed, moved)}) == 3
    assert samples.digest == tiny_samples().digest
