import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mcu_core.config import Precision
from mcu_core.models import state_of
from mcu_core.runtime import Runtime, processor_name, resolve_precision, stream

CPU = torch.device("cpu")


def test_an_explicit_precision_is_obeyed() -> None:
    assert resolve_precision(Precision.FLOAT32, CPU) == torch.float32
    assert resolve_precision(Precision.BFLOAT16, CPU) == torch.bfloat16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "amx_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_is_chosen_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision(Precision.AUTO, CPU) == expected


def test_equal_cores_are_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    core = "model\t\t: 2\nmodel name\t: Abacus 9\nflags\t: add\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: core + core)
    assert processor_name(CPU) == f"Abacus 9 ({torch.backends.cpu.get_cpu_capability()})"


def test_the_architecture_stands_in_for_a_processor_that_nobody_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, encoding: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert processor_name(CPU) == f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"


def test_a_purpose_has_its_own_stream() -> None:
    first, again, other = (torch.rand(3, generator=stream(1, name)) for name in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_bfloat16_still_gives_float32_outputs(runtime: Runtime) -> None:
    half = replace(runtime, dtype=torch.bfloat16)
    state = state_of(half.network())
    outputs = half.forward(half.network(), state.params, state.buffers, half.reader.read(torch.arange(4)))
    exact = runtime.forward(runtime.network(), state.params, state.buffers, runtime.reader.read(torch.arange(4)))
    assert outputs.dtype == torch.float32
    assert not torch.equal(outputs, exact)
    torch.testing.assert_close(outputs, exact, atol=0.2, rtol=0.1)  # bfloat16 keeps 8 bits


def test_chunks_are_nearly_equal_and_keep_the_order(runtime: Runtime) -> None:
    rows = torch.arange(130)
    chunks = [batch.labels for batch in runtime.chunks(rows)]
    assert [len(labels) for labels in chunks] == [44, 43, 43]
    assert torch.equal(torch.cat(chunks), runtime.reader.data.labels[rows])
    assert runtime.chunk_count(rows) == 3
