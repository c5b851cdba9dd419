import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch
from pydantic import ValidationError

from mcu_core import checkpoint
from mcu_core.config import (
    AlignConfig,
    NegGradPlusConfig,
    ReferenceConfig,
    ReferenceFamilyConfig,
    SalUnConfig,
    TrainConfig,
)
from mcu_core.errors import ConfigurationError, DataError, DivergedError
from mcu_core.experiments.cells import (
    AuditedCell,
    Cell,
    CellRecord,
    OriginalCell,
    ReferenceCell,
    RetrainedCell,
    UnlearnedCell,
    UntouchedCell,
    cell_digest,
    dependencies,
    members,
    unlearned_of,
)
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.metrics import draw_measured_rows, measure
from mcu_core.experiments.plan import missing
from mcu_core.experiments.setup import HardestCount, WholeClass, draw_split, draw_train
from mcu_core.experiments.store import CellStore
from mcu_core.inference import accuracy, logits
from mcu_core.losses import label_logit
from mcu_core.types import Phase, ProgressUpdate
from tests.cases import tiny_runtime
from tests.studies import OFFICIAL_TRAIN, tiny_pathway, tiny_samples, tiny_sweep


class Diary:
    """Which cells ran, and after how many updates of which kind a person interrupts."""

    def __init__(self, interrupt_in: str | None = None) -> None:
        self.ran: list[Cell] = []
        self._interrupt_in = interrupt_in

    def __call__(self, cell: Cell, update: ProgressUpdate, /) -> None:
        if cell not in self.ran:
            self.ran.append(cell)
        if cell.kind == self._interrupt_in and update.step > 0:
            raise KeyboardInterrupt

    @property
    def kinds(self) -> list[str]:
        return [cell.kind for cell in self.ran]


def laboratory(folder: Path, diary: Diary | None = None) -> Laboratory:
    return Laboratory(
        tiny_samples(), CellStore(folder), device=torch.device("cpu"), progress=Diary() if diary is None else diary
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny sweep and all that it needs is finished; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    laboratory(folder).record(tiny_sweep())
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """Return a copy that may be changed."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


def read(folder: Path, cell: Cell) -> CellRecord:
    record = CellStore(folder).read(cell)
    assert record is not None
    return record


def test_what_a_cell_needs_is_run_before_it_and_kept(finished: Path) -> None:
    pathway = tiny_pathway()
    original = OriginalCell(world=pathway.world)
    retrained = RetrainedCell(world=pathway.world, deletion=pathway.deletion)
    for cell in (original, retrained, unlearned_of(pathway), pathway, tiny_sweep()):
        assert CellStore(finished).read(cell) is not None


def test_what_is_finished_is_not_run_again(finished: Path) -> None:
    diary = Diary()
    laboratory(finished, diary).record(tiny_sweep())
    assert diary.ran == []


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        laboratory(tmp_path, Diary(interrupt_in="pathway")).record(tiny_pathway())
    diary = Diary()
    laboratory(tmp_path, diary).record(tiny_pathway())
    assert diary.kinds == ["pathway"]


def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path: Path, finished: Path) -> None:
    for kind in ("original", "unlearned", "pathway"):
        with pytest.raises(KeyboardInterrupt):
            laboratory(tmp_path, Diary(interrupt_in=kind)).record(tiny_pathway())
    again, whole = laboratory(tmp_path).record(tiny_pathway()), read(finished, tiny_pathway())
    assert (again.weights, again.metrics, again.chosen) == (whole.weights, whole.metrics, whole.chosen)


def test_records_suffice_where_weights_are_gone(folder: Path) -> None:
    shutil.rmtree(folder / "weights")
    diary = Diary()
    record = laboratory(folder, diary).record(tiny_pathway())
    assert record == read(folder, tiny_pathway())
    assert diary.ran == []


def test_weights_are_made_again_only_where_a_missing_cell_needs_them(folder: Path) -> None:
    shutil.rmtree(folder / "weights")
    before = read(folder, unlearned_of(tiny_pathway()))
    diary = Diary()
    longer = tiny_pathway().model_copy(update={"curve": tiny_pathway().curve.model_copy(update={"retain_share": 0.9})})
    laboratory(folder, diary).record(longer)
    assert sorted(diary.kinds) == ["original", "pathway", "unlearned"]
    assert read(folder, unlearned_of(tiny_pathway())) == before


def test_damaged_weights_are_made_again(folder: Path) -> None:
    pathway = tiny_pathway()
    CellStore(folder).write_weights(unlearned_of(pathway), b"nothing")
    diary = Diary()
    state = laboratory(folder, diary).state(unlearned_of(pathway))
    assert diary.kinds == ["unlearned"]
    assert checkpoint.digest(state) == read(folder, unlearned_of(pathway)).weights


def test_a_record_names_the_weights_that_it_was_computed_from(finished: Path) -> None:
    pathway = tiny_pathway()
    inputs = read(finished, pathway).inputs
    needs = (OriginalCell(world=pathway.world), unlearned_of(pathway))
    assert inputs == {cell_digest(need): read(finished, need).weights for need in needs}


def test_the_numbers_are_those_of_the_weights(finished: Path) -> None:
    pathway, samples = tiny_pathway(), tiny_samples()
    cell = unlearned_of(pathway)
    state, metrics = laboratory(finished).state(cell), read(finished, cell).metrics
    assert metrics is not None
    split = draw_split(samples, cell.world, cell.deletion)
    runtime = tiny_runtime(samples.data)
    assert metrics.unlearning == pytest.approx(1.0 - accuracy(runtime, state, split.forget))
    assert metrics.retain == accuracy(runtime, state, split.retain)
    assert metrics.test == accuracy(runtime, state, split.test)


def test_a_sweep_begins_at_the_original_and_ends_at_the_pre_unlearned_model(finished: Path) -> None:
    pathway = laboratory(finished).pathway(tiny_pathway())
    end = laboratory(finished).state(unlearned_of(tiny_pathway()))
    original = laboratory(finished).state(OriginalCell(world=tiny_pathway().world))
    assert all(torch.equal(tensor, original.params[name]) for name, tensor in pathway.at(0.0).items())
    assert all(torch.equal(tensor, end.params[name]) for name, tensor in pathway.at(1.0).items())
    sweep = read(finished, tiny_sweep()).sweep
    assert sweep is not None
    assert [point.t for point in sweep.points] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_choice_of_t_costs_what_it_evaluates_and_no_sweep(finished: Path) -> None:
    record = read(finished, tiny_pathway())
    assert record.chosen is not None
    evaluated = record.chosen.evaluated
    assert record.chosen.t in {point.t for point in evaluated}
    validation = round(0.1 * (len(tiny_samples().data.labels) - OFFICIAL_TRAIN))
    images_of_a_point = 10 + 40 + validation  # D_f, of D_r, D_v
    statistics = 40 * (len(evaluated) + 1)  # once more for the model that is chosen
    assert record.costs["select"].evaluated == images_of_a_point * len(evaluated) + statistics


def test_costs_count_every_image_of_a_training(finished: Path) -> None:
    pathway = tiny_pathway()
    retrained = read(finished, RetrainedCell(world=pathway.world, deletion=pathway.deletion))
    assert retrained.epochs == 2
    assert retrained.cost.trained == 2 * 90
    assert read(finished, unlearned_of(pathway)).costs["pre_unlearn"].trained == 100
    assert read(finished, pathway).costs["curve"].trained == 10 + 45


def test_a_divergence_is_a_result(tmp_path: Path) -> None:
    pathway = tiny_pathway()
    wild = NegGradPlusConfig(beta=10.0, train=TrainConfig(epochs=30, learning_rate=50.0, batch_size=20))
    diverging = pathway.model_copy(update={"method": wild})
    record = laboratory(tmp_path).record(diverging)
    assert record.metrics is None
    assert "diverged" in str(record.diverged)
    diary = Diary()
    with pytest.raises(DivergedError, match="diverged"):
        laboratory(tmp_path, diary).state(unlearned_of(diverging))
    assert diary.ran == []


def test_a_method_without_effect_is_a_result(tmp_path: Path) -> None:
    pathway = tiny_pathway()
    cell = UnlearnedCell(world=pathway.world, deletion=pathway.deletion, method=SalUnConfig(keep=1e-9))
    record = laboratory(tmp_path).record(cell)
    assert record.metrics is None
    assert "is none" in str(record.diverged)


def test_a_forgotten_class_has_a_metric_of_its_own(tmp_path: Path) -> None:
    cell = UntouchedCell(world=tiny_pathway().world, deletion=WholeClass(label=1))
    metrics = laboratory(tmp_path).record(cell).metrics
    assert metrics is not None
    assert metrics.class_unlearning is not None


def test_cells_of_other_data_are_refused(tmp_path: Path) -> None:
    world = tiny_pathway().world.model_copy(update={"data_digest": "0" * 64})
    with pytest.raises(ConfigurationError, match="the cell is about"):
        laboratory(tmp_path).record(OriginalCell(world=world))


def test_a_plan_names_what_the_laboratory_will_run(tmp_path: Path) -> None:
    diary = Diary()
    plan = missing([tiny_sweep()], CellStore(tmp_path))
    laboratory(tmp_path, diary).record(tiny_sweep())
    assert set(plan) == set(diary.ran)
    assert missing([tiny_sweep()], CellStore(tmp_path)) == ()


def test_a_record_is_plain_json(finished: Path) -> None:
    for path in (finished / "cells").iterdir():
        assert json.loads(path.read_text())["format"] == 1
        assert path.stat().st_size < 20_000


# References

FAMILY = ReferenceFamilyConfig(folds=2, recipe=tiny_pathway().world.recipe, seed=7)
AUDITORS = FAMILY.model_copy(update={"seed": 8})
TAUGHT_CURVE = tiny_pathway().curve.model_copy(update={"objective": ReferenceConfig()})


def taught() -> UnlearnedCell:
    pathway = tiny_pathway()
    method = AlignConfig(objective=ReferenceConfig(), train=TrainConfig(epochs=1, learning_rate=0.01))
    return UnlearnedCell(world=pathway.world, deletion=pathway.deletion, method=method, teachers=(FAMILY,))


def test_a_taught_cell_trains_its_teachers_first_and_once(folder: Path) -> None:
    diary = Diary()
    lab = laboratory(folder, diary)
    lab.record(taught())
    assert [kind for kind in diary.kinds if kind != "unlearned"] == ["reference", "reference"]
    again = Diary()
    pathway = tiny_pathway().model_copy(
        update={"method": taught().method, "teachers": (FAMILY,), "curve": TAUGHT_CURVE}
    )
    laboratory(folder, again).record(pathway)
    assert again.kinds == ["pathway"], "teachers and the taught end are there"


def test_references_are_shared_by_the_seeds_of_one_training_set() -> None:
    world = tiny_pathway().world
    first, second = (world.model_copy(update={"seed": seed, "draw_seed": 3}) for seed in (0, 1))
    assert members(first, FAMILY) == members(second, FAMILY)
    drawn = [draw_train(tiny_samples(), one)[0] for one in (first, second)]
    assert torch.equal(*drawn)
    forget = [draw_split(tiny_samples(), one, tiny_pathway().deletion).forget for one in (first, second)]
    assert not torch.equal(*forget)


def test_a_family_that_taught_a_model_cannot_audit_it() -> None:
    with pytest.raises(ValidationError, match="cannot audit it"):
        AuditedCell(of=taught(), family=FAMILY)
    assert AuditedCell(of=taught(), family=AUDITORS)


def test_an_audit_compares_scores_beyond_those_of_references_that_saw_neither_side(folder: Path) -> None:
    pathway = tiny_pathway()
    cell = AuditedCell(of=RetrainedCell(world=pathway.world, deletion=pathway.deletion), family=AUDITORS)
    lab = laboratory(folder)
    found, (upper, lower) = lab.record(cell).calibrated, lab.record(cell).calibrated_tails
    split = draw_split(tiny_samples(), pathway.world, pathway.deletion)
    runtime, labels = lab._work(cell).runtime.in_float32(), tiny_samples().data.labels
    state = lab.state(RetrainedCell(world=pathway.world, deletion=pathway.deletion))
    family = lab.family(pathway.world, AUDITORS)
    rows = draw_measured_rows(labels, split, pathway.world.seed)
    scores = [
        label_logit(logits(runtime, state, part).double(), labels[part])
        - label_logit(family.answers(runtime, part).double(), labels[part])
        for part in (rows.forget, rows.sealed)
    ]
    higher = (scores[0].unsqueeze(1) > scores[1]).double().mean()
    assert found is not None
    assert found.value == pytest.approx(float(higher))
    assert (found.forget_count, found.nonmember_count) == (len(rows.forget), len(rows.sealed))
    assert upper.beyond == int((scores[0] > upper.threshold).sum())
    assert lower.beyond == int((scores[0] < lower.threshold).sum())


def test_the_audited_point_of_a_pathway_is_the_chosen_one(folder: Path) -> None:
    """The model is put together anew from the stored pathway: it must answer as the one that was measured."""
    pathway = tiny_pathway()
    lab = laboratory(folder)
    work = lab._work(pathway)
    split = draw_split(tiny_samples(), pathway.world, pathway.deletion)
    state = lab._audited_state(pathway, work, split, lab.state(OriginalCell(world=pathway.world)))
    rows = draw_measured_rows(tiny_samples().data.labels, split, pathway.world.seed)
    assert measure(work.runtime, state, rows) == read(folder, pathway).metrics


def test_a_fold_that_a_family_does_not_have_is_refused(folder: Path) -> None:
    cell = ReferenceCell(world=tiny_pathway().world, family=FAMILY, fold=2)
    with pytest.raises(ConfigurationError, match="no fold 2"):
        laboratory(folder).record(cell)


# Several processes, and runs that end otherwise the second time


def test_what_another_process_makes_is_waited_for_and_taken(tmp_path: Path) -> None:
    cell, begun, may_end = OriginalCell(world=tiny_pathway().world), Event(), Event()

    def slowly(_cell: Cell, _update: ProgressUpdate, /) -> None:
        begun.set()
        assert may_end.wait(60)

    first = Laboratory(tiny_samples(), CellStore(tmp_path), device=torch.device("cpu"), progress=slowly)
    diary = Diary()
    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(first.record, cell)
        assert begun.wait(60)
        waiting = pool.submit(laboratory(tmp_path, diary).record, cell)
        assert wait([waiting], timeout=0.2).not_done
        may_end.set()
        assert making.result(60) == waiting.result(60)
    assert diary.ran == []


def test_weights_that_another_process_is_putting_in_place_are_waited_for(folder: Path) -> None:
    """They lie there before the record that names them does."""
    cell = unlearned_of(tiny_pathway())
    store, record, diary = CellStore(folder), read(folder, cell), Diary()
    content = b"made elsewhere"
    with ThreadPoolExecutor(1) as pool:
        with store.lock(cell):
            store.write_weights(cell, content)
            asked = pool.submit(laboratory(folder, diary)._weights, cell)
            assert wait([asked], timeout=0.2).not_done
            digest = hashlib.sha256(content).hexdigest()
            store.write(record.model_copy(update={"weights": digest}))
        assert asked.result(60) == (content, digest)
    assert diary.ran == []


def test_a_run_that_diverges_when_weights_are_made_again_leaves_the_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = unlearned_of(tiny_pathway())
    before = read(folder, cell)
    CellStore(folder).write_weights(cell, b"nothing")

    def diverge(_self: Laboratory, _cell: Cell, _work: object) -> None:
        raise DivergedError("this time")

    monkeypatch.setattr(Laboratory, "_run", diverge)
    with pytest.raises(DivergedError, match="this time"):
        laboratory(folder).state(cell)
    assert read(folder, cell) == before


def test_classes_without_unseen_samples_are_found_before_a_training(tmp_path: Path) -> None:
    samples, world = tiny_samples(), tiny_pathway().world
    unseen = draw_train(samples, world)[1]
    labels = samples.data.labels.clone()
    labels[unseen] = 0
    samples = replace(samples, data=replace(samples.data, labels=labels))
    cell = RetrainedCell(world=world.model_copy(update={"data_digest": samples.digest}), deletion=WholeClass(label=1))

    def told(_cell: Cell, update: ProgressUpdate, /) -> None:
        assert update.phase is not Phase.RETRAIN

    lab = Laboratory(samples, CellStore(tmp_path), device=torch.device("cpu"), progress=told)
    with pytest.raises(DataError, match="without any held-out sample"):
        lab.record(cell)


def test_a_sweep_of_the_hardest_samples_needs_those_who_say_which_they_are() -> None:
    hardest = HardestCount(count=3, family=FAMILY)
    sweep = tiny_sweep().model_copy(update={"pathway": tiny_pathway().model_copy(update={"deletion": hardest})})
    assert set(members(tiny_pathway().world, FAMILY)) <= set(dependencies(sweep))
