"""Odd and hostile pictures, each made here, with what must come of it."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file: how to make it, and either a word of its error or its size and top left pixel."""

    name: str
    make: Callable[[Path], object]
    error: str = ""
    size: tuple[int, int] = (0, 0)
    corner: tuple[int, int, int] | None = None
    tolerance: int = 0


def photo(width: int = 48, height: int = 32) -> Image.Image:
    """A picture whose top left corner is red, and that is different everywhere."""
    y, x = np.mgrid[:height, :width]
    values = np.stack([x * 5 % 256, y * 7 % 256, (x + y) * 3 % 256], axis=-1).astype(np.uint8)
    values[: height // 4, : width // 4] = RED
    return Image.fromarray(values)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def after_header(data: bytes, extra: bytes) -> bytes:
    return data[:33] + extra + data[33:]


def bomb(side: int) -> bytes:
    """One-bit rows of zeros, compressed without ever being held in memory."""
    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def exif_block(orientation: int, padding: int = 0) -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4 + padding)


def turned(orientation: int, file_format: str) -> bytes:
    exif = b"Exif\0\0" + exif_block(orientation)
    options = {"lossless": True} if file_format == "WEBP" else {}
    return encoded(photo(), file_format, exif=exif, **options)


def jpeg_with_segments(marker: int, body: bytes, count: int, image: Image.Image) -> bytes:
    data = encoded(image, "JPEG", quality=95)
    segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    return data[:2] + segment * count + data[2:]


def palette_with_alpha() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    return image


def animation(file_format: str, **options: object) -> bytes:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, GREEN, BLUE)]
    return encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)


def gif(width: int, height: int, frame: tuple[int, int, int, int], disposal: int = 0) -> bytes:
    control = b"\x21\xf9\x04" + bytes([disposal << 2, 0, 0, 0, 0])
    palette = bytes([255, 0, 0, 0, 0, 255])
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + palette + control + b"\x2c"
        + struct.pack("<4HB", *frame, 0) + b"\x02\x02\x44\x01\x00\x3b"
    )  # fmt: skip


def bmp(width: int, height: int, body: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + head + body


def jpeg_with_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def damaged_at(data: bytes, position: int, value: int = 0xFF) -> bytes:
    return data[:position] + bytes([data[position] ^ value]) + data[position + 1 :]


def tiff_with_huge_tile() -> bytes:
    entries = [
        (256, 4, 16), (257, 4, 16), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, 60_000), (323, 4, 60_000), (324, 4, 8), (325, 4, 8),
    ]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


def file(name: str, data: Callable[[], bytes], **outcome: object) -> Case:
    return Case(name=name, make=lambda path: path.write_bytes(data()), **outcome)  # type: ignore[arg-type]


def lossless(image: Image.Image, file_format: str, **options: object) -> Callable[[], bytes]:
    return lambda: encoded(image, file_format, **options)


def cut(file_format: str, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        data = encoded(Image.fromarray(noise), file_format, **options)
        return data[: len(data) // 2]

    return make


PHOTO = photo()
GREY16 = Image.fromarray(np.full((4, 6), 257 * 100, np.uint16))
TRUNCATED = [
    file(f"truncated-{name}.{extension}", cut(name, **options), error="cut short|damaged")
    for name, extension, options in (
        ("JPEG", "jpg", {}), ("JPEG", "progressive.jpg", {"progressive": True}),
        ("PNG", "png", {}), ("WEBP", "webp", {}), ("WEBP", "lossless.webp", {"lossless": True}),
        ("BMP", "bmp", {}), ("GIF", "gif", {}), ("TIFF", "tif", {}),
        ("TIFF", "deflate.tif", {"compression": "tiff_adobe_deflate"}), ("PPM", "ppm", {}),
    )
]  # fmt: skip
TURNED = [
    file(
        f"orientation-{value}.{file_format.lower()}",
        lambda value=value, file_format=file_format: turned(value, file_format),
        size=(32, 48) if value > 4 else (48, 32),
    )
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF")
    for value in range(1, 9)
]
FOREIGN = [
    file(name, lambda data=data: data, error=word)
    for name, data, word in (
        ("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        ("page-2.png", b"\n <HTML>not found</HTML>", "web page"),
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        ("drawing-2.png", b"<?xml version='1.0'?>\n<svg/>", "SVG"),
        ("paper.png", b"%PDF-1.7\n", "PDF"),
        ("print.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS"),
        ("layers.png", b"8BPS\0\1" + bytes(20), "PSD"),
        ("stars.png", b"SIMPLE  =                    T" + b" " * 2850, "FITS"),
        ("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(20), "HEIC"),
        ("new.jpg", b"\0\0\0\x18ftypavif" + bytes(20), "AVIF"),
        ("clip.jpg", b"\0\0\0\x18ftypisom" + bytes(20), "video"),
        ("wave.jpg", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        ("scan.png", bytes(128) + b"DICM" + bytes(20), "DICOM"),
        ("array.png", b"\x93NUMPY\1\0", "numpy"),
        ("book.jpg", b"PK\3\4" + bytes(30), "ZIP"),
        ("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("zeros.jpg", bytes(5000), "zero bytes"),
        ("notes.jpg", b"this is only a line of text", "text"),
        ("noise.jpg", bytes(range(200, 256)), "no known picture format"),
        ("one-byte.jpg", b"\xff", "no known picture format"),
    )
]

CASES: tuple[Case, ...] = (
    file("empty.jpg", bytes, error="empty"),
    *FOREIGN,
    *TRUNCATED,
    *TURNED,
    file("cmyk.jpg", lossless(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG"),
         size=(9, 9), corner=RED, tolerance=4),
    file("cmyk.tif", lossless(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "TIFF"),
         size=(9, 9), corner=RED),
    file("grey16.png", lossless(GREY16, "PNG"), size=(6, 4), corner=(100, 100, 100)),
    file("grey16.tif", lossless(GREY16, "TIFF"), size=(6, 4), corner=(100, 100, 100)),
    file("grey16.pgm", lambda: b"P5 2 1 65535\n" + struct.pack(">HH", 257 * 100, 0), size=(2, 1),
         corner=(100, 100, 100)),
    file("colour16.png", lambda: png(1, 1, struct.pack(">BHHH", 0, 0x64FF, 0, 65535), depth=16),
         size=(1, 1), corner=(100, 0, 255)),
    file("palette-alpha.png", lossless(palette_with_alpha(), "PNG", transparency=b"\0\xff"),
         size=(8, 8), corner=WHITE),
    file("palette.png", lossless(palette_with_alpha(), "PNG"), size=(8, 8), corner=RED),
    file("colour-key.png", lossless(Image.new("RGB", (3, 3), RED), "PNG", transparency=RED),
         size=(3, 3), corner=WHITE),
    file("alpha.png", lossless(Image.new("RGBA", (5, 5), (255, 0, 0, 0)), "PNG"),
         size=(5, 5), corner=WHITE),
    file("half-alpha.webp", lossless(Image.new("RGBA", (5, 5), (0, 0, 0, 51)), "WEBP",
         lossless=True, exact=True), size=(5, 5), corner=(204, 204, 204)),
    file("grey-alpha.png", lossless(Image.new("LA", (5, 5), (0, 51)), "PNG"),
         size=(5, 5), corner=(204, 204, 204)),
    file("one-bit.png", lossless(Image.new("1", (9, 5), 1), "PNG"), size=(9, 5), corner=WHITE),
    file("one-bit.tif", lossless(Image.new("1", (9, 5), 1), "TIFF", compression="group4"),
         size=(9, 5), corner=WHITE),
    file("one-bit.pbm", lambda: b"P4 8 1\n\x7f", size=(8, 1), corner=WHITE),
    file("plain.ppm", lambda: b"P3 # made by hand\n1 1 255 255 0 0\n", size=(1, 1), corner=RED),
    file("lab.tif", lossless(Image.new("LAB", (5, 5), (255, 128, 128)), "TIFF"),
         size=(5, 5), corner=WHITE, tolerance=2),
    file("float.tif", lossless(Image.fromarray(np.full((3, 4), 0.4, np.float32)), "TIFF"),
         size=(4, 3), corner=(102, 102, 102)),
    file("float-large.tif", lossless(Image.fromarray(np.full((3, 4), 40.0, np.float32)), "TIFF"),
         error="expected 0 to 1"),
    file("float-nan.tif", lossless(Image.fromarray(np.full((3, 4), np.nan, np.float32)), "TIFF"),
         error="expected 0 to 1"),
    file("int32.tif", lossless(Image.fromarray(np.full((3, 4), -7, np.int32)), "TIFF"),
         error="expected 0 to 65535"),
    file("pages.tif", lambda: animation("TIFF"), size=(20, 10), corner=RED),
    file("animation.gif", lambda: animation("GIF"), size=(20, 10), corner=RED),
    file("animation.webp", lambda: animation("WEBP", lossless=True), size=(20, 10), corner=RED),
    file("animation.png", lambda: animation("PNG"), size=(20, 10), corner=RED),
    file("transparent.gif", lossless(palette_with_alpha(), "GIF", transparency=0),
         size=(8, 8), corner=WHITE),
    file("strip.png", lossless(Image.new("RGB", (1, 65_500), GREEN), "PNG"),
         size=(1, 65_500), corner=GREEN),
    file("strip.jpg", lossless(Image.new("RGB", (65_500, 1), GREEN), "JPEG", quality=100),
         size=(65_500, 1), corner=GREEN, tolerance=3),
    file("pixel.png", lossless(Image.new("RGB", (1, 1), BLUE), "PNG"), size=(1, 1), corner=BLUE),
    file("too-long.png", lambda: png(70_000, 1, b""), error="one side"),
    file("bomb-89-mpx.png", lambda: bomb(9434), error="limit"),
    file("bomb-400-mpx.png", lambda: bomb(20_000), error="limit"),
    file("bomb-declared.png", lambda: png(60_000, 60_000, bytes(99)), error="limit"),
    file("bomb-declared.jpg", lambda: jpeg_with_size(60_000, 60_000), error="limit"),
    file("bomb-declared.bmp", lambda: bmp(60_000, 60_000, bytes(99)), error="limit"),
    file("bomb-declared.ppm", lambda: b"P6 60000 60000 255\n" + bytes(99), error="limit"),
    file("bomb-declared.webp", lambda: b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
         + b"\xff\x3f\0" * 2 + bytes(8), error="limit"),
    file("bomb-screen.gif", lambda: gif(60_000, 60_000, (0, 0, 1, 1)), error="limit"),
    file("bomb-frame.gif", lambda: gif(1, 1, (0, 0, 9900, 9900), disposal=2), error="limit"),
    file("bomb-tile.tif", tiff_with_huge_tile, error="limit"),
    file("truncated-at-limit.png", lambda: png(8000, 8000, bytes(99)), error="cut short|damaged"),
    file("icc-junk.png", lambda: after_header(encoded(PHOTO, "PNG"), chunk(b"iCCP", b"x\0\0junk")),
         size=(48, 32), corner=RED),
    file("icc-junk.jpg", lambda: jpeg_with_segments(0xE2, b"ICC_PROFILE\0\1\1" + b"j" * 999, 3,
         PHOTO), size=(48, 32), corner=RED, tolerance=12),
    file("exif-20-mb.jpg", lambda: jpeg_with_segments(0xE1, b"Exif\0\0" + exif_block(3, 65_000),
         320, PHOTO), size=(48, 32)),
    file("exif-20-mb.png", lambda: after_header(encoded(PHOTO, "PNG"),
         chunk(b"eXIf", exif_block(1, 20 * 2**20))), size=(48, 32), corner=RED),
    file("exif-junk.jpg", lambda: jpeg_with_segments(0xE1, b"Exif\0\0MM\0*" + b"\xff" * 4, 1,
         PHOTO), size=(48, 32), corner=RED, tolerance=12),
    file("exif-orientation-99.png", lambda: turned(99, "PNG"), size=(48, 32), corner=RED),
    file("mpo-junk.jpg", lambda: jpeg_with_segments(0xE2, b"MPF\0II*\0junk", 1, PHOTO),
         size=(48, 32), corner=RED, tolerance=12),
    file("text-bomb.png", lambda: after_header(encoded(PHOTO, "PNG"),
         chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50 * 2**20))) * 3),
         size=(48, 32), corner=RED),
    file("apng-junk.png", lambda: after_header(encoded(PHOTO, "PNG"), chunk(b"acTL", bytes(8))),
         size=(48, 32), corner=RED),
    file("progressive.jpg", lossless(PHOTO, "JPEG", progressive=True, quality=95),
         size=(48, 32), corner=RED, tolerance=12),
    file("header-crc.png", lambda: damaged_at(encoded(PHOTO, "PNG"), 30), error="damaged"),
    file("header-length.png", lambda: damaged_at(encoded(PHOTO, "PNG"), 11, 4),
         error="damaged|cut short"),
    file("data-flip.png", lambda: damaged_at(encoded(PHOTO, "PNG"), 43), error="damaged|cut"),
    file("no-data.png", lambda: png(4, 4, b"")[:33], error="cut short|damaged"),
    file("signature-only.png", lambda: b"\x89PNG\r\n\x1a\n", error="damaged|cut short"),
    file("signature-only.jpg", lambda: b"\xff\xd8\xff", error="damaged|cut short"),
    file("signature-only.tif", lambda: b"II*\0", error="damaged|cut short"),
    file("signature-only.gif", lambda: b"GIF89a", error="damaged|cut short"),
    file("signature-only.webp", lambda: b"RIFF\0\0\0\0WEBP", error="damaged|cut short"),
    file("signature-only.bmp", lambda: b"BM", error="damaged|cut short"),
    file("zero-width.png", lambda: png(0, 5, b""), error="damaged|at least 1"),
    file("zero-height.gif", lambda: gif(5, 0, (0, 0, 5, 0)), error="damaged|at least 1"),
    file("negative-width.bmp", lambda: bmp(-4, 4, bytes(48)), error="damaged|one side"),
    file("top-down.bmp", lambda: bmp(1, -2, b"\0\0\xff\0\xff\0\0\0"), size=(1, 2), corner=RED),
    file("negative.ppm", lambda: b"P6 -4 4 255\n" + bytes(48), error="damaged|at least 1"),
    file("wrong-extension.jpg", lossless(PHOTO, "PNG"), size=(48, 32), corner=RED),
    file("no-extension", lossless(PHOTO, "BMP"), size=(48, 32), corner=RED),
    Case(name="folder.jpg", make=Path.mkdir, error="folder"),
    Case(name="pipe.jpg", make=os.mkfifo, error="pipe"),
    Case(name="circle.jpg", make=lambda path: path.symlink_to(path), error="circle"),
    Case(name="dangling.jpg", make=lambda path: path.symlink_to("nowhere"), error="no such file"),
    Case(name="missing.jpg", make=lambda path: None, error="no such file"),
    Case(name="x" * 300 + ".jpg", make=lambda path: None, error="too long"),
)  # fmt: skip

COUNT = len(CASES)
