"""Text of tables is decoded strictly, or refused with the place of the first wrong byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.data.encodings import decode
from wordsight.errors import DataError

characters = st.characters(codec="utf-8", exclude_characters="\ufeff")


@given(text=st.text(characters), codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_any_text_comes_back_from_utf8_and_from_marked_encodings(text, codec):
    assert decode(text.encode(codec), name="t.csv") == (text, codec)


@given(text=st.text(characters))
def test_big_endian_utf16_comes_back(text):
    assert decode(b"\xfe\xff" + text.encode("utf-16-be"), name="t.csv") == (text, "utf-16")


@given(text=st.text(st.characters(codec="shift_jis", min_codepoint=0x3041, max_codepoint=0x9FFF)))
def test_japanese_from_windows_comes_back(text):
    data = f"画像,{text}".encode("cp932")
    assert decode(data, name="t.csv") == (f"画像,{text}", "cp932")


@given(data=st.binary(max_size=60))
def test_any_bytes_are_decoded_without_loss_or_refused(data):
    try:
        text, encoding = decode(data, name="t.csv")
    except DataError:
        return
    if encoding == "cp932":
        assert text == data.decode("cp932")
        return
    codec = "utf-16-be" if data.startswith(b"\xfe\xff") else encoding
    mark = b"\xfe\xff" if codec == "utf-16-be" else b""
    # U+FEFF at the start of marked text is the mark; encoding again must give the same bytes
    assert mark + text.encode(codec) == data


def test_bytes_of_no_encoding_are_named_by_line_and_byte():
    with pytest.raises(DataError) as caught:
        decode(b"path,text\na.jpg,\xe7\x8c\xab \xff\n", name="pairs.csv")
    assert str(caught.value) == (
        "pairs.csv: neither UTF-8 (stops at line 2, byte 11 (0xff)) "
        "nor CP932 (stops at line 2, byte 11 (0xff))"
    )
    assert "UTF-8" in caught.value.hint


def test_a_byte_that_cp932_does_not_assign_is_refused():
    with pytest.raises(DataError, match=r"nor CP932 \(stops at line 1, byte 4 \(0xff\)\)"):
        decode("画".encode("cp932") + b"a\xff", name="pairs.csv")


def test_text_that_breaks_the_promise_of_its_mark_is_refused():
    with pytest.raises(DataError, match=r"mark of utf-8-sig, but line 2, byte 1 \(0xff\)"):
        decode(b"\xef\xbb\xbfa\n\xff", name="t.csv")
    with pytest.raises(DataError, match=r"mark of utf-16, but line 2 \(byte 7 of the file"):
        decode(b"\xff\xfea\0\n\0\x00", name="t.csv")
