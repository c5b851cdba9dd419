import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.audit.blind import image_statistics
from mcu_core.images import ImageData


def images(seed: int, count: int, channels: int, height: int, width: int) -> ImageData:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, channels, height, width), generator=rng, dtype=torch.uint8)
    return ImageData(images=pixels, labels=torch.zeros(count, dtype=torch.int64))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
def test_statistics_equal_those_of_each_image_alone(
    seed: int, channels: int, height: int, width: int, batch: int
) -> None:
    data = images(seed, 6, channels, height, width)
    found = image_statistics(data, torch.arange(6), batch=batch)
    for row, image in zip(found, data.images.double().numpy() / 255.0, strict=True):
        across = np.abs(np.diff(image, axis=2)).mean() if width > 1 else 0.0
        down = np.abs(np.diff(image, axis=1)).mean() if height > 1 else 0.0
        dark = (image < 0.125).mean()
        np.testing.assert_allclose(row, [image.mean(), image.std(), across, down, dark], atol=1e-6)  # float32
