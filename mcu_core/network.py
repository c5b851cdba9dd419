"""A network whose parameters lie in memory that somebody else changes."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mcu_core.errors import NoEffectError
from mcu_core.packing import Layout
from mcu_core.parallel import average_, synchronise_batchnorm
from mcu_core.runtime import Runtime
from mcu_core.types import Buffers


class TrainedNetwork:
    """A private copy of a runtime's network in train mode.

    Its parameters are views that are put into the modules once, instead of being exchanged at every call. Under
    bfloat16 the weights of convolutions and linear layers are cast all at once, instead of each by autocast: the same
    bits by one operator. BatchNorm modules with a fixed momentum never read their count of batches, so it is not
    counted up in each of them at every step, but once, at the end; a module that runs more than once in a forward pass
    counts one.
    """

    steps: int = 0
    """Batches so far; whoever calls `forward` counts them."""

    def __init__(
        self, runtime: Runtime, buffers: Buffers, layout: Layout, point: Tensor, moving: AbstractSet[str]
    ) -> None:
        network = runtime.network()
        self._point = point
        self._cast = torch.empty_like(point, dtype=runtime.dtype) if runtime.dtype != torch.float32 else None
        views = layout.views(point)
        if self._cast is not None:
            views |= {name: view for name, view in layout.views(self._cast).items() if name in _castable(network)}
        network.load_state_dict(dict(buffers), strict=False)
        network = synchronise_batchnorm(network, runtime.device).train()
        parameters = dict(network.named_parameters())
        for name, parameter in parameters.items():
            parameter.data = views[name]
            parameter.requires_grad_(name in moving)
        self.moving = [parameters[name] for name in views if name in moving]
        """The parameters that gradients are computed for, in the order of the views."""
        self._counters = _without_counters(network)
        self._start = buffers
        self._modules = network
        self._runtime = runtime
        self._called = network if runtime.compiler is None else _compiled(network, runtime.compiler)

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs for images `[B, C, H, W]`, float32 `[B, K]`.

        Raises:
            NoEffectError: the batch is a single image, of which BatchNorm sees one value a channel.
        """
        if self._cast is not None:
            self._cast.copy_(self._point)
        try:
            return self._runtime.apply(self._called, images)
        except ValueError as error:
            if len(images) > 1:
                raise
            raise NoEffectError(
                "a single image cannot train this network: its BatchNorm sees one value a channel. Take a method that "
                "reads D_r beside D_f, or larger images"
            ) from error

    def buffers(self) -> dict[str, Tensor]:
        """Return a copy of the buffers as training left them, averaged over all ranks where they are no counts."""
        current = self._modules.state_dict()
        result = {
            name: before + self.steps if name in self._counters else current[name].clone()
            for name, before in self._start.items()
        }
        for tensor in result.values():
            if tensor.is_floating_point():
                average_(tensor)
        return result


def _castable(network: nn.Module) -> frozenset[str]:
    """Return the parameters that autocast would cast at every use: those of plain convolutions and linear layers."""
    return frozenset(
        f"{prefix}.{name}" if prefix else name
        for prefix, module in network.named_modules()
        if type(module) in {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear}  # what derives from them may use it otherwise
        for name, _ in module.named_parameters(recurse=False)
    )


def _without_counters(network: nn.Module) -> frozenset[str]:
    """Take the counter from every BatchNorm that does not read it; return their names."""
    taken: set[str] = set()
    for name, module in network.named_modules():
        counts = isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm)  # which insists on it
        if counts and module.momentum is not None and module.num_batches_tracked is not None:
            module.num_batches_tracked = None
            taken.add(f"{name}.num_batches_tracked" if name else "num_batches_tracked")
    return frozenset(taken)


def _compiled(network: nn.Module, backend: str) -> Callable[[Tensor], Tensor]:
    """Return the network whose forward and backward are compiled at its first call, for one shape of batch."""
    compiled: Callable[[Tensor], Tensor] = torch.compile(network, backend=backend, dynamic=False)
    return compiled
