import torch

from mcu_core.connectivity.bezier import place_on_curve, uniform_positions
from mcu_core.packing import layout_of
from mcu_core.types import Pathway


def test_the_placement_is_the_point_of_the_pathway_and_its_derivative() -> None:
    rng = torch.Generator().manual_seed(0)
    first, middle, last = ({n: torch.randn(4, generator=rng) for n in ("moved", "fixed")} for _ in range(3))
    path = Pathway(original=first, control=middle, end=last, mask=frozenset({"moved"}))
    placement = place_on_curve(first, middle, last, iter([torch.tensor(0.3), torch.tensor(0.9)]))
    for t in (0.3, 0.9):
        point, factor = placement({"moved": middle["moved"]})
        for name, tensor in path.at(t).items():
            torch.testing.assert_close(point[name], tensor)
        torch.testing.assert_close(factor, torch.tensor(2 * t * (1 - t)))


def test_the_packed_curve_is_the_curve() -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = {"kernel": (3, 2, 3, 3), "bias": (3,)}
    first, middle, last = (
        {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}
        for _ in range(3)
    )
    positions = [torch.tensor(t, dtype=torch.float64) for t in (0.0, 0.3, 0.9, 1.0)]
    layout = layout_of(first, {"bias"})
    packed = place_on_curve(first, middle, last, iter(positions)).packed(layout)
    plain = place_on_curve(first, middle, last, iter(positions))
    evaluated = layout.pack(first)
    for _ in positions:
        packed.advance()
        factor = packed.write(layout.pack(middle), evaluated)
        expected, expected_factor = plain(middle)
        assert torch.equal(factor, expected_factor)
        assert all(torch.equal(layout.views(evaluated)[name], tensor) for name, tensor in expected.items())


def test_the_placement_never_changes_the_ends() -> None:
    first, middle, last = ({"w": torch.full((2,), float(i))} for i in range(3))
    point, _ = place_on_curve(first, middle, last, iter([torch.tensor(0.5)]))({"w": middle["w"]})
    point["w"].add_(5.0)
    assert (first["w"].tolist(), middle["w"].tolist(), last["w"].tolist()) == ([0, 0], [1, 1], [2, 2])


def test_positions_are_seeded_and_lie_in_the_unit_interval() -> None:
    first, again = (
        torch.stack(list(uniform_positions(torch.Generator().manual_seed(3), torch.device("cpu"), 50)))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert 0.0 <= float(first.min()) < float(first.max()) < 1.0
