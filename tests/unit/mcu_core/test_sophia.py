import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.sophia import PERIOD, SophiaG, bartlett_estimate

RATE, MOMENTUM, DECAY = 0.01, 0.9, 0.1


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slowly(start: Tensor, gradients: list[Tensor], estimates: dict[int, Tensor]) -> Tensor:
    """Return θ after the source's algorithm 3, one element after the other."""
    result = start.clone()
    for index in range(start.numel()):
        theta, mean, curvature = float(start[index]), 0.0, 0.0
        for step, gradient in enumerate(gradients):
            mean = MOMENTUM * mean + (1 - MOMENTUM) * float(gradient[index])
            if step in estimates:
                curvature = 0.99 * curvature + 0.01 * float(estimates[step][index])
            theta -= RATE * DECAY * theta
            theta -= RATE * min(1.0, max(-1.0, mean / max(0.05 * curvature, 1e-12)))
        result[index] = theta
    return result


def test_it_equals_the_algorithm_written_element_by_element() -> None:
    leaf = noise(6, seed=0)
    start = leaf.clone()
    optimiser = SophiaG([leaf], learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    gradients = [noise(6, seed=10 + step) for step in range(2 * PERIOD + 3)]
    estimates = {step: 1e4 * noise(6, seed=99 + step).square() for step in (0, PERIOD, 2 * PERIOD)}
    asked = []
    for step, gradient in enumerate(gradients):
        if optimiser.is_estimate_due:
            asked.append(step)
            optimiser.take_estimate([estimates[step]])
        leaf.grad = gradient
        optimiser.step()
    assert asked == list(estimates)
    torch.testing.assert_close(leaf, slowly(start, gradients, estimates), atol=1e-12, rtol=0)  # float64 rounding


def test_no_element_moves_by_more_than_the_rate() -> None:
    leaf = noise(50, seed=1)
    optimiser = SophiaG([leaf], learning_rate=RATE, momentum=0.0, weight_decay=0.0)
    for step in range(12):
        before = leaf.clone()
        leaf.grad = 10.0 ** (step - 6) * noise(50, seed=step)
        optimiser.step()
        assert float((leaf - before).abs().max()) <= RATE * (1 + 1e-9)


def test_a_closure_is_refused() -> None:
    optimiser = SophiaG([noise(2, seed=0)], learning_rate=RATE, momentum=0.0, weight_decay=0.0)
    with pytest.raises(RuntimeError, match="gradients"):
        optimiser.step(lambda: 0.0)


def test_the_estimate_is_the_gauss_newton_diagonal_on_average() -> None:
    # Of a linear classifier z = W x the diagonal is known: mean_i p_ik (1 - p_ik) x_ij², here by enumeration.
    inputs, weights = noise(5, 4, seed=2), noise(3, 4, seed=3).requires_grad_()
    probabilities = (inputs @ weights.detach().T).softmax(dim=1)
    exact = (probabilities * (1 - probabilities)).T @ inputs.square() / len(inputs)
    draws = 4000
    total = torch.zeros_like(weights)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(draws):
            total += bartlett_estimate(inputs @ weights.T, [weights], None)[0]
    # The estimate's deviation is about its mean: .05 is more than three standard errors of each element.
    torch.testing.assert_close(total.detach() / draws, exact, atol=0.02, rtol=0.1)


def test_the_factor_of_a_placement_counts_squared() -> None:
    inputs, weights = noise(5, 4, seed=2), noise(3, 4, seed=3).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        (plain,) = bartlett_estimate(inputs @ weights.T, [weights], None)
        torch.manual_seed(0)
        (scaled,) = bartlett_estimate(inputs @ weights.T, [weights], torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(scaled, plain / 4)


def test_the_estimate_is_that_of_its_definition() -> None:
    inputs, weights = noise(5, 4, seed=2), noise(3, 4, seed=3).requires_grad_()
    logits = inputs @ weights.T
    with torch.random.fork_rng():
        torch.manual_seed(0)
        labels = torch.multinomial(logits.detach().softmax(dim=1), 1).squeeze(1)
        torch.manual_seed(0)
        (found,) = bartlett_estimate(logits, [weights], None, retain_graph=True)
    (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, labels), [weights])
    torch.testing.assert_close(found, 5.0 * gradient * gradient)
