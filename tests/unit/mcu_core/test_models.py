import pytest
import torch

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import ArchitectureError
from mcu_core.models import build, initialise, names, state_of
from mcu_core.models.preresnet import BASIC_DEPTHS


def architecture(name: str, *, classes: int = 10, channels: int = 3, image_size: int = 32) -> ArchitectureConfig:
    return ArchitectureConfig.model_validate(
        {
            "name": name,
            "classes": classes,
            "channels": channels,
            "image_size": image_size,
            "mean": (0.5,) * channels,
            "std": (0.5,) * channels,
        }
    )


def parameters(name: str) -> int:
    return sum(parameter.numel() for parameter in build(architecture(name)).parameters())


def test_preresnet110_has_the_published_number_of_parameters() -> None:
    assert parameters("preresnet110") == 1_146_842


@pytest.mark.parametrize("depth", BASIC_DEPTHS)
def test_a_preresnet_has_as_many_layers_as_its_name_says(depth: int) -> None:
    weights = [
        name
        for name, parameter in build(architecture(f"preresnet{depth}")).named_parameters()
        if parameter.ndim > 1 and "shortcut" not in name
    ]
    assert len(weights) == depth


@pytest.mark.parametrize(("name", "channels", "size"), [("preresnet8", 1, 28), ("preresnet110", 3, 8)])
def test_a_preresnet_answers_for_any_image_size(name: str, channels: int, size: int) -> None:
    model = build(architecture(name, classes=7, channels=channels, image_size=size)).eval()
    assert model(torch.zeros(2, channels, size, size)).shape == (2, 7)


def test_torchvision_classifiers_get_the_width_of_the_output() -> None:
    model = build(architecture("torchvision:squeezenet1_1", classes=5, image_size=64)).eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize(("name", "size"), [("googlenet", 32), ("inception_v3", 75)])
def test_classifiers_with_auxiliary_heads_have_one_output_in_training_too(name: str, size: int) -> None:
    with torch.device("meta"):
        model = build(architecture(f"torchvision:{name}", classes=5, image_size=size)).train()
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 5)
    assert not [part for part, _ in model.named_modules() if part.lower().startswith("aux")]


def test_a_vision_transformer_is_built_for_the_image_size() -> None:
    model = build(architecture("torchvision:vit_b_32", classes=5, image_size=64)).eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_a_vision_transformer_refuses_a_size_that_patches_do_not_fill() -> None:
    with pytest.raises(ArchitectureError, match="divisible by 16"):
        build(architecture("torchvision:vit_b_16", image_size=60))


@pytest.mark.parametrize("name", ["preresnet9", "resnet18", "torchvision:resnet19"])
def test_an_unknown_name_lists_what_exists(name: str) -> None:
    with pytest.raises(ArchitectureError, match=r"preresnet8, preresnet14, .*torchvision:resnet18"):
        build(architecture(name))


def test_torchvision_classifiers_refuse_grey_images() -> None:
    with pytest.raises(ArchitectureError, match="3 channels"):
        build(architecture("torchvision:resnet18", channels=1))


def test_names_are_valid_configurations() -> None:
    for name in names():
        assert architecture(name).name == name


def test_initialisation_repeats_with_its_seed_and_leaves_the_global_random_state() -> None:
    config = architecture("preresnet8")
    before = torch.get_rng_state()
    first, again, other = (initialise(config, seed).params["conv.weight"] for seed in (1, 1, 2))
    build(config)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_has_exactly_the_names_of_the_state_dict() -> None:
    model = build(architecture("preresnet8"))
    state = state_of(model)
    assert {*state.params, *state.buffers} == set(model.state_dict())
    assert not state.params.keys() & state.buffers.keys()
