import torch

from mcu_core.models import build, state_of
from mcu_core.packing import ALIGNMENT, layout_of
from mcu_core.types import Params
from tests.cases import TINY


def tensors() -> Params:
    return {**state_of(build(TINY)).params, "scalar": torch.tensor(3.0)}


def moving(params: Params) -> frozenset[str]:
    return frozenset(name for name in params if "conv2" in name or name == "scalar")


def test_what_is_packed_comes_back_bit_for_bit() -> None:
    params = tensors()
    layout = layout_of(params, moving(params))
    views = layout.views(layout.pack(params))
    assert set(views) == set(params)
    assert all(torch.equal(views[name], tensor) for name, tensor in params.items())


def test_views_share_the_memory_of_the_flat_tensor() -> None:
    params = tensors()
    layout = layout_of(params, frozenset(params))
    flat = layout.pack(params)
    views = layout.views(flat)
    flat.fill_(7.0)
    assert all(bool((view == 7.0).all()) for view in views.values())


def test_the_packed_tensors_are_copies() -> None:
    params = tensors()
    layout = layout_of(params, frozenset(params))
    before = {name: tensor.clone() for name, tensor in params.items()}
    layout.pack(params).fill_(7.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in params.items())


def test_kernels_lie_channels_last() -> None:
    params = tensors()
    layout = layout_of(params, frozenset(params))
    kernels = [view for view in layout.views(layout.pack(params)).values() if view.ndim == 4]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_every_tensor_begins_aligned() -> None:
    params = tensors()
    assert all(offset % ALIGNMENT == 0 for offset in layout_of(params, moving(params)).offsets.values())


def test_the_moving_tensors_come_first() -> None:
    params = tensors()
    layout = layout_of(params, moving(params))
    flat = layout.pack(params)
    assert set(layout.views(flat[: layout.moving_size])) == moving(params)


def test_what_is_not_given_is_zero() -> None:
    params = tensors()
    layout = layout_of(params, frozenset(params))
    views = layout.views(layout.pack({"scalar": params["scalar"]}))
    assert float(views.pop("scalar")) == 3.0
    assert not any(bool(view.any()) for view in views.values())
