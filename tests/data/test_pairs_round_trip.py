"""Whatever csv, json and pyarrow write is read back equal, in every encoding."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.data import read_pairs

NAMES = ["a.jpg", "b c.png", "猫.jpg", "sub/d.jpg"]
unicode = st.characters(codec="utf-8", exclude_characters="\0\ufeff")
japanese = st.characters(codec="shift_jis", min_codepoint=0x3041, max_codepoint=0x9FFF)
ascii_text = st.characters(min_codepoint=1, max_codepoint=126)


def sentences(characters):
    return st.text(characters, min_size=1, max_size=20).filter(str.strip)


def rows(characters):
    extra = st.text(characters, max_size=5)
    return st.lists(st.tuples(st.sampled_from(NAMES), sentences(characters), extra), min_size=1)


def folder_of_pictures(folder: str) -> Path:
    root = Path(folder)
    for name in NAMES:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return root


def expected(root, table):
    """Unique (picture, sentence) in the order of their first row."""
    return list(dict.fromkeys((root / name, text.strip()) for name, text, _ in table))


def check(pairs, root, table):
    wanted = expected(root, table)
    assert [(pair.image, pair.text) for pair in pairs] == wanted
    assert pairs.duplicates == len(table) - len(wanted)
    assert pairs.images == tuple(dict.fromkeys(image for image, _ in wanted))
    assert pairs.texts == tuple(text for _, text in wanted)
    assert pairs.bad == ()
    for pair, columns in zip(pairs, pairs.columns, strict=True):
        assert columns["note"] in {
            note.strip()
            for name, text, note in table
            if (root / name, text.strip()) == (pair.image, pair.text)
        }


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp932"]),
    separator=st.sampled_from([",", ";", "\t"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_csv_table_comes_back(data, codec, separator, ending, quoting):
    characters = st.one_of(japanese, ascii_text) if codec == "cp932" else unicode
    if quoting == csv.QUOTE_MINIMAL:  # Python 3.11 writes a lone \r without the quotes it needs
        characters = characters.filter("\r".__ne__)
    table = data.draw(rows(characters))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator=ending, quoting=quoting)
    writer.writerows([("画像", "説明", "note"), *table])
    with tempfile.TemporaryDirectory() as folder:
        root = folder_of_pictures(folder)
        suffix = ".tsv" if separator == "\t" else ".csv"
        (root / f"t{suffix}").write_bytes(buffer.getvalue().encode(codec))
        pairs = read_pairs(root)
        check(pairs, root, table)
        assert pairs.encoding == codec
        numbers = [
            next(i for i, row in enumerate(table, 2) if key == (root / row[0], row[1].strip()))
            for key in expected(root, table)
        ]
        assert [pair.row for pair in pairs] == numbers


@settings(max_examples=80, deadline=None)
@given(table=rows(unicode), is_ascii=st.booleans(), codec=st.sampled_from(["utf-8", "utf-16"]))
def test_json_lines_come_back(table, is_ascii, codec):
    lines = [
        json.dumps({"image": name, "text": text, "note": note}, ensure_ascii=is_ascii)
        for name, text, note in table
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = folder_of_pictures(folder)
        (root / "t.jsonl").write_bytes("\n".join(lines).encode(codec))
        check(read_pairs(root), root, table)


@settings(max_examples=40, deadline=None)
@given(table=rows(unicode))
def test_a_parquet_table_comes_back(table):
    names, texts, notes = zip(*table, strict=True)
    with tempfile.TemporaryDirectory() as folder:
        root = folder_of_pictures(folder)
        columns = {
            "image": pa.array(names).dictionary_encode(),
            "text": pa.array(texts, pa.large_string()),
            "note": notes,
        }
        pq.write_table(pa.table(columns), root / "t.parquet")
        pairs = read_pairs(root / "t.parquet")
        check(pairs, root, table)
        assert pairs.encoding == "parquet"


captions = st.dictionaries(
    st.sampled_from(NAMES),
    st.lists(sentences(unicode), min_size=1, unique_by=str.strip),
    min_size=1,
)


@settings(max_examples=40, deadline=None)
@given(table=captions)
def test_lists_of_captions_are_one_pair_each_in_json_lines_and_parquet(table):
    with tempfile.TemporaryDirectory() as folder:
        root = folder_of_pictures(folder)
        lines = [
            json.dumps({"file_name": name, "captions": texts}) for name, texts in table.items()
        ]
        (root / "t.jsonl").write_text("\n".join(lines))
        columns = {"file_name": list(table), "captions": list(table.values())}
        pq.write_table(pa.table(columns), root / "t.parquet")
        wanted = [
            (root / name, text.strip(), i)
            for i, (name, texts) in enumerate(table.items(), 1)
            for text in texts
        ]
        for name in ("t.jsonl", "t.parquet"):
            pairs = read_pairs(root / name)
            assert [(pair.image, pair.text, pair.row) for pair in pairs] == wanted


line_text = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff\n\r"), min_size=1, max_size=20
).filter(str.strip)


@settings(max_examples=40, deadline=None)
@given(
    table=st.dictionaries(
        st.sampled_from(NAMES), st.lists(line_text, min_size=1, unique_by=str.strip), min_size=1
    )
)
def test_sentences_beside_pictures_come_back(table):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, texts in table.items():
            path = root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
            path.with_suffix(".txt").write_text("\n".join(texts), newline="\r\n")
        found = {(pair.image, pair.text, pair.row) for pair in read_pairs(root)}
        assert found == {
            (root / name, text.strip(), i)
            for name, texts in table.items()
            for i, text in enumerate(texts, 1)
        }


@pytest.mark.parametrize("position", range(3))
def test_a_slice_and_a_subset_keep_the_columns(tmp_path, position):
    for name in "abc":
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "t.csv").write_text("path,text,split\na,one,x\nb,two,y\nc,three,z\n")
    pairs = read_pairs(tmp_path)
    assert pairs[position:][0] == pairs[position] == pairs.subset([position])[0]
    assert pairs[position:].columns == pairs.columns[position:]
    assert pairs.subset([2, 0]).texts == ("three", "one")
    assert pairs[:2].images == (tmp_path / "a", tmp_path / "b")
