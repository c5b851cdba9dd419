"""What turns weights and positions into outputs: network, samples, device, arithmetic; decided once, then carried."""

import copy
import hashlib
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mcu_core.config import Precision, UnlearningConfig
from mcu_core.data import BatchReader
from mcu_core.types import Batch, Buffers, Params, Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runtime:
    """A network over an array of samples on a device."""

    model: nn.Module
    """The architecture; its own weights are neither read nor changed."""
    reader: BatchReader
    dtype: torch.dtype
    """Of the forward pass: float32, or bfloat16 under autocast. Weights, statistics and losses are float32."""
    evaluation_batch: int
    """Images a forward pass without gradient."""
    compiler: str | None = None
    """Backend of `torch.compile` for the networks that are trained; `None` runs operator by operator."""

    @property
    def device(self) -> torch.device:
        """Return the device that computes."""
        return self.reader.device

    def network(self) -> nn.Module:
        """Return a private copy of the architecture on the device, in eval mode."""
        return copy.deepcopy(self.model).to(self.device).eval()

    def forward(self, network: nn.Module, params: Params, buffers: Buffers, batch: Batch) -> Tensor:
        """Return the outputs of a copy of the network with other weights, float32 `[B, K]`.

        BatchNorm in train mode changes `buffers` in place.
        """
        with self._arithmetic():
            outputs: Tensor = functional_call(network, {**params, **buffers}, (batch.images,))
        return outputs.float()

    def apply(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return the outputs of a network with its own weights, float32 `[B, K]`."""
        with self._arithmetic():
            outputs: Tensor = network(images)
        return outputs.float()

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def chunks(self, rows: Tensor) -> Iterator[Batch]:
        """Yield all of `rows` in order, in nearly equal batches of at most `evaluation_batch`."""
        for chunk in rows.tensor_split(self.chunk_count(rows)):
            yield self.reader.read(chunk)

    def chunk_count(self, rows: Tensor) -> int:
        """Return how many batches `chunks` yields."""
        return max(1, math.ceil(len(rows) / self.evaluation_batch))

    def in_float32(self) -> "Runtime":
        """Return the same runtime in float32."""
        return replace(self, dtype=torch.float32)


def runtime_of(problem: Problem, config: UnlearningConfig) -> Runtime:
    """Return the runtime of a problem, on the device of its original."""
    reader = BatchReader(data=problem.data, architecture=problem.architecture, device=problem.device)
    dtype = resolve_precision(config.precision, problem.device)
    return Runtime(
        model=problem.model,
        reader=reader,
        dtype=dtype,
        evaluation_batch=config.evaluation_batch,
        compiler="inductor" if config.compile else None,
    )


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Decide the arithmetic of the forward pass.

    `AUTO` takes bfloat16 only where the processor has instructions for it (AMX or AVX512-BF16, CUDA from Ampere on):
    emulated bfloat16 is slower than float32.

    Args:
        precision: the setting.
        device: that will compute.

    Returns:
        `torch.bfloat16` or `torch.float32`.
    """
    match precision:
        case Precision.FLOAT32:
            return torch.float32
        case Precision.BFLOAT16:
            return torch.bfloat16
        case Precision.AUTO:
            return torch.bfloat16 if _computes_in_bfloat16(device) else torch.float32


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


def processor_name(device: torch.device) -> str:
    """Return the model of what computes, for people; of a CPU also the instructions that torch uses there.

    A CPU is named by Linux alone; elsewhere its architecture stands in.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    fields = (line.partition(":") for line in lines)
    names = dict.fromkeys(value.strip() for name, _, value in fields if name.strip() == "model name")
    return f"{' '.join(names) or platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"


def stream(seed: int, purpose: str) -> torch.Generator:
    """Return a generator that belongs to one purpose of one run.

    Each purpose has its own, so that a change in how much one of them draws leaves the others as they were.

    Args:
        seed: of the run.
        purpose: a constant name.

    Returns:
        A CPU generator seeded with the first 63 bits of BLAKE2b(seed, purpose).
    """
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
