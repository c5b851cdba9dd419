import pytest
import torch

from mcu_core.connectivity.bezier import uniform_positions
from mcu_core.types import Pathway
from tests.cases import evaluate_curve


@pytest.mark.parametrize("t", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("moving", [{"bias"}, {"kernel", "bias"}])
def test_the_curve_is_the_pathway_and_its_derivative(t: float, moving: set[str]) -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = {"kernel": (3, 2, 3, 3), "bias": (3,)}
    first, middle, last = (
        {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}
        for _ in range(3)
    )
    path = Pathway(original=first, control=middle, end=last, mask=frozenset(moving))
    point, factor = evaluate_curve(first, middle, last, t, moving=moving)
    for name, tensor in path.at(t).items():
        torch.testing.assert_close(point[name], tensor)
    assert float(factor) == pytest.approx(2 * t * (1 - t))


def test_positions_are_seeded_and_lie_in_the_unit_interval() -> None:
    first, again = (
        torch.stack(list(uniform_positions(torch.Generator().manual_seed(3), torch.device("cpu"), 50)))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert 0.0 <= float(first.min()) < float(first.max()) < 1.0
