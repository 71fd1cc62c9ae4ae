"""Files that attack whoever opens them: pickles that run code, archives and headers that lie."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Hostile = Callable[[Path], bytes]
"""Makes the content of a file that would create the canary."""


# --- pickles, instruction by instruction ------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stack_named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def touch(canary: Path) -> bytes:
    """A shell command."""
    return text(f"touch {canary}")


def python(canary: Path) -> bytes:
    """An expression."""
    return text(f"open({str(canary)!r}, 'w').close()")


def whole(program: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + program + b"."


def state_dict_with(value: bytes) -> bytes:
    return b"}(" + text("w") + value + b"u"


LIVE: dict[str, Hostile] = {
    "os.system": lambda c: call(named("os", "system"), touch(c)),
    "posix.system": lambda c: call(named("posix", "system"), touch(c)),
    "STACK_GLOBAL": lambda c: call(stack_named("os", "system"), touch(c)),
    "eval": lambda c: call(named("builtins", "eval"), python(c)),
    "exec": lambda c: call(named("builtins", "exec"), python(c)),
    "eval of Python 2": lambda c: call(named("__builtin__", "eval"), python(c)),
    "open": lambda c: call(named("builtins", "open"), text(str(c)), text("w")),
    "io.open": lambda c: call(named("io", "open"), text(str(c)), text("w")),
    "subprocess": lambda c: call(named("subprocess", "getoutput"), touch(c)),
    "instruction INST": lambda c: b"(" + touch(c) + b"ios\nsystem\n",
    "instruction OBJ": lambda c: b"(" + named("os", "system") + touch(c) + b"o",
    "getattr chain": lambda c: call(
        call(
            named("builtins", "getattr"),
            call(named("builtins", "__import__"), text("os")),
            text("system"),
        ),
        touch(c),
    ),
    "dotted name": lambda c: (
        b"\x80\x04" + call(stack_named("pathlib", "Path.touch"), path_object(c))
    ),
    "functools.partial": lambda c: call(
        call(named("functools", "partial"), named("os", "system"), touch(c))
    ),
    "operator.methodcaller": lambda c: call(
        call(named("operator", "methodcaller"), text("touch")), path_object(c)
    ),
    "map in a list": lambda c: call(
        named("builtins", "list"),
        call(named("builtins", "map"), named("os", "system"), b"](" + touch(c) + b"e"),
    ),
    "timeit": lambda c: call(
        named("timeit", "timeit"), python(c), text("pass"), named("time", "perf_counter"), b"K\1"
    ),
    "nested pickle": lambda c: call(
        named("pickle", "loads"), raw_bytes(whole(call(named("os", "system"), touch(c))))
    ),
    "torch.storage._load_from_bytes": lambda c: call(
        named("torch.storage", "_load_from_bytes"),
        raw_bytes(whole(call(named("os", "system"), touch(c)))),
    ),
    "numpy object array": lambda c: (
        call(
            named("numpy._core.multiarray", "_reconstruct"),
            named("numpy", "ndarray"),
            b"K\0\x85",
            b"C\1b",
        )
        + b"0"
        + call(named("os", "system"), touch(c))
    ),
    "key of a dictionary": lambda c: b"}" + call(named("os", "system"), touch(c)) + b"K\1s",
    "state of an allowed object": lambda c: (
        named("argparse", "Namespace")
        + b")\x81}("
        + text("lr")
        + call(named("os", "system"), touch(c))
        + b"ub"
    ),
    "__setstate__": lambda c: (
        call(
            named("builtins", "setattr"),
            named("argparse", "Namespace"),
            text("__setstate__"),
            named("os", "system"),
        )
        + b"0"
        + named("argparse", "Namespace")
        + b")\x81"
        + touch(c)
        + b"b"
    ),
    "argument of a tensor": lambda c: call(
        named("collections", "OrderedDict"),
        b"](" + text("a") + call(named("os", "system"), touch(c)) + b"\x86e",
    ),
}
"""Each of these creates the canary when Python's own unpickler reads it."""


def path_object(canary: Path) -> bytes:
    return call(named("pathlib", "PosixPath"), text(str(canary)))


def raw_bytes(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


STORAGE = b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")


def tensor(storage: bytes, offset: bytes = b"K\0", shape: bytes = b"K\4\x85") -> bytes:
    stride = b"K\1\x85"
    return call(
        named("torch._utils", "_rebuild_tensor_v2"), storage, offset, shape, stride, b"\x89", b"N"
    )


def four() -> bytes:
    return STORAGE + b"K\4tQ"


def long(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


QUIET: dict[str, Hostile] = {
    "instruction NEWOBJ": lambda c: named("subprocess", "Popen") + b"(" + touch(c) + b"t\x81",
    "instruction NEWOBJ_EX": lambda c: named("os", "system") + b"(" + touch(c) + b"t}\x92",
    "attribute of an allowed name": lambda c: stack_named("collections", "OrderedDict.__init__"),
    "builtins of an allowed name": lambda c: stack_named("torch._utils", "sys.modules"),
    "allowed name in another module": lambda c: stack_named("torch", "_utils._rebuild_tensor_v2"),
    "code as a class of TorchScript": lambda c: call(named("__torch__.os", "system"), touch(c)),
    "TorchScript name with a tail": lambda c: call(named("__torch__x", "system"), touch(c)),
    "class of an object": lambda c: (
        named("__torch__", "M") + b")\x81}(" + text("__class__") + named("os", "system") + b"ub"
    ),
    "call of a tensor": lambda c: tensor(four()) + b"(" + touch(c) + b"tR",
    "call of a result": lambda c: call(call(named("__torch__", "M")), touch(c)),
    "change of a tensor": lambda c: tensor(four()) + b"}(" + text("shape") + b"K\1ub",
    "change of a class": lambda c: named("argparse", "Namespace") + b"}b",
    "named arguments": lambda c: (
        named("argparse", "Namespace") + b")}(" + text("f") + touch(c) + b"u\x92"
    ),
    "extension number": lambda c: b"\x82\x01" + b"(" + touch(c) + b"tR",
    "extension number of two bytes": lambda c: b"\x83\x01\x00" + b"(" + touch(c) + b"tR",
    "reference that is text": lambda c: touch(c) + b"Q",
    "reference in old form": lambda c: f"Ptouch {c}\n".encode(),
    "reference to a module": lambda c: b"(" + text("module") + named("os", "system") + b"NNtQ",
    "reference with code": lambda c: (
        b"(" + text("storage") + named("os", "system") + text("0") + text("cpu") + b"K\4tQ"
    ),
    "reference to a path": lambda c: tensor(
        b"("
        + text("storage")
        + named("torch", "FloatStorage")
        + text(f"../../../..{c}")
        + b"NK\4tQ"
    ),
    "buffer from outside": lambda c: b"\x97",
    "tensor on no storage": lambda c: tensor(text(str(c))),
    "negative offset": lambda c: tensor(four(), b"J\xff\xff\xff\xff"),
    "offset behind the end": lambda c: tensor(four(), b"K\1"),
    "huge offset": lambda c: tensor(four(), long(1 << 61)),
    "offset beyond 64 bits": lambda c: tensor(four(), long(1 << 64)),
    "offset that is true": lambda c: tensor(four(), b"\x88"),
    "negative shape": lambda c: tensor(four(), shape=b"J\xfc\xff\xff\xff\x85"),
    "huge shape": lambda c: tensor(four(), shape=long(1 << 60) + b"\x85"),
    "shape of fractions": lambda c: tensor(four(), shape=b"G" + struct.pack(">d", 4) + b"\x85"),
    "shape of two axes with one stride": lambda c: tensor(four(), shape=b"K\2K\2\x86"),
    "a million axes": lambda c: tensor(four(), shape=b"(" + b"K\1" * 1_000_000 + b"t"),
    "storage longer than the file": lambda c: tensor(STORAGE + long(1 << 40) + b"tQ"),
    "storage of a negative length": lambda c: tensor(STORAGE + b"J\xff\xff\xff\xfftQ"),
    "one number repeated": lambda c: call(
        named("torch._utils", "_rebuild_tensor_v2"),
        STORAGE + b"K\4tQ",
        b"K\0",
        long(1 << 40) + b"\x85",
        b"K\0\x85",
        b"\x89",
        b"N",
    ),
    "product beyond 64 bits": lambda c: call(
        named("torch._utils", "_rebuild_tensor_v2"),
        STORAGE + b"K\4tQ",
        b"K\0",
        long(1 << 33) + long(1 << 33) + b"\x86",
        b"K\0K\0\x86",
        b"\x89",
        b"N",
    ),
    "parameter of code": lambda c: call(
        named("torch._utils", "_rebuild_parameter"), named("os", "system"), b"\x89", b"N"
    ),
    "memo of 4 G entries": lambda c: b"Nr\xff\xff\xff\xff",
    "text of 2^60 bytes": lambda c: b"\x8d" + struct.pack("<Q", 1 << 60),
    "bytes of 4 GB": lambda c: b"B\xff\xff\xff\xff",
    "old text of negative length": lambda c: b"T\xff\xff\xff\xff",
    "number of 2 GB": lambda c: b"\x8b\xff\xff\xff\x7f",
    "marks without end": lambda c: b"(" * 3_000_000,
    "lists without end": lambda c: b"]" * 3_000_000,
    "lists in lists": lambda c: b"]" * 900_000 + b"a" * 899_999,
    "laughing tuples as a key": lambda c: b"}" + b")" + b"q\0h\0\x86" * 5000 + b"K\1s",
    "numbers that collide as keys": lambda c: (
        b"}(" + b"".join(long(i * (2**61 - 1)) + b"N" for i in range(1, 30_000)) + b"u"
    ),
    "half an entry": lambda c: b"}(Nu",
    "value from below a mark": lambda c: b"N(a",
    "no value": lambda c: b"",
    "entry that is not there": lambda c: b"h\7",
    "text that is none": lambda c: b"X\2\0\0\0\xff\xfe",
    "name without end": lambda c: b"c" + b"a" * 100_000,
    "protocol of the future": lambda c: b"\x80\x63N",
}
"""Python's unpickler would fail on these, or take hours, or all memory."""

PICKLES = LIVE | QUIET


# --- archives ---------------------------------------------------------------------------------


def torch_zip(pickle: bytes, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", bytes(16))
        archive.writestr("archive/version", "3\n")
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


MACHINE = (
    b"}("
    + text("protocol_version")
    + b"M\xe9\x03"
    + text("little_endian")
    + b"\x88"
    + text("type_sizes")
    + b"}u"
)
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


KEYS = b"](" + text("0") + b"e"


def torch_legacy(pickle: bytes, *, machine: bytes = MACHINE, keys: bytes = KEYS) -> bytes:
    numbers = struct.pack("<q", 4) + bytes(16)
    return MAGIC + whole(b"M\xe9\x03") + whole(machine) + pickle + whole(keys) + numbers


GOOD = whole(state_dict_with(tensor(four())))


def torchscript_zip(pickle: bytes, code: str) -> bytes:
    return torch_zip(
        pickle, **{"archive/code/__torch__.py": code.encode(), "archive/constants.pkl": b""}
    )


def module(*attributes: bytes) -> bytes:
    return named("__torch__", "M") + b")\x81}(" + b"".join(attributes) + b"ub"


def module_bomb() -> bytes:
    """Each of 60 modules has the one before it twice: 2^60 paths."""
    program = module(text("w") + tensor(four())) + b"q\0"
    for _ in range(60):
        program += b"0" + module(text("a") + b"h\0", text("b") + b"h\0") + b"q\0"
    return whole(program)


def module_in_itself() -> bytes:
    return whole(named("__torch__", "M") + b")\x81q\0}(" + text("a") + b"h\0ub")


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content)
    return buffer.getvalue()


def npy(header: str, body: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    raw = header.encode()
    size = struct.pack("<H" if version == 1 else "<I", len(raw) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + raw + body


def header(descr: str = "'<f4'", shape: str = "(4,)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def patched(content: bytes, place: int, value: bytes) -> bytes:
    place %= len(content)
    return content[:place] + value + content[place + len(value) :]


def entry_place(content: bytes, number: int = 0) -> int:
    place = -1
    for _ in range(number + 1):
        place = content.index(b"PK\1\2", place + 1)
    return place


GOOD_ZIP = torch_zip(GOOD)
END = GOOD_ZIP.index(b"PK\5\6")
STORAGE_ENTRY = entry_place(GOOD_ZIP, 2)


def bomb() -> bytes:
    """Zeros of 128 MB in 128 kB: in itself allowed, and refused by its ratio."""
    head = npy(header(shape=f"({1 << 25},)"))
    return one_member("a.npy", deflated(head + bytes(1 << 27)), 8, (1 << 27) + len(head))


def one_member(name: str, packed: bytes, method: int, size: int, crc: int = 0) -> bytes:
    """A zip archive in which nothing has to be true."""
    raw = name.encode()
    common = struct.pack("<3H2x2x3I2H", 20, 0, method, crc, len(packed), size, len(raw), 0)
    local = b"PK\3\4" + common + raw
    entry = b"PK\1\2\x14\0" + common + struct.pack("<3H2I", 0, 0, 0, 0, 0) + raw
    place = len(local) + len(packed)
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(entry), place, 0)
    return local + packed + entry + end


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def renamed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new) and old in content
    return content.replace(old, new)


def code(canary: Path) -> str:
    return f"import os\nos.system('touch {canary}')\nopen({str(canary)!r}, 'w')\n"


ARRAY = npy(header(), bytes(16))
ARCHIVES: dict[str, Hostile] = {
    "TorchScript with Python as its code": lambda c: torchscript_zip(whole(b"}"), code(c)),
    "TorchScript of modules in modules": lambda c: torchscript_zip(module_bomb(), code(c)),
    "TorchScript in itself": lambda c: torchscript_zip(module_in_itself(), code(c)),
    "TorchScript that is a list": lambda c: torchscript_zip(whole(b"]"), code(c)),
    "TorchScript with long names": lambda c: torchscript_zip(
        whole(
            module(text("a" * 900) + module(text("b" * 900) + module(text("w") + tensor(four()))))
        ),
        code(c),
    ),
    "two pickles": lambda c: torch_zip(GOOD, **{"other/data.pkl": GOOD}),
    "pickle outside the archive": lambda c: renamed(
        GOOD_ZIP, b"archive/data.pkl", b"../../e/data.pkl"
    ),
    "big endian": lambda c: renamed(GOOD_ZIP, b"little", b"biggie"),
    "storage missing": lambda c: renamed(GOOD_ZIP, b"archive/data/0", b"archive/data/1"),
    "storage elsewhere": lambda c: renamed(GOOD_ZIP, b"archive/data/0", b"../../../etc/0"),
    "encrypted": lambda c: patched(GOOD_ZIP, STORAGE_ENTRY + 8, b"\1\0"),
    "packed storage": lambda c: patched(GOOD_ZIP, STORAGE_ENTRY + 10, b"\x08\0"),
    "unknown method": lambda c: patched(GOOD_ZIP, entry_place(GOOD_ZIP) + 10, b"\x63\0"),
    "storage of another length": lambda c: patched(
        GOOD_ZIP, STORAGE_ENTRY + 20, struct.pack("<2I", 12, 12)
    ),
    "storage larger than the file": lambda c: patched(
        GOOD_ZIP, STORAGE_ENTRY + 20, struct.pack("<2I", 1 << 30, 1 << 30)
    ),
    "storage behind the file": lambda c: patched(
        GOOD_ZIP, STORAGE_ENTRY + 42, struct.pack("<I", 1 << 30)
    ),
    "storage over the pickle": lambda c: patched(GOOD_ZIP, STORAGE_ENTRY + 42, bytes(4)),
    "table behind the file": lambda c: patched(GOOD_ZIP, END + 16, b"\xff\xff\xff\x7f"),
    "table of 4 GB": lambda c: patched(GOOD_ZIP, END + 12, b"\xff\xff\xff\xff"),
    "more members than there are": lambda c: patched(GOOD_ZIP, END + 10, b"\xff\xff"),
    "fewer members than there are": lambda c: patched(GOOD_ZIP, END + 10, b"\1\0"),
    "wrong checksum": lambda c: patched(GOOD_ZIP, STORAGE_ENTRY + 16, b"abcd"),
    "wrong checksum of the pickle": lambda c: patched(
        GOOD_ZIP, entry_place(GOOD_ZIP) + 16, b"abcd"
    ),
    "same name twice": lambda c: renamed(
        torch_zip(GOOD, **{"archive/data/1": bytes(16)}), b"data/1", b"data/0"
    ),
    "bomb": lambda c: bomb(),
    "bomb that claims to be small": lambda c: one_member(
        "a.npy", deflated(npy(header(), bytes(50_000_000))), 8, len(ARRAY)
    ),
    "array that claims to be larger": lambda c: one_member(
        "a.npy", deflated(ARRAY), 8, len(ARRAY) + 4
    ),
    "array that is not packed at all": lambda c: one_member("a.npy", ARRAY, 8, len(ARRAY)),
    "array that unpacks to 2 PB": lambda c: one_member(
        "a.npy", deflated(npy(header(shape=f"({1 << 49},)"))), 8, 0xFFFFFFF0
    ),
    "array of objects": lambda c: npz(
        a=npy(header("'|O'", "()"), whole(call(named("os", "system"), touch(c))))
    ),
    "header that is code": lambda c: npz(a=npy(f"__import__('os').system('touch {c}')\n")),
    "shape that is code": lambda c: npz(
        a=npy(header(shape=f"(open({str(c)!r}, 'w').close() or 4,)"), bytes(16))
    ),
    "type that is code": lambda c: npz(a=npy(header(f"open({str(c)!r}, 'w')"), bytes(16))),
    "deep header": lambda c: npz(a=npy("(" * 60_000)),
    "header beyond the file": lambda c: npz(a=npy(header(), version=2, length=1 << 31)),
    "negative array": lambda c: npz(a=npy(header(shape="(-4,)"), bytes(16))),
    "array of 2^80 numbers": lambda c: npz(a=npy(header(shape=f"({1 << 40}, {1 << 40})"))),
    "array with a tail": lambda c: npz(a=npy(header(), bytes(17))),
    "array of one number as 4": lambda c: npz(a=npy(header(), bytes(4))),
    "records": lambda c: npz(a=npy(header("[('a', '<f4'), ('b', '|O')]"), bytes(64))),
    "format of the future": lambda c: npz(a=npy(header(), bytes(16), version=9)),
    "member that is no array": lambda c: renamed(npz(a=ARRAY, b=ARRAY), b"b.npy", b"b.exe"),
    "pickle as an array": lambda c: npz(a=whole(call(named("os", "system"), touch(c)))),
    "array of the empty name": lambda c: b"PK\3\4" + bytes(26) + b"PK\5\6" + bytes(18),
    "a pickle that torch did not write": lambda c: whole(call(named("os", "system"), touch(c))),
    "a dictionary that torch did not write": lambda c: whole(state_dict_with(tensor(four()))),
    "big endian before 1.6": lambda c: renamed(
        torch_legacy(GOOD), text("little_endian") + b"\x88", text("little_endian") + b"\x89"
    ),
    "storages that are not listed": lambda c: torch_legacy(GOOD, keys=b"]"),
    "storages that are no list": lambda c: torch_legacy(GOOD, keys=touch(c)),
    "key of a storage that is a list": lambda c: torch_legacy(GOOD, keys=b"](]e"),
    "storage that nobody uses": lambda c: torch_legacy(GOOD, keys=b"](" + text("9") + b"e"),
    "storage that stands twice": lambda c: torch_legacy(
        GOOD, keys=b"](" + text("0") + text("0") + b"e"
    ),
    "storage of another length before 1.6": lambda c: patched(
        torch_legacy(GOOD), -24, struct.pack("<q", 1 << 40)
    ),
    "code instead of the machine": lambda c: torch_legacy(
        GOOD, machine=call(named("os", "system"), touch(c))
    ),
    "code instead of the keys": lambda c: torch_legacy(
        GOOD, keys=call(named("os", "system"), touch(c))
    ),
    "another version": lambda c: renamed(torch_legacy(GOOD), b"M\xe9\x03.", b"M\xe8\x03."),
}


# --- safetensors and indices ------------------------------------------------------------------


def safetensors_file(header: object, body: bytes = b"", *, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


def entry(shape: list[Any], start: Any, end: Any, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
FLAT: dict[str, Hostile] = {
    "header of 101 MB": lambda _: safetensors_file(b"{" + b" " * 64, length=101_000_000),
    "header of 2^63 bytes": lambda _: safetensors_file(b"{}" + bytes(64), length=1 << 63),
    "deep header": lambda _: safetensors_file(b'{"a":' + b"[" * 100_000),
    "name that stands twice": lambda _: safetensors_file(b"{" + ONE + b"," + ONE + b"}", bytes(4)),
    "name that is half a letter": lambda _: safetensors_file(
        b"{" + ONE.replace(b'"a"', b'"\\ud800"') + b"}", bytes(4)
    ),
    "header that is no text": lambda _: safetensors_file(b'{"\xff":1}'),
    "entry that is a number": lambda _: safetensors_file({"a": 5}),
    "overlap": lambda _: safetensors_file(
        {"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)
    ),
    "gap": lambda _: safetensors_file({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
    "negative offset": lambda _: safetensors_file({"a": entry([2], -4, 4)}, bytes(8)),
    "huge offset": lambda _: safetensors_file({"a": entry([1], 1 << 70, (1 << 70) + 4)}, bytes(4)),
    "offset that is a fraction": lambda _: safetensors_file({"a": entry([1], 0.0, 4.0)}, bytes(4)),
    "offset of 4000 digits": lambda _: safetensors_file(
        {"a": entry([10**4000], 0, 10**4000)}, bytes(4)
    ),
    "offset of 10,000 digits": lambda _: safetensors_file(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,4]}}', bytes(4)
    ),
    "shape beyond 64 bits": lambda _: safetensors_file(
        {"a": entry([1 << 32, 1 << 32, 4], 0, 16)}, bytes(16)
    ),
    "shape of a million axes": lambda _: safetensors_file(
        {"a": entry([1] * 1_000_000, 0, 4)}, bytes(4)
    ),
    "shape of 20,000 axes of 4000 digits": lambda _: safetensors_file(
        b'{"a":{"dtype":"F32","shape":['
        + b",".join([b"9" * 4000] * 2000)
        + b'],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "negative shape": lambda _: safetensors_file({"a": entry([-1, -4], 0, 16)}, bytes(16)),
    "shape in text": lambda _: safetensors_file({"a": entry(["4"], 0, 16)}, bytes(16)),
    "unknown type": lambda _: safetensors_file({"a": entry([4], 0, 16, "PICKLE")}, bytes(16)),
    "tail": lambda _: safetensors_file({"a": entry([1], 0, 4)}, bytes(4) + b"x"),
    "cut short": lambda _: safetensors_file({"a": entry([1], 0, 4)}, bytes(3)),
    "no tensors": lambda _: safetensors_file({}),
    "only metadata": lambda _: safetensors_file({"__metadata__": {"format": "pt"}}),
    "index of itself": lambda _: json.dumps({"weight_map": {"a": "weights"}}).encode(),
    "index of a file elsewhere": lambda c: json.dumps({"weight_map": {"a": str(c)}}).encode(),
    "index of a file above": lambda _: json.dumps({"weight_map": {"a": "../weights"}}).encode(),
    "deep index": lambda _: b'{"weight_map": ' + b"[" * 100_000,
    "index of a number": lambda _: b'{"weight_map": 3}',
    "index of nothing": lambda _: b'{"weight_map": {}}',
}


def valid_files() -> dict[str, bytes]:
    """Small files of every kind, to be damaged."""
    array = npy(header(), np.arange(4, dtype="<f4").tobytes())
    attributes = text("w") + tensor(four()), text("inner") + module(text("v") + tensor(four()))
    source = 'class M(Module):\n  __parameters__ = ["w", "v", ]\n  __buffers__ = []\n'
    return {
        "torch.save": GOOD_ZIP,
        "torch.save before 1.6": torch_legacy(GOOD),
        "TorchScript": torchscript_zip(whole(module(*attributes)), source),
        "safetensors": safetensors_file(
            {"a": entry([2, 2], 0, 16), "b": entry([4], 16, 24, "BF16")}, bytes(24)
        ),
        "numpy": npz(a=array, b=array),
        "index": json.dumps({"metadata": {"of": "x" * 80}, "weight_map": {"w": "shard"}}).encode(),
    }
