import math
from dataclasses import replace
from itertools import repeat

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mcu_core.config import ArchitectureConfig, Optimiser, TrainConfig
from mcu_core.connectivity.bezier import Curve
from mcu_core.data import PlainBatches
from mcu_core.errors import DivergedError
from mcu_core.losses import cross_entropy
from mcu_core.models import initialise, state_of
from mcu_core.runtime import Runtime, stream
from mcu_core.training import Epoch, mean_gradient, minimise
from mcu_core.types import Batch, Phase, Problem, ProgressUpdate, State
from tests.cases import TINY, tiny_data, tiny_runtime

CONFIG = TrainConfig(epochs=2, learning_rate=0.05, momentum=0.9, weight_decay=0.01, batch_size=40)
every_optimiser = pytest.mark.parametrize("optimiser", list(Optimiser))


def batches(runtime: Runtime, size: int = 40) -> PlainBatches:
    return PlainBatches(reader=runtime.reader, rows=torch.arange(100), size=size)


def train(runtime: Runtime, start: State, config: TrainConfig = CONFIG, seed: int = 0, **more: object) -> State:
    return minimise(
        runtime,
        start,
        cross_entropy,
        batches(runtime),
        config,
        rng=stream(seed, "test"),
        phase=Phase.RETRAIN,
        lower="the rate",
        **more,  # type: ignore[arg-type]  # keyword arguments of minimise
    )


def equal(first: State, second: State) -> bool:
    return all(torch.equal(tensor, second.params[name]) for name, tensor in first.params.items()) and all(
        torch.equal(tensor, second.buffers[name]) for name, tensor in first.buffers.items()
    )


def test_it_does_what_torch_does_to_a_module(problem: Problem, runtime: Runtime) -> None:
    trained = train(runtime, problem.original)
    network = runtime.network().train()
    network.load_state_dict({**problem.original.params, **problem.original.buffers})
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    rng = stream(0, "test")
    torch.randint(2**62, (), generator=rng)  # the seed of dropout
    for _ in range(2):
        for batch in batches(runtime).draw(rng):
            optimiser.zero_grad()
            functional.cross_entropy(network(batch.images), batch.labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    expected = state_of(network)
    for name, tensor in trained.params.items():
        torch.testing.assert_close(tensor, expected.params[name], atol=1e-4, rtol=1e-3)  # other memory layouts
    for name, tensor in trained.buffers.items():
        torch.testing.assert_close(tensor, expected.buffers[name], atol=1e-4, rtol=1e-3)


@every_optimiser
def test_tensors_off_the_mask_are_bit_identical_with_momentum_and_weight_decay(
    problem: Problem, runtime: Runtime, optimiser: Optimiser
) -> None:
    mask = frozenset(name for name in problem.original.params if "conv2" in name)
    config = CONFIG.model_copy(update={"optimiser": optimiser, "learning_rate": 0.002})
    trained = train(runtime, problem.original, config, mask=mask)
    for name, tensor in trained.params.items():
        assert torch.equal(tensor, problem.original.params[name]) == (name not in mask)


@every_optimiser
def test_elements_off_the_mask_are_bit_identical_with_momentum_and_weight_decay(
    problem: Problem, runtime: Runtime, optimiser: Optimiser
) -> None:
    rng = torch.Generator().manual_seed(0)
    mask = {name: torch.rand(tensor.shape, generator=rng) < 0.5 for name, tensor in problem.original.params.items()}
    config = CONFIG.model_copy(update={"optimiser": optimiser, "learning_rate": 0.002})
    trained = train(runtime, problem.original, config, mask=mask)
    moved = {name: tensor != problem.original.params[name] for name, tensor in trained.params.items()}
    assert not any(bool((moved[name] & ~mask[name]).any()) for name in mask)
    share = sum(int(part.sum()) for part in moved.values()) / sum(int(part.sum()) for part in mask.values())
    assert share > 0.99


def test_a_penalty_adds_its_gradient_to_that_of_the_loss(problem: Problem, runtime: Runtime) -> None:
    """½ w ‖θ‖² as a penalty is weight decay of w."""
    plain = CONFIG.model_copy(update={"weight_decay": 0.0})
    penalised = train(
        runtime,
        problem.original,
        plain,
        penalty=lambda trained: tuple(CONFIG.weight_decay * tensor for tensor in trained.values()),
    )
    decayed = train(runtime, problem.original)
    for name, tensor in decayed.params.items():
        torch.testing.assert_close(penalised.params[name], tensor, atol=1e-4, rtol=1e-3)  # sums of another order
    assert not equal(penalised, train(runtime, problem.original, plain))


def test_a_penalty_leaves_what_is_off_the_mask(problem: Problem, runtime: Runtime) -> None:
    mask = {"head.weight": torch.zeros(3, 64, dtype=torch.bool), "head.bias": torch.tensor([True, False, True])}
    trained = train(runtime, problem.original, mask=mask, penalty=lambda trained: tuple(trained.values()))
    before, after = problem.original.params, trained.params
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["head.bias"]
    assert (after["head.bias"] == before["head.bias"]).tolist() == [False, True, False]


@every_optimiser
def test_every_optimiser_lowers_the_loss(problem: Problem, runtime: Runtime, optimiser: Optimiser) -> None:
    seen: list[float] = []

    def after(epoch: Epoch) -> bool:
        seen.append(epoch.loss)
        return False

    config = TrainConfig(epochs=4, learning_rate=0.002, weight_decay=0.0, batch_size=40, optimiser=optimiser)
    train(runtime, initialise(TINY, 0), config, after_epoch=after)
    assert seen[-1] < 0.95 * seen[0]


@every_optimiser
def test_every_optimiser_gives_the_same_bits_for_the_same_seed(
    problem: Problem, runtime: Runtime, optimiser: Optimiser
) -> None:
    config = CONFIG.model_copy(update={"optimiser": optimiser, "learning_rate": 0.002})
    first = train(runtime, problem.original, config)
    torch.rand(3)  # the global random state plays no part, also where labels are sampled
    assert equal(first, train(runtime, problem.original, config))


def test_adamw_does_what_torch_does_to_a_module(problem: Problem, runtime: Runtime) -> None:
    config = CONFIG.model_copy(update={"optimiser": Optimiser.ADAMW, "learning_rate": 0.001, "epochs": 1})
    trained = train(runtime, problem.original, config)
    network = runtime.network().train()
    network.load_state_dict({**problem.original.params, **problem.original.buffers})
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.001, betas=(0.9, 0.999), weight_decay=0.01)
    rng = stream(0, "test")
    torch.randint(2**62, (), generator=rng)  # the seed of dropout
    for batch in batches(runtime).draw(rng):
        optimiser.zero_grad()
        functional.cross_entropy(network(batch.images), batch.labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, tensor in state_of(network).params.items():
        # Adam divides by the gradient's size, so that rounding of a gradient near 0 moves an element by a step.
        assert float((trained.params[name] - tensor).abs().mean()) < 1e-4


def test_sophia_trains_a_control_point_like_its_slow_version(problem: Problem, runtime: Runtime) -> None:
    factor = torch.tensor(0.375)  # 2 t (1 - t) at t = ¼
    nothing = {name: torch.zeros_like(tensor) for name, tensor in problem.original.params.items()}
    scaled = Curve(original=nothing, end=nothing, positions=repeat(torch.tensor(0.25)))
    config = TrainConfig(epochs=1, learning_rate=0.003, weight_decay=0.02, batch_size=40, optimiser=Optimiser.SOPHIA_G)
    trained = train(runtime, problem.original, config, placement=scaled)
    network = runtime.network().train()
    leaves = {name: tensor.clone() for name, tensor in problem.original.params.items()}
    buffers = {name: tensor.clone() for name, tensor in problem.original.buffers.items()}
    mean = {name: torch.zeros_like(tensor) for name, tensor in leaves.items()}
    curvature: dict[str, Tensor] = {}
    rng = stream(0, "test")
    seed = int(torch.randint(2**62, (), generator=rng))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for batch in batches(runtime).draw(rng):
            point = {name: (factor * tensor).detach().requires_grad_() for name, tensor in leaves.items()}
            logits = runtime.forward(network, point, buffers, batch)
            if not curvature:  # three steps: only the first estimates
                labels = torch.multinomial(logits.detach().softmax(dim=1), 1).squeeze(1)
                sampled = torch.autograd.grad(
                    functional.cross_entropy(logits, labels), list(point.values()), retain_graph=True
                )
                curvature = {
                    name: 0.01 * len(labels) * (factor * part) ** 2 for name, part in zip(point, sampled, strict=True)
                }
            gradients = torch.autograd.grad(functional.cross_entropy(logits, batch.labels), list(point.values()))
            for name, gradient in zip(point, gradients, strict=True):
                mean[name] = 0.9 * mean[name] + 0.1 * factor * gradient
                step = (mean[name] / (0.05 * curvature[name]).clamp_min(1e-12)).clamp(-1, 1)
                leaves[name] = leaves[name] * (1 - 0.003 * 0.02) - 0.003 * step
    apart = torch.cat([(trained.params[name] - tensor).abs().flatten() for name, tensor in leaves.items()])
    # A step is nearly always clipped, so that where a gradient is about 0 its rounding decides the step's sign.
    assert float((apart < 1e-6).float().mean()) > 0.97


def test_the_same_seed_gives_the_same_bits(problem: Problem, runtime: Runtime) -> None:
    assert equal(train(runtime, problem.original), train(runtime, problem.original))


def test_another_seed_gives_other_bits(problem: Problem, runtime: Runtime) -> None:
    assert not equal(train(runtime, problem.original), train(runtime, problem.original, seed=1))


def test_nothing_outside_is_changed(problem: Problem, runtime: Runtime) -> None:
    model_before, start_before = state_of(runtime.model), replace(problem.original)
    copies = {name: tensor.clone() for name, tensor in {**start_before.params, **start_before.buffers}.items()}
    random_before = torch.get_rng_state()
    training_before = [module.training for module in runtime.model.modules()]
    train(runtime, problem.original)
    assert equal(state_of(runtime.model), model_before)
    for name, tensor in {**problem.original.params, **problem.original.buffers}.items():
        assert torch.equal(tensor, copies[name])
    assert torch.equal(torch.get_rng_state(), random_before)
    assert [module.training for module in runtime.model.modules()] == training_before


class _Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(functional.dropout(images.flatten(1), 0.5, self.training))
        return result


def test_dropout_is_seeded_and_leaves_the_global_random_state(runtime: Runtime) -> None:
    dropping = replace(runtime, model=_Dropping())
    start = state_of(dropping.model)
    before = torch.get_rng_state()
    first = train(dropping, start)
    torch.rand(3)
    assert equal(first, train(dropping, start))
    torch.set_rng_state(before)


def test_a_loss_that_is_not_finite_says_what_to_lower(problem: Problem, runtime: Runtime) -> None:
    def broken(logits: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(logits, batch) * math.inf

    with pytest.raises(DivergedError, match=r"epoch 1 of 2 .* lower the rate"):
        minimise(
            runtime,
            problem.original,
            broken,
            batches(runtime),
            CONFIG,
            rng=stream(0, "test"),
            phase=Phase.RETRAIN,
            lower="the rate",
        )


def test_training_ends_when_the_hook_says_so(problem: Problem, runtime: Runtime) -> None:
    seen: list[Epoch] = []

    def after(epoch: Epoch) -> bool:
        seen.append(epoch)
        return len(seen) == 2

    train(runtime, problem.original, CONFIG.model_copy(update={"epochs": 9}), after_epoch=after)
    assert [epoch.index for epoch in seen] == [0, 1]
    assert all(0.5 < epoch.accuracy <= 1.0 and math.isfinite(epoch.loss) for epoch in seen)


def test_progress_is_told_at_every_step(problem: Problem, runtime: Runtime) -> None:
    seen: list[ProgressUpdate] = []
    train(runtime, problem.original, progress=seen.append)
    assert [(update.epoch, update.step) for update in seen] == [(e, s) for e in range(2) for s in (1, 2, 3)]
    assert {(update.phase, update.epochs, update.steps) for update in seen} == {(Phase.RETRAIN, 2, 3)}


def test_the_mean_gradient_does_not_depend_on_the_batches(problem: Problem, runtime: Runtime) -> None:
    rows = torch.arange(50)
    whole, parts = (
        mean_gradient(replace(runtime, evaluation_batch=size), problem.original, rows, phase=Phase.MASK)
        for size in (50, 7)
    )
    network = runtime.network()
    network.load_state_dict({**problem.original.params, **problem.original.buffers})
    batch = runtime.reader.read(rows)
    functional.cross_entropy(network(batch.images), batch.labels).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(whole[name], parameter.grad, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(parts[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_a_compiled_training_is_the_same_training(problem: Problem, runtime: Runtime) -> None:
    # `aot_eager` captures and differentiates as the real compiler does, and generates no code, which takes minutes
    config = CONFIG.model_copy(update={"epochs": 1})
    plain, compiled = (
        train(each, problem.original, config) for each in (runtime, replace(runtime, compiler="aot_eager"))
    )
    for name, tensor in plain.params.items():
        torch.testing.assert_close(compiled.params[name], tensor, atol=1e-4, rtol=1e-3)


def test_any_torchvision_classifier_trains() -> None:
    architecture = ArchitectureConfig(
        name="torchvision:mobilenet_v3_small", classes=3, image_size=32, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    data = tiny_data()
    colour = replace(data, images=data.images.repeat(1, 3, 1, 1))
    runtime = tiny_runtime(colour, architecture)
    start = state_of(runtime.model)
    trained = train(runtime, start, CONFIG.model_copy(update={"epochs": 1}))
    assert not equal(trained, start)
