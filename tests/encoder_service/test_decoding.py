"""Every kind of picture that comes in, and everything that is none."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from encoder_service.decoding import ImageLimits, Subject, check_sides, decode
from patchsearch.errors import InvalidArgument

LIMITS = ImageLimits()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(24, 40, 3), no two corners alike, smooth enough for JPEG."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([6 * x, 10 * y, 255 - 3 * (x + y)], axis=2).astype(np.uint8)


def refused(data: bytes, subject: Subject = Subject.IMAGE, limits: ImageLimits = LIMITS):
    with pytest.raises(InvalidArgument) as caught:
        decode(data, subject, limits)
    return caught.value


def png_header(width: int, height: int) -> bytes:
    """A PNG of this size that ends where its pixels would begin."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_very_pixels(picture, encoded, kind, options):
    pixels = decode(encoded(picture, kind, **options), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels, picture)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(picture, encoded, progressive):
    data = encoded(picture, "JPEG", quality=98, subsampling=0, progressive=progressive)
    assert np.abs(decode(data, Subject.IMAGE, LIMITS).astype(int) - picture).max() <= 8


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"not an image at all",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF1234WEBPVP8 ",
    ],
    ids=["empty", "one byte", "text", "jpeg magic", "png magic", "webp magic"],
)
@pytest.mark.parametrize("subject", list(Subject))
def test_no_image_is_undecodable(data, subject):
    error = refused(data, subject)
    assert error.reason == f"{subject.name}_UNDECODABLE"
    assert "JPEG, PNG or WebP" in error.message


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "PDF"])
def test_formats_beyond_the_three_are_refused(picture, encoded, kind):
    assert refused(encoded(picture, kind)).reason == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_an_error(encoded, kind, share):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, kind)
    assert refused(data[: int(len(data) * share)]).reason == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_mutated_files_give_pixels_or_a_typed_error(picture, encoded, kind):
    sound = encoded(picture, kind)
    rng = np.random.default_rng(7)
    refusals = 0
    for _ in range(150):
        data = bytearray(sound)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(0, 256)
        try:
            pixels = decode(bytes(data), Subject.CROP, LIMITS)
        except InvalidArgument as error:
            assert error.reason in ("CROP_UNDECODABLE", "IMAGE_TOO_LARGE")
            refusals += 1
        else:
            assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    assert refusals > 0


@pytest.mark.parametrize("side", [9_000, 10_000, 30_000, 2_000_000])
def test_pixels_are_counted_before_they_are_decoded(side):
    # 9000: over our limit. 10000: Pillow warns as well. 30000 and more: Pillow refuses by itself.
    assert refused(png_header(side, side)).reason == "IMAGE_TOO_LARGE"


def test_the_limit_is_exact_and_named(picture, encoded):
    data = encoded(picture)
    assert decode(data, Subject.IMAGE, ImageLimits(max_pixels=24 * 40)).shape == (24, 40, 3)
    error = refused(data, limits=ImageLimits(max_pixels=24 * 40 - 1))
    assert error.reason == "IMAGE_TOO_LARGE"
    assert "40x24" in error.message


@pytest.mark.parametrize("subject", list(Subject))
def test_a_one_pixel_image_is_too_small(encoded, subject):
    pixels = decode(encoded(np.full((1, 1, 3), 9, dtype=np.uint8)), subject, LIMITS)
    with pytest.raises(InvalidArgument, match="1x1 px; the smallest side must be 8 px") as caught:
        check_sides(pixels.shape[1], pixels.shape[0], subject, LIMITS)
    assert caught.value.reason == f"{subject.name}_TOO_SMALL"
    check_sides(8, 8, subject, LIMITS)
    with pytest.raises(InvalidArgument):
        check_sides(7, 800, subject, LIMITS)


def test_grey_becomes_rgb(encoded):
    grey = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)
    for kind in ("PNG", "JPEG"):
        pixels = decode(encoded(grey, kind), Subject.IMAGE, LIMITS)
        assert pixels.shape == (12, 20, 3)
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert np.array_equal(decode(encoded(grey), Subject.IMAGE, LIMITS)[..., 1], grey)


def test_16_bit_grey_is_scaled_not_clipped(encoded):
    values = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    pixels = decode(encoded(values), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels[..., 0].ravel(), np.arange(256))


def test_16_bit_colour_is_scaled_not_clipped():
    rows = b"".join(
        b"\x00" + struct.pack(">HHH", v, 65535 - v, 257 * 7) * 8 for v in range(0, 65536, 8192)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    pixels = decode(data, Subject.IMAGE, LIMITS)
    assert pixels[:, 0, 0].tolist() == list(range(0, 256, 32))
    assert set(pixels[..., 2].ravel().tolist()) == {7}


def test_one_bit_and_palette(picture, encoded):
    bits = Image.fromarray((np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert(
        "1"
    )
    pixels = decode(encoded(bits), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels[..., 0], np.asarray(bits).astype(np.uint8) * 255)
    palette = Image.fromarray(picture).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(decode(encoded(palette), Subject.IMAGE, LIMITS), expected)


def test_transparency_is_laid_on_white(encoded):
    colour = np.zeros((16, 16, 4), dtype=np.uint8)
    colour[:, :, 0] = 200
    colour[:, :8, 3] = 255
    colour[:, 8:12, 3] = 128
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        pixels = decode(encoded(colour, kind, **options), Subject.IMAGE, LIMITS)
        assert pixels[0, 0].tolist() == [200, 0, 0]
        assert np.allclose(pixels[0, 9], [227, 127, 127], atol=1)
        assert pixels[0, 15].tolist() == [255, 255, 255]


def test_transparent_palette_and_grey_with_alpha(encoded):
    palette = Image.fromarray(np.eye(16, dtype=np.uint8), mode=None).convert("L").convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    pixels = decode(encoded(palette, transparency=0), Subject.IMAGE, LIMITS)
    assert pixels[0, 0].tolist() == [200, 100, 50]
    assert pixels[0, 1].tolist() == [255, 255, 255]
    grey = np.full((16, 16, 2), 90, dtype=np.uint8)
    grey[:, 8:, 1] = 0
    grey[:, :8, 1] = 255
    pixels = decode(encoded(Image.fromarray(grey)), Subject.IMAGE, LIMITS)
    assert pixels[0, 0].tolist() == [90, 90, 90] and pixels[0, 15].tolist() == [255, 255, 255]


def test_cmyk_jpeg_has_its_colours(encoded):
    inks = {(0, 255, 255, 0): "red", (255, 0, 255, 0): "green", (255, 255, 0, 0): "blue"}
    expected = {"red": [255, 0, 0], "green": [0, 255, 0], "blue": [0, 0, 255]}
    for ink, name in inks.items():
        data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.mode == "CMYK"
        assert np.allclose(decode(data, Subject.IMAGE, LIMITS)[8, 8], expected[name], atol=6)


@pytest.mark.parametrize("kind, options", [("WEBP", {"lossless": True}), ("PNG", {})])
def test_an_animation_is_its_first_frame(picture, encoded, kind, options):
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames == 2
    assert np.array_equal(decode(data, Subject.IMAGE, LIMITS), picture)


UPRIGHT = {  # EXIF 2.32, table 6: where the 0th row and the 0th column of the stored pixels belong
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind, options", [("PNG", {}), ("WEBP", {"lossless": True})])
def test_exif_orientation_is_applied(picture, encoded, orientation, kind, options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(picture, kind, exif=exif, **options), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels, UPRIGHT[orientation](picture))
    assert pixels.flags.c_contiguous


def test_exif_orientation_of_a_jpeg(picture, encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode(encoded(picture, "JPEG", quality=98, exif=exif), Subject.IMAGE, LIMITS)
    assert pixels.shape == (40, 24, 3)
    assert np.abs(pixels.astype(int) - UPRIGHT[6](picture)).mean() < 6


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\x00\x00", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"?"]
)
def test_a_damaged_exif_block_counts_as_none(picture, encoded, exif):
    pixels = decode(encoded(picture, "PNG", exif=exif), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels, picture)


def test_an_unknown_orientation_counts_as_none(picture, encoded):
    exif = Image.Exif()
    exif[0x0112] = 42
    pixels = decode(encoded(picture, "PNG", exif=exif), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels, picture)


def test_a_colour_profile_does_not_hinder(picture, encoded):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = decode(encoded(picture, "PNG", icc_profile=profile), Subject.IMAGE, LIMITS)
    assert np.array_equal(pixels, picture)
