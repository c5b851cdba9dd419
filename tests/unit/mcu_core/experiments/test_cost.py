import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mcu_core.experiments.cells import Cost
from mcu_core.experiments.cost import Meter, epochs_by_cpu, epochs_by_images
from mcu_core.types import Phase

CPU = torch.device("cpu")


def test_images_forward_and_backward_are_told_from_images_forward_only() -> None:
    meter = Meter(CPU)
    network = meter.watch(nn.Linear(2, 2))
    with meter.phase(Phase.CURVE):
        network(torch.zeros(5, 2))
        with torch.no_grad():
            network(torch.zeros(3, 2))
    assert (meter.costs["curve"].trained, meter.costs["curve"].evaluated) == (5, 3)


def test_one_gradient_a_sample_counts_every_sample() -> None:
    meter = Meter(CPU)
    network = meter.watch(nn.Linear(2, 2))
    params = {name: parameter.detach() for name, parameter in network.named_parameters()}

    def loss(point: dict[str, Tensor], image: Tensor) -> Tensor:
        output: Tensor = functional_call(network, point, (image.unsqueeze(0),))
        return output.square().sum()

    with meter.phase(Phase.PRE_UNLEARN):
        vmap(grad(loss), in_dims=(None, 0))(params, torch.ones(5, 2))
    assert (meter.costs["pre_unlearn"].trained, meter.costs["pre_unlearn"].evaluated) == (5, 0)


def test_copies_of_the_network_are_counted_too() -> None:
    meter = Meter(CPU)
    network = copy.deepcopy(copy.deepcopy(meter.watch(nn.Linear(2, 2))))
    with meter.phase(Phase.CURVE):
        network(torch.zeros(5, 2))
    assert meter.costs["curve"].trained == 5


def test_the_network_that_was_handed_in_is_not_counted() -> None:
    meter, network = Meter(CPU), nn.Linear(2, 2)
    meter.watch(network)
    with meter.phase(Phase.CURVE):
        network(torch.zeros(5, 2))
    assert meter.costs["curve"].trained == 0


def test_each_phase_has_its_own_account_and_the_rest_none() -> None:
    meter = Meter(CPU)
    network = meter.watch(nn.Linear(2, 2))
    with meter.phase(Phase.MASK):
        network(torch.zeros(5, 2))
    network(torch.zeros(100, 2))
    with meter.phase(Phase.CURVE):
        network(torch.zeros(7, 2))
    assert {phase: cost.trained for phase, cost in meter.costs.items()} == {"mask": 5, "curve": 7}
    assert all(cost.seconds >= 0.0 and cost.cpu_seconds >= 0.0 for cost in meter.costs.values())


def test_an_evaluated_image_costs_two_fifths_of_a_trained_one() -> None:
    cost = Cost(seconds=0.0, cpu_seconds=0.0, trained=900, evaluated=250)
    assert epochs_by_images(cost, 500) == pytest.approx(2.0)


def test_epochs_by_processor_time_are_those_of_retraining() -> None:
    retraining = Cost(seconds=1.0, cpu_seconds=300.0)
    assert epochs_by_cpu(Cost(seconds=9.0, cpu_seconds=45.0), retraining, 30) == pytest.approx(4.5)
    assert epochs_by_cpu(retraining, retraining, 30) == pytest.approx(30.0)
