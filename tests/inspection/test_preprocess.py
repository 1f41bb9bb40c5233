"""The same part gives the detector the same image, whatever the file is like."""

import io
import resource

import cv2
import numpy as np
import pytest
from factories import a_part, a_recipe, jpeg, png
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Reason
from edge_inspector.inspection.placement import Placement, resize
from edge_inspector.inspection.preprocess import as_image, decode, place, prepare
from edge_inspector.inspection.recipe import Region, Window

PART = a_part(0)


def by_pillow(mode: str, kind: str, **options: object) -> bytes:
    """Return the part as a file of that mode and kind."""
    buffer = io.BytesIO()
    Pillow.fromarray(PART[..., ::-1]).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    """Return the part as a JPEG whose EXIF says how to turn it."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return by_pillow("RGB", "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_give_the_camera_s_pixels(suffix: str) -> None:
    """PNG, BMP and TIFF of one part are one image, blue-green-red."""
    found = decode(bytes(cv2.imencode(suffix, PART)[1]), 3)

    assert found.dtype == np.uint8
    assert np.array_equal(found, PART)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1"])
def test_every_kind_of_png_has_the_channels_asked_for(mode: str, channels: int) -> None:
    """Grey, colour, palette, alpha, one bit: the detector never sees another number of channels."""
    found = decode(by_pillow(mode, "PNG"), channels)

    assert found.dtype == np.uint8
    assert found.shape == ((120, 160) if channels == 1 else (120, 160, 3))


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "PNG"), ("CMYK", "TIFF")])
def test_unusual_colour_models_show_the_same_part(mode: str, kind: str) -> None:
    """A CMYK JPEG is neither refused nor inverted, an opaque alpha channel changes nothing."""
    grey = decode(by_pillow(mode, kind), 1).astype(float)

    assert np.abs(grey - cv2.cvtColor(PART, cv2.COLOR_BGR2GRAY)).mean() < 3


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_sixteen_bits(channels: int) -> None:
    """A 16-bit camera's grey values reach the window as they are."""
    image = (np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13) % 65521
    found = decode(png(image), channels)

    assert found.dtype == np.uint16
    assert np.array_equal(found if channels == 1 else found[..., 1], image)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_an_image_is_rotated_as_its_exif_says(orientation: int, turns: int) -> None:
    """A camera mounted on its side gives upright parts."""
    found = decode(turned(orientation), 3)
    expected = np.rot90(decode(turned(1), 3), turns)

    assert found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).mean() < 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_depth_that_no_camera_gives_is_refused(dtype: type[np.floating]) -> None:
    """A TIFF of floating-point numbers has no white and no black."""
    data = bytes(cv2.imencode(".tiff", np.ones((8, 8), dtype))[1])

    with pytest.raises(UnreadableImageError) as caught:
        decode(data, 1)
    assert caught.value.reason is Reason.WRONG_FORMAT


@pytest.mark.parametrize(("shape", "channels"), [((8, 6), 1), ((8, 6), 3), ((8, 6, 3), 1), ((8, 6, 3), 3)])
def test_a_camera_s_own_pixels_get_the_channels_asked_for(shape: tuple[int, ...], channels: int) -> None:
    """Grey and colour cameras can serve grey and colour recipes."""
    found = as_image(np.full(shape, 90, np.uint8), channels)

    assert found.shape == ((8, 6) if channels == 1 else (8, 6, 3))
    assert (found == 90).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (160, 120), (320, 96)])
def test_the_detector_s_image_has_the_recipe_s_size(size: tuple[int, int], channels: int) -> None:
    """Smaller, equal or larger than the camera's."""
    image = as_image(png(PART), channels)
    model_input, placement = prepare(image, a_recipe(width=size[0], height=size[1], channels=channels))

    assert model_input.shape == (size[1], size[0], channels)
    assert model_input.dtype == np.uint8
    assert model_input.flags.c_contiguous
    assert placement == Placement(0, 0, 160, 120, *size)


def test_a_colour_detector_sees_red_first() -> None:
    """OpenCV's blue-green-red ends here."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 2] = 200
    model_input, _ = prepare(image, a_recipe(channels=3, camera_width=64, camera_height=64))

    assert model_input[0, 0].tolist() == [200, 0, 0]


def test_only_the_region_is_looked_at() -> None:
    """What lies outside the region can change as it likes."""
    recipe = a_recipe(region=Region(x=40, y=20, width=64, height=64))
    image = as_image(png(PART), 1)
    other = image.copy()
    other[:20] = 0
    other[:, :40] = 255
    other[84:] = 7

    assert np.array_equal(prepare(image, recipe)[0], prepare(other, recipe)[0])
    assert np.array_equal(prepare(image, recipe)[0][..., 0], image[20:84, 40:104])


@pytest.mark.parametrize("region", [(100, 0, 64, 64), (0, 57, 64, 64), (0, 0, 161, 10), (160, 0, 8, 8)])
def test_a_region_outside_the_image_is_refused(region: tuple[int, int, int, int]) -> None:
    """A camera set to another size is named as the cause, with both sizes."""
    x, y, width, height = region
    recipe = a_recipe(region=Region(x=x, y=y, width=width, height=height))

    with pytest.raises(UnreadableImageError, match="is outside 160x120 pixels") as caught:
        place(PART, recipe)
    assert caught.value.reason is Reason.WRONG_FORMAT


def test_a_sixteen_bit_image_goes_through_the_learned_window() -> None:
    """Low becomes 0, high 255, beyond is cut: the same grey value means the same in every image."""
    image = np.full((64, 64), 2000, np.uint16)
    image[0, :5] = 0, 1000, 1500, 3000, 65535
    model_input, _ = prepare(image, a_recipe(camera_width=64, camera_height=64, window=Window(low=1000, high=3000)))

    assert model_input[0, :6, 0].tolist() == [0, 0, 64, 255, 255, 128]


@pytest.mark.parametrize(("dtype", "window"), [(np.uint16, None), (np.uint8, Window(low=0, high=4095))])
def test_another_depth_than_the_part_was_trained_with_is_refused(
    dtype: type[np.integer], window: Window | None
) -> None:
    """An 8-bit image under a 16-bit recipe would be almost black, and nothing would look unusual."""
    with pytest.raises(UnreadableImageError) as caught:
        prepare(np.zeros((64, 64), dtype), a_recipe(window=window))

    assert caught.value.reason is Reason.WRONG_FORMAT


@pytest.mark.parametrize("channels", [1, 3])
def test_the_camera_s_image_is_left_as_it_was(channels: int) -> None:
    """The archive and the thumbnail show what the camera gave."""
    image = PART.copy()
    prepare(as_image(image, channels), a_recipe(channels=channels))

    assert np.array_equal(image, PART)


@settings(deadline=None)
@given(camera=st.integers(1, 2000), start=st.integers(0, 200), length=st.integers(1, 200), rest=st.integers(0, 200))
@example(camera=115, start=96, length=2, rest=0)
def test_a_box_on_the_map_lies_inside_the_camera_image(camera: int, start: int, length: int, rest: int) -> None:
    """Boxes are never empty, never stick out, and hold all of what they stand for, to the exact fraction."""
    side = start + length + rest
    x, y, width, height = Placement(7, 9, camera, camera, side, side).to_camera(start, start, length, length)

    assert (x - 7, width) == (y - 9, height)
    assert 7 <= x < x + width <= 7 + camera
    assert (x - 7) * side <= start * camera
    assert (x - 7 + width) * side >= (start + length) * camera


def test_jpeg_and_png_of_one_part_look_the_same_to_the_detector() -> None:
    """The compression of a good JPEG moves the detector's image by a grey value or so."""
    model_inputs = [prepare(as_image(data, 1), a_recipe())[0].astype(float) for data in (jpeg(PART), png(PART))]

    assert np.abs(model_inputs[0] - model_inputs[1]).mean() < 1


@pytest.mark.parametrize(("width", "height"), [(8, 8), (120, 160), (79, 59), (160, 100)])
def test_an_image_of_another_size_or_shape_is_refused(width: int, height: int) -> None:
    """Stretched to fit, the image of another camera could look like a good part."""
    with pytest.raises(UnreadableImageError) as caught:
        prepare(np.zeros((height, width), np.uint8), a_recipe())

    assert caught.value.reason is Reason.WRONG_FORMAT


def test_a_sharper_camera_of_the_same_shape_is_taken() -> None:
    """Twice the pixels of the same view are the same view; and where sizes varied in training, any size is taken."""
    doubled, _ = prepare(np.zeros((240, 320), np.uint8), a_recipe())
    other, _ = prepare(np.zeros((50, 90), np.uint8), a_recipe(sizes_vary=True))

    assert doubled.shape == other.shape == (64, 64, 1)


def test_slow_light_is_taken_out_of_an_image() -> None:
    """With `normalise = local` a part lit from the left looks like the part lit from the right."""
    detail = np.random.default_rng(0).integers(100, 130, (256, 256)).astype(np.float32)
    left, right = (
        np.clip(detail * light, 0, 255).astype(np.uint8)
        for light in (np.linspace(1.6, 0.6, 256), np.linspace(0.6, 1.6, 256))
    )
    changes = {"camera_width": 256, "camera_height": 256, "width": 256, "height": 256}
    plain, local = (
        [prepare(image, a_recipe(**changes, normalise=kind))[0].astype(float) for image in (left, right)]
        for kind in ("none", "local")
    )

    inside = np.s_[:, 64:192]  # the surroundings of the rim are cut off by it

    assert np.abs(local[0] - local[1])[inside].mean() < np.abs(plain[0] - plain[1])[inside].mean() / 4


@pytest.mark.parametrize("camera", [(1944, 2592), (1000, 1000), (401, 640), (300, 200), (256, 256)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_smaller_image_has_the_means_of_the_areas_it_covers(camera: tuple[int, int], channels: int) -> None:
    """Whatever way is quick: hardly off the exact mean, and the camera's image stays as it is."""
    noise = np.random.default_rng(0).integers(0, 256, (*camera, channels), np.uint8).squeeze()
    image = cv2.GaussianBlur(noise, (0, 0), 2)
    before = image.copy()
    exact = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA if camera[1] > 256 else cv2.INTER_LINEAR)

    found = resize(image, 256, 256)

    assert found.shape[:2] == (256, 256)
    assert np.abs(found.astype(int) - exact).max() <= 6
    assert np.abs(found.astype(int) - exact).mean() < 1
    assert np.array_equal(image, before)


def test_an_image_for_which_there_is_no_memory_is_no_bad_image() -> None:
    """INVALID would send somebody to the camera; what fails is this PC."""
    large = png(np.zeros((8000, 8000, 3), np.uint8))
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1, limits[1]))
    try:
        with pytest.raises(MemoryError, match="no memory for an image"):
            decode(large, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
