"""The benchmarks run, at the smallest size; what they measure is no matter of tests."""

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import (
    choice,
    data_pipeline,
    measure,
    operators,
    peer,
    score_time,
    step,
    svc,
    sweep,
    torchunlearn_library,
)
from benchmarks.fashion import HELDOUT, SEALED, Deletion, deletion, fashion_mnist
from benchmarks.measure import CPU
from benchmarks.reference_loop import reference_step
from benchmarks.subjects import CANDIDATES, random_images
from mcu_core.config import Augmentation, PointPolicy, RetrainConfig, TrainConfig
from mcu_core.connectivity.sweep import path_point
from mcu_core.experiments.cells import Sweep, SweepPoint
from mcu_core.experiments.setup import Samples
from mcu_core.images import ImageData
from mcu_core.report import PathPoint, References
from tests.studies import record_of, tiny_pathway

NETWORK, BATCH = "preresnet8", 8
PARTS = (8, 8, 8, 8)

# A network of one weight in the two modules that the reference code has; its own checkout is not part of ours.
CURVES = """
import torch
class Bezier: pass
class CurveNet(torch.nn.Module):
    def __init__(self, classes, curve, architecture, bends, fix_start, fix_end, settings):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(classes))
        self.imported = []
    def import_base_parameters(self, base, index): self.imported.append(index)
    def init_linear(self): assert self.imported == [0, 2]
    def forward(self, images): return images.mean(dim=(1, 2, 3), keepdim=False)[:, None] * self.weight
"""
NETWORKS = """
class PreResNet110:
    curve = None
    def base(classes, depth): return None
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def case() -> Deletion:
    rng = torch.Generator().manual_seed(0)
    data = ImageData(images=random_images(160, rng)[:, :1, :8, :8].contiguous(), labels=torch.arange(160) % 10)
    samples = Samples(data=data, train=torch.arange(100), heldout=torch.arange(100, 160))
    train = TrainConfig(epochs=1, learning_rate=0.01, batch_size=30)
    return deletion(samples, network=NETWORK, images=60, seed=0, recipe=RetrainConfig(train=train))


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "models").mkdir()
    (tmp_path / "curves.py").write_text(CURVES)
    (tmp_path / "models" / "preresnet.py").write_text(NETWORKS)
    yield tmp_path
    for name in ("curves", "_reference_preresnet"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("dtype", step.PRECISIONS)
def test_every_step_is_timed_and_explained(dtype: torch.dtype) -> None:
    row = step.compare(NETWORK, BATCH, dtype, rounds=1)
    for key in ("timings", "ratios_to_plain", "ratios_to_plain_fused"):
        assert row[key].keys() == CANDIDATES.keys()


def test_the_masked_step_says_which_mask_it_has() -> None:
    mask = step.compare(NETWORK, BATCH, torch.float32, rounds=1)["mask"]
    assert (mask["mode"], mask["keep"], mask["exclude"]) == ("sequential", 0.5, 0.1)
    assert 0.0 < mask["share"] < 1.0


def test_a_fused_step_of_sgd_has_fewer_operators_than_the_default() -> None:
    counted = operators.operators(NETWORK, BATCH, torch.float32)
    assert counted["plain_fused"]["computing"] < counted["plain"]["computing"]


def test_a_sweep_reads_each_image_once() -> None:
    assert sweep.reads_of_an_image(NETWORK, [0.0, 0.5, 1.0], PARTS) == [1]


def test_a_sweep_is_timed_together_and_one_by_one() -> None:
    assert sweep.compare(NETWORK, [0.5, 1.0], rounds=1, parts=PARTS)["timings"].keys() == {"together", "one_by_one"}


def test_an_optimum_left_of_the_window_costs_more_than_the_target() -> None:
    inside, outside = (sweep.evaluations(sweep.OPTIMA[name], sweep=False) for name in sweep.OPTIMA)
    assert inside["besides_the_pre_unlearned_model"] == sweep.TARGET < outside["besides_the_pre_unlearned_model"]
    assert inside["all"] == sweep.TARGET + 1


def test_choices_on_real_pathways_are_counted_where_they_look_into_the_window() -> None:
    record, cell = record_of(tiny_pathway()), tiny_pathway()
    assert record.chosen is not None
    swept = cell.model_copy(
        update={"selection": cell.selection.model_copy(update={"policy": PointPolicy.UTILITY_FIRST})}
    )
    records = [
        record.model_copy(update={"cell": of, "chosen": record.chosen.model_copy(update={"evaluated": points(count)})})
        for of, count in ((cell, 5), (cell, 8), (cell, 11), (swept, 4))
    ]
    assert sweep.real_evaluations(records) == {
        "accuracy": {
            "pathways": 3,
            "all": {"minimum": 5, "median": 8, "maximum": 11},
            "besides_the_pre_unlearned_model": {"minimum": 4, "median": 7, "maximum": 10},
            "share_within_the_target": 1 / 3,
        }
    }


def points(count: int) -> tuple[PathPoint, ...]:
    """Return points of a pathway, the last its end."""
    return tuple(
        PathPoint(t=(index + 1) / count, forget_accuracy=0.8, retain_accuracy=1.0, validation_accuracy=0.8, gap=0.0)
        for index in range(count)
    )


def test_records_of_another_format_are_left_out(tmp_path: Path) -> None:
    record = record_of(tiny_pathway())
    (tmp_path / "a.json").write_text(record.model_dump_json())
    (tmp_path / "b.json").write_text(record.model_copy(update={"format": record.format + 1}).model_dump_json())
    (tmp_path / "c.json").write_text('{"settings": "of a cell that no longer exists"}')
    assert sweep.read_records(tmp_path) == [record]


def test_a_score_is_timed_against_an_evaluation_of_the_same_images() -> None:
    found = score_time.compare(NETWORK, rounds=1, parts=(6, 8, 4, 10, 40, 80))
    assert found["timings"].keys() == {"evaluation", "score"}
    assert found["images"] == 144


def test_the_svc_on_merged_points_decides_as_on_raw_ones(case: Deletion) -> None:
    found = svc.compare(case, 40, threads=[1], rounds=1)
    assert set(found["share_of_equal_decisions"].values()) == {1.0}


def test_both_our_methods_are_measured(case: Deletion) -> None:
    methods = peer.against_library(case, torchunlearn_library.our_runs(case, epochs=2), epochs=2)["methods"]
    assert methods.keys() == {"NegGrad+", "SalUn"}
    for found in methods.values():
        assert found["seconds"] == pytest.approx(2 * found["seconds_per_epoch"])
        assert found["metrics"].keys() == {"UA", "RA", "TA", "MIA"}


@pytest.mark.parametrize("method", ["NegGrad+", "SalUn"])
def test_our_methods_read_what_is_kept_once_an_epoch(case: Deletion, method: str) -> None:
    reader = case.runtime.reader
    reads = []
    for epochs in (1, 2):
        counting = sweep.CountingReader(data=reader.data, architecture=reader.architecture, device=reader.device)
        counted = replace(case, runtime=replace(case.runtime, reader=counting))
        torchunlearn_library.our_runs(counted, epochs=epochs)[method]()
        reads.append(sum(counting.reads[row] for row in case.problem.retain.tolist()))
    assert reads == [len(case.problem.retain), 2 * len(case.problem.retain)]


def test_models_are_measured_with_batchnorm_statistics_of_what_is_kept(case: Deletion) -> None:
    original = case.problem.original
    wrecked = replace(original, buffers={name: torch.zeros_like(value) for name, value in original.buffers.items()})
    runs = {"original": lambda: original, "wrecked": lambda: wrecked}
    found = torchunlearn_library.compare(case, case.measure(original), runs)
    assert found["original"]["metrics"] == found["wrecked"]["metrics"]


def test_our_step_is_timed_without_a_checkout() -> None:
    row = peer.against_reference(NETWORK, BATCH, None, rounds=1)
    assert row["ratios_to_mcu_float32"].keys() == {"mcu_float32", "mcu_bfloat16"}


def test_the_reference_loop_is_timed_beside_ours(checkout: Path) -> None:
    row = peer.against_reference(NETWORK, BATCH, checkout, rounds=1)
    assert row["ratios_to_reference_float32"].keys() == {"mcu_float32", "mcu_bfloat16", "reference_float32"}


def test_the_operators_of_the_reference_loop_are_counted(checkout: Path) -> None:
    assert operators.count(reference_step(checkout, NETWORK, BATCH))["computing"] > 0


def test_waiting_for_batches_is_timed_with_every_augmentation() -> None:
    rows = data_pipeline.measure_waiting([(NETWORK, 8, 4)], rounds=1, steps=2, device=CPU)
    assert [row.augmentation for row in rows] == [one.value for one in Augmentation]
    assert all(row.rounds == 1 for row in rows)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux, which tells a process's peak memory"
)
def test_a_manifest_of_noise_is_decoded_and_read(tmp_path: Path) -> None:
    data_pipeline.write_noise(tmp_path / "noise.parquet", 12, 8)
    row = data_pipeline.decode_noise(tmp_path, 12, 8, 1)
    assert row.array_mib * data_pipeline.MEBIBYTE == 12 * 3 * 8 * 8


def test_fashion_mnist_is_read_with_the_held_out_images_behind_those_of_training(tmp_path: Path) -> None:
    count = 20 + SEALED + HELDOUT
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(bytes(16) + bytes(784 * (count + 5)))
    with gzip.open(tmp_path / "train-labels-idx1-ubyte.gz", "wb") as file:
        file.write(bytes(8) + bytes(number % 10 for number in range(count + 5)))
    samples = fashion_mnist(tmp_path, images=20)
    assert samples.data.images.shape == (count, 1, 28, 28)
    assert samples.data.labels.tolist() == [number % 10 for number in range(count)]
    assert torch.equal(torch.cat([samples.train, samples.heldout]), torch.arange(count))
    assert len(samples.train) == 20 + SEALED


def test_candidates_are_called_in_turn_and_the_first_rounds_are_not_timed() -> None:
    calls: list[str] = []
    candidates = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    timings = measure.interleave(candidates, rounds=2, warm_up=1)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert {timing.rounds for timing in timings.values()} == {2}


def test_a_result_is_written_with_where_it_was_measured(tmp_path: Path) -> None:
    measure.write("example", {"rows": []}, tmp_path / "results")
    result = json.loads((tmp_path / "results" / "example.json").read_text())
    assert result["rows"] == []
    assert {"processor", "torch", "commit"} <= result["environment"].keys()


def test_criteria_are_compared_by_what_d_t_says_of_their_points() -> None:
    references = References(train_accuracy=1.0, validation_accuracy=0.8)
    accuracies = {0.0: (1.0, 0.8), 0.5: (0.8, 0.6), 1.0: (0.9, 0.8)}  # on D_f, on D_v and D_t
    found = choice.distances(
        Sweep(
            points=tuple(
                SweepPoint(t=t, forget=forget, retain=1.0, test=unseen) for t, (forget, unseen) in accuracies.items()
            ),
            alignment=tuple(
                path_point(t, forget=forget, retain=1.0, validation=unseen, references=references)
                for t, (forget, unseen) in accuracies.items()
            ),
            region=(),
            retrained=SweepPoint(t=0.0, forget=0.8, retain=1.0, test=0.8),
        ),
        references,
    )
    assert found == pytest.approx(
        {"pre_unlearned": 10 / 3, "accuracy": 20 / 3, "accuracy_and_utility": 10 / 3, "nearest": 10 / 3}
    )
    assert choice.compare([found])["nearer"] == 1
