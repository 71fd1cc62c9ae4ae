"""The table by which SentencePiece rewrites characters: full width to half, ligatures to letters.

At each place of a text the longest entry of the table that begins there is replaced, and the text
goes on after it. `tokenizers` reads the same table but looks up whole grapheme clusters and takes
the *shortest* entry, so that it loses voicing marks and accents (half-width "ba" becomes "ha");
hence this module, and why `Backend` applies the table before `tokenizers` sees the text.

The table is a double array: a trie in one list of 32-bit units, where the child of node p for
byte b stands at `p ^ offset ^ b` and is there if its label is b (Aoe, 1989; darts-clone).
"""

import re
import struct

from wordsight.errors import TextError

MAX_BYTES = 16 << 20  # the largest published table has about 0.7 MB
MAX_ENTRY_BYTES = 256
MAX_ASCII_NODES = 1000
_LEAF, _LABEL, _VALUE = 1 << 8, (1 << 31) | 0xFF, (1 << 31) - 1


class Charsmap:
    """A `precompiled_charsmap`, as models and tokenizer.json files hold it."""

    def __init__(self, content: bytes):
        """Read a table; nothing in it is trusted.

        Raises:
            TextError: if it is not such a table, or larger than 16 MiB.
        """
        if not 4 <= len(content) <= MAX_BYTES:
            raise _damaged(f"it has {len(content)} bytes, expected 4 to {MAX_BYTES}")
        (size,) = struct.unpack_from("<I", content)
        if size % 4 or not 4 <= size <= len(content) - 4:
            raise _damaged(f"a trie of {size} bytes does not fit into {len(content)} bytes")
        self._units = struct.unpack_from(f"<{size // 4}I", content, 4)
        self._values = content[4 + size :]
        starts = "".join(re.escape(chr(i)) for i in range(1, 128) if self._has_ascii_entry(i))
        self._changes_ascii = re.compile(f"[{starts}]" if starts else r"(?!)")

    def apply(self, text: str) -> str:
        """Return the text with every entry replaced.

        Raises:
            TextError: if an entry leads out of the table, or to something that is not text.
        """
        if text.isascii() and not self._changes_ascii.search(text):
            return text
        content = text.encode()
        parts: list[bytes] = []
        place = copied = 0
        while place < len(content):
            length, value = self._longest(content, place)
            if length:
                parts += [content[copied:place], self._value(value)]
                place += length
                copied = place
            else:
                place += _utf8_length(content[place])
        parts.append(content[copied:])
        try:
            return b"".join(parts).decode()
        except UnicodeDecodeError:
            raise _damaged("an entry is not UTF-8 text") from None

    def _longest(self, content: bytes, place: int) -> tuple[int, int]:
        """Return length and value of the longest entry at a place, or 0 and 0."""
        node, found = _offset(self._units[0]), (0, 0)
        for index in range(place, min(len(content), place + MAX_ENTRY_BYTES)):
            node, is_entry = self._child(node, content[index])
            if node < 0:
                break
            if is_entry:
                found = index + 1 - place, self._units[node] & _VALUE
        return found

    def _child(self, node: int, byte: int) -> tuple[int, bool]:
        """Return the place of a node's child for a byte, or -1; and whether an entry ends there."""
        units = self._units
        node ^= byte
        if node >= len(units) or units[node] & _LABEL != byte:
            return -1, False
        unit = units[node]
        node ^= _offset(unit)
        return node, bool(unit & _LEAF) and node < len(units)

    def _value(self, start: int) -> bytes:
        end = self._values.find(b"\0", start, start + MAX_ENTRY_BYTES)
        if end < 0:
            raise _damaged(f"no entry ends after byte {start} of {len(self._values)}")
        return self._values[start:end]

    def _has_ascii_entry(self, first: int) -> bool:
        """Tell whether an entry of ASCII alone begins with a character."""
        pending = [(_offset(self._units[0]), first)]
        for _ in range(MAX_ASCII_NODES):
            if not pending:
                return False
            node, is_entry = self._child(*pending.pop())
            if is_entry:
                return True
            if node >= 0:
                pending += [(node, byte) for byte in range(1, 128)]
        return True  # not worth knowing exactly: texts that hold it take the slow way


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & (1 << 9)) >> 6)


def _utf8_length(byte: int) -> int:
    return 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


def _damaged(what: str) -> TextError:
    return TextError(
        f"precompiled_charsmap, the table that rewrites characters, is damaged: {what}"
    )
