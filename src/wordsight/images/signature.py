"""What a file is, told by its first bytes and never by its name."""

import re

_READABLE = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("BMP", re.compile(rb"BM")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")),
    ("PPM", re.compile(rb"P[1-6f][ \t\r\n#]")),
)

_FOREIGN = (
    ("a web page (HTML)", re.compile(rb"\s*<(?:!doctype html|html|head|body)", re.IGNORECASE)),
    ("an SVG drawing", re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype )?svg")),
    ("an XML document", re.compile(rb"\s*<\?xml")),
    ("a PDF document", re.compile(rb"%PDF")),
    ("an EPS or PostScript document", re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    ("a Photoshop file (PSD)", re.compile(rb"8BPS")),
    ("a FITS file", re.compile(rb"SIMPLE  =")),
    ("an AVIF picture", re.compile(rb"....ftypavi", re.DOTALL)),
    ("a HEIC picture", re.compile(rb"....ftyp(?:hei|hev|mif|msf)", re.DOTALL)),
    ("a video", re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL)),
    ("a JPEG 2000 picture", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("a JPEG XL picture", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("an OpenEXR picture", re.compile(rb"v/1\x01")),
    ("an icon file (ICO)", re.compile(rb"\0\0[\x01\x02]\0")),
    ("a DICOM picture", re.compile(rb".{128}DICM", re.DOTALL)),
    ("a numpy array file", re.compile(rb"\x93NUMPY")),
    ("a ZIP archive or Office document", re.compile(rb"PK\x03\x04")),
    ("a gzip archive", re.compile(rb"\x1f\x8b")),
    ("a Git LFS pointer, not the picture itself", re.compile(rb"version https://git-lfs")),
    ("nothing but zero bytes", re.compile(rb"\0{64}")),
    ("text", re.compile(rb"[\t\r\n\x20-\x7e]{16}|[\t\r\n\x20-\x7e]+\Z")),
)

_HEAD_BYTES = 512


def readable_format(data: bytes) -> str | None:
    """Return the format of a picture that can be read, or None."""
    return _first(_READABLE, data)


def foreign_kind(data: bytes) -> str:
    """Say in words what bytes that are no readable picture seem to be."""
    return _first(_FOREIGN, data) or "of no known picture format"


def _first(table: tuple[tuple[str, re.Pattern[bytes]], ...], data: bytes) -> str | None:
    head = data[:_HEAD_BYTES]
    return next((name for name, pattern in table if pattern.match(head)), None)
