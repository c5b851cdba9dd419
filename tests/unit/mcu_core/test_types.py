import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.errors import DataError
from mcu_core.images import ImageData
from mcu_core.types import Pathway, Problem, bernstein
from tests.cases import pixels_of


def pathway(dtype: torch.dtype = torch.float32) -> Pathway:
    rng = torch.Generator().manual_seed(0)
    first, middle, last = (torch.randn(5, generator=rng, dtype=dtype) for _ in range(3))
    first[0], middle[0], last[0] = -0.0, 1.0, 1.0  # a sum of products would lose the sign
    return Pathway(original={"w": first}, control={"w": middle}, end={"w": last}, mask=frozenset({"w"}))


def bits(tensor: torch.Tensor) -> list[int]:
    return list(tensor.view(torch.int32).tolist())


def test_the_ends_of_a_pathway_are_exact_bit_for_bit() -> None:
    path = pathway()
    assert bits(path.at(0.0)["w"]) == bits(path.original["w"])
    assert bits(path.at(1.0)["w"]) == bits(path.end["w"])


def test_a_pathway_refuses_t_outside_the_unit_interval() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        pathway().at(1.01)


@given(st.floats(0.0, 1.0))
def test_a_pathway_follows_de_casteljau(t: float) -> None:
    path = pathway(torch.float64)
    first = torch.lerp(path.original["w"], path.control["w"], t)
    second = torch.lerp(path.control["w"], path.end["w"], t)
    torch.testing.assert_close(path.at(t)["w"], torch.lerp(first, second, t), atol=1e-14, rtol=0)


@given(st.floats(0.0, 1.0))
def test_the_weights_of_a_point_sum_to_one(t: float) -> None:
    assert sum(bernstein(t)) == pytest.approx(1.0, abs=1e-15)


def replace_rows(problem: Problem, **rows: torch.Tensor) -> Problem:
    parts = {name: getattr(problem, name) for name in ("forget", "retain", "validation", "test")} | rows
    return Problem(
        model=problem.model,
        architecture=problem.architecture,
        original=problem.original,
        data=problem.data,
        **parts,
    )


def test_a_problem_counts_labels_out_of_range(problem: Problem) -> None:
    labels = problem.data.labels.clone()
    labels[problem.forget[:4]] = 3
    labels[problem.test[:1]] = -1
    with pytest.raises(DataError, match="5 of 200 labels"):
        Problem(
            model=problem.model,
            architecture=problem.architecture,
            original=problem.original,
            data=ImageData(images=pixels_of(problem), labels=labels),
            forget=problem.forget,
            retain=problem.retain,
            validation=problem.validation,
            test=problem.test,
        )


def test_a_problem_refuses_parts_that_overlap(problem: Problem) -> None:
    with pytest.raises(DataError, match="share or repeat 2 samples"):
        replace_rows(problem, validation=problem.forget[:2])


def test_a_problem_refuses_positions_outside_the_data(problem: Problem) -> None:
    with pytest.raises(DataError, match="1 positions lie outside"):
        replace_rows(problem, validation=torch.tensor([10_000]))


@pytest.mark.parametrize(("part", "count"), [("forget", 0), ("retain", 1), ("validation", 0), ("test", 0)])
def test_a_problem_refuses_parts_that_are_too_small(problem: Problem, part: str, count: int) -> None:
    with pytest.raises(DataError, match=f"{part} needs at least"):
        replace_rows(problem, **{part: getattr(problem, part)[:count]})


def test_images_must_be_bytes() -> None:
    with pytest.raises(DataError, match="uint8"):
        ImageData(images=torch.zeros(2, 1, 4, 4), labels=torch.zeros(2, dtype=torch.int64))


def test_every_image_needs_a_label() -> None:
    with pytest.raises(DataError, match=r"int64 \[2\]"):
        ImageData(images=torch.zeros(2, 1, 4, 4, dtype=torch.uint8), labels=torch.zeros(3, dtype=torch.int64))
