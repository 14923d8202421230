"""Heat maps as images for TensorBoard, without matplotlib, which is optional."""

import numpy as np

# At most so many steps and units are in an image: packing it takes time.
_PIXELS = 128
# Points of matplotlib's viridis, and of its RdBu from blue to red, as `klv.plots` uses them.
_ONE_SIDED = ("440154", "414487", "2a788e", "22a884", "7ad151", "fde725")
_TWO_SIDED = ("053061", "4393c3", "f7f7f7", "d6604d", "67001f")
_MISSING = 166


def heat_image(values: np.ndarray, one_sided: bool) -> np.ndarray:
    """(time, units) as an image uint8 (height, width, 3), a few pixels for each value."""
    values = values.reshape(len(values), -1)[:_PIXELS, :_PIXELS].T
    if one_sided:
        share, colours = values, _ONE_SIDED
    else:
        high = np.nanmax(np.abs(values), initial=0) or 1.0
        share, colours = (values / high + 1) / 2, _TWO_SIDED
    points = np.array([[int(c[k : k + 2], 16) for k in (0, 2, 4)] for c in colours])
    at = np.nan_to_num(share) * (len(points) - 1)
    image = np.stack([np.interp(at, range(len(points)), points[:, k]) for k in range(3)], axis=-1)
    image[~np.isfinite(share)] = _MISSING
    scale = min(8, max(1, _PIXELS // max(image.shape[:2])))
    return image.round().astype("uint8").repeat(scale, axis=0).repeat(scale, axis=1)
