"""Broken and hostile tables: each costs its own rows, says why, and never raises anything else."""

import json
import sys
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wordsight.data import Pairs, read_pairs, rejected_lines
from wordsight.errors import ConfigError, DataError, InputError, MissingError, WordsightError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def read(folder, content, name="t.csv", **options):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return read_pairs(folder / name, **options)


def reasons(pairs):
    return [(bad.row, bad.reason) for bad in pairs.bad]


def texts(pairs):
    return [(pair.image.name, pair.text, pair.row) for pair in pairs]


# Rows ----------------------------------------------------------------------------------------


def test_every_bad_row_is_listed_with_its_spreadsheet_row_and_reason(folder):
    pairs = read(
        folder,
        "path,text\n"
        'a.jpg,"two\nlines"\n'
        "\n"
        "none.jpg,a cat\n"
        "b.jpg,  \n"
        "b.jpg,a,b\n"
        "c.jpg\n"
        ",no picture\n"
        "c.jpg,nul\0\n"
        "c.jpg,a dog\n",
        max_bad=9,
    )
    assert texts(pairs) == [("a.jpg", "two\nlines", 2), ("c.jpg", "a dog", 10)]
    assert reasons(pairs) == [
        (4, "picture: no such file"),
        (5, "sentence: the text is empty"),
        (6, "it has 3 columns, the header has 2"),
        (7, "it has 1 columns, the header has 2"),
        (8, "picture: the text is empty"),
        (9, "sentence: a NUL character in the text"),
    ]
    assert {bad.source for bad in pairs.bad} == {"t.csv"}


def test_a_quote_that_is_never_closed_costs_only_its_own_row(folder):
    pairs = read(folder, 'path,text\na.jpg,one\nb.jpg,"two\nb.jpg,three\nc.jpg,four', max_bad=1)
    assert [text for _, text, _ in texts(pairs)] == ["one", "three", "four"]
    assert [bad.value for bad in pairs.bad] == ['b.jpg,"two']


def test_text_after_a_closing_quote_costs_only_its_own_row(folder):
    pairs = read(folder, 'path,text\na.jpg,"big" dog\nb.jpg,"a ""big"" dog"\n', max_bad=1)
    assert texts(pairs) == [("b.jpg", 'a "big" dog', 3)]
    assert pairs.bad[0].row == 2


def test_a_field_of_a_million_characters_is_a_bad_row_shown_shortened(folder):
    pairs = read(folder, f"path,text\na.jpg,{'x' * 1_000_000}\nb.jpg,ok\n", max_bad=1)
    assert texts(pairs) == [("b.jpg", "ok", 3)]
    assert len(pairs.bad[0].value) == 200
    assert "131072" in pairs.bad[0].reason


@pytest.mark.timeout(20)
def test_quotes_arranged_to_be_read_again_and_again_take_bounded_time(folder):
    line = 'p""","\n'  # inside quotes it closes one field and opens the next: never done
    pairs = read(folder, "path,text\na.jpg,ok\n" + line * 20_000, max_bad=10**6)
    assert texts(pairs)[0] == ("a.jpg", "ok", 2)
    assert pairs.bad


def test_blanks_after_the_separator_may_stand_before_a_quote(folder):
    assert texts(read(folder, 'path, text\na.jpg, "red, round"\n')) == [("a.jpg", "red, round", 2)]


def test_old_macintosh_line_ends_are_line_ends(folder):
    assert texts(read(folder, "path,text\ra.jpg,one\rb.jpg,two\r")) == [
        ("a.jpg", "one", 2),
        ("b.jpg", "two", 3),
    ]


def test_rows_that_are_not_objects_or_not_json_are_bad_rows(folder):
    lines = [
        '{"image": "a.jpg", "text": "ok"}',
        "[1]",
        "{broken",
        '{"image": "a.jpg", "text": 5}',
        '{"image": ["a.jpg"], "text": "x"}',
        '{"text": "x"}',
        '{"image": "a.jpg", "text": []}',
        '{"image": "b.jpg", "text": ["fine", "", null]}',
        '{"image": "a.jpg", "text": "\\ud800"}',
        "[" * 100_000,
        '{"image": "a.jpg", "text": ' + "9" * 5000 + "}",
        "",
        '{"image": "c.jpg", "text": "line\u2028separator"}',
    ]
    pairs = read(folder, "\n".join(lines), name="t.jsonl", max_bad=20)
    assert texts(pairs) == [
        ("a.jpg", "ok", 1),
        ("b.jpg", "fine", 8),
        ("c.jpg", "line\u2028separator", 13),
    ]
    found = reasons(pairs)
    assert [row for row, _ in found] == [2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11]
    assert found[:6] == [
        (2, "not a JSON object"),
        (3, "not JSON: Expecting property name enclosed in double quotes at column 2"),
        (4, "sentence: not text but int"),
        (5, "picture: not text but list"),
        (6, "picture: the value is missing"),
        (7, "sentence: the text is empty"),
    ]
    assert "surrogate" in found[8][1]


def test_rejected_lines_are_json_that_comes_back_and_always_the_same(folder):
    content = "path,text\na.jpg,ok\nない.jpg,猫\nb.jpg,\n"
    pairs = read(folder, content, max_bad=2)
    lines = rejected_lines(pairs)
    assert lines == rejected_lines(read(folder, content, max_bad=2))
    assert json.loads(lines[0]) == {
        "source": "t.csv",
        "row": 3,
        "reason": "picture: no such file",
        "value": "ない.jpg",
    }
    assert "ない.jpg" in lines[0]
    assert len(lines) == len(pairs.bad) == 2


def test_more_bad_rows_than_allowed_show_the_first_five_and_the_count(folder):
    content = "path,text\na.jpg,ok\n" + "".join(f"none{i}.jpg,x\n" for i in range(7))
    with pytest.raises(DataError) as caught:
        read(folder, content, max_bad=6)
    message = str(caught.value).splitlines()
    assert message[0] == "t.csv: 7 rows cannot be used, at most 6 are allowed:"
    assert message[1] == "  t.csv, row 3: picture: no such file: 'none0.jpg'"
    assert message[5:] == ["  t.csv, row 7: picture: no such file: 'none4.jpg'", "  and 2 more"]
    assert "--max-bad 7" in caught.value.hint
    assert len(read(folder, content, max_bad=7)) == 1


@pytest.mark.parametrize("num_bad", [0, 1, 5, 50])
def test_the_list_of_bad_rows_is_complete(folder, num_bad):
    good = [f"a.jpg,sentence {i}" for i in range(100 - num_bad)]
    pairs = read(
        folder, "\n".join(["path,text", *good, *["gone.jpg,x"] * num_bad]), max_bad=num_bad
    )
    assert len(pairs) == 100 - num_bad
    assert [bad.row for bad in pairs.bad] == list(range(102 - num_bad, 102))


# Tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("", "the table is empty", "the first row must hold the names"),
        ("\n , \n", "the table is empty", "names of the columns"),
        ("path,text\n", "no usable pair of picture and sentence", "add rows"),
        ("path,text\nx.jpg,y\n", "no usable pair .*1 rows cannot", "relative to the folder"),
        ("path,text,text\na.jpg,x,y", "2 columns are called 'text'", "a name of its own"),
        ("p\0a\0t\0h\0", "NUL characters: not a text table, or UTF-16", "UTF-8"),
        ('"path,text\na.jpg,x\n', "the first row is not a row of a table", "names of the columns"),
        ("x" * 200_000, "the first row is not a row of a table", "names of the columns"),
        ("a.jpg,a cat\n", "no column has a known name for the image column; columns: 'a.jpg', "
         "'a cat'", "--image-column NAME"),
        ("path,name\na.jpg,x", "known name for the text column; columns: 'path', 'name'",
         "--text-column NAME"),
        ("path,text,caption\na.jpg,x,y", "2 columns could be the text column",
         "--text-column text"),
        ("file,path,text\na.jpg,b.jpg,y", "2 columns could be the image column",
         "--image-column file"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_says_why(folder, content, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        read(folder, content)
    assert str(caught.value).startswith("t.csv: ")
    assert hint in caught.value.hint


@pytest.mark.parametrize("content", ["", "\n\n", "{}\n", "[]\n", "not json\n"])
def test_json_lines_without_an_object_are_refused(folder, content):
    with pytest.raises(DataError, match="no line holds a JSON object"):
        read(folder, content, name="t.jsonl")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"image_column": "pth"}, "no column 'pth' for --image-column", "did you mean 'path'"),
        ({"text_column": "zzz"}, "no column 'zzz' for --text-column", "known: path, split, text"),
        ({"image_column": "text"}, "'text' cannot be both image and text column", ""),
        ({"where": {"spilt": "x"}}, "no column 'spilt'", "did you mean 'split'"),
        ({"where": {"split": "tran"}}, "no row has 'tran' in column 'split'", "mean 'train'"),
        ({"max_bad": -1}, "max_bad is -1, expected 0 or more", ""),
    ],
)
def test_a_wrong_option_names_what_would_be_right(folder, options, message, hint):
    with pytest.raises(ConfigError, match=message) as caught:
        read(folder, "path,text,split\na.jpg,x,train\nb.jpg,y,test\n", **options)
    assert hint in caught.value.hint


def test_where_keeps_matching_rows_and_does_not_check_the_others(folder):
    content = "path,text,split,n\na.jpg,x,train,1\ngone.jpg,y,test,1\nb.jpg,z,train,2\n"
    pairs = read(folder, content, where={"split": "train", "n": "2"})
    assert texts(pairs) == [("b.jpg", "z", 4)]
    assert pairs.columns == ({"split": "train", "n": "2"},)


def test_named_columns_win_over_known_names_and_class_names_serve_as_text(folder):
    content = "path,photo,caption,class,name\na.jpg,b.jpg,one,two,three\n"
    pairs = read(folder, content, image_column="photo", text_column="name")
    assert texts(pairs) == [("b.jpg", "three", 2)]
    assert texts(read(folder, "Image Path,Class\na.jpg,crack\n")) == [("a.jpg", "crack", 2)]
    assert texts(read(folder, "ファイル名;ラベル\na.jpg;傷\n")) == [("a.jpg", "傷", 2)]
    assert texts(read(folder, "ＰＡＴＨ,ｔｅｘｔ,class\na.jpg,one,two\n")) == [("a.jpg", "one", 2)]


def test_a_column_without_a_name_is_not_read(folder):
    pairs = read(folder, "path,text,,\na.jpg,one,x,y\n")
    assert pairs.columns == ({},)


# Names of pictures ---------------------------------------------------------------------------


def test_names_from_windows_and_macos_and_with_full_width_blanks_are_found(folder):
    decomposed = unicodedata.normalize("NFD", "ガラス.jpg")
    composed = unicodedata.normalize("NFC", "ばね.jpg")
    (folder / "sub").mkdir()
    (folder / decomposed).write_bytes(b"x")
    (folder / "sub" / composed).write_bytes(b"x")
    content = (
        "path,text\n"
        + unicodedata.normalize("NFC", decomposed) + ",glass\n"
        + "sub\\" + unicodedata.normalize("NFD", composed) + ",spring\n"
        + "\u3000a.jpg\u3000,\u3000cat\u3000\n"
        + f"{folder / 'b.jpg'},absolute\n"
        + "sub/../c.jpg,up\n"
    )  # fmt: skip
    pairs = read(folder, content)
    assert all(image.is_file() for image in pairs.images)
    assert pairs.texts == ("glass", "spring", "cat", "absolute", "up")
    assert pairs.images[0].name == decomposed


@pytest.mark.parametrize("name", ["", ".", "sub", "http://x/a.jpg", "a" * 5000, "a.jpg/x", "~"])
def test_a_name_that_is_no_file_is_a_bad_row(folder, name):
    (folder / "sub").mkdir()
    pairs = read(folder, f"path,text\na.jpg,ok\n{name},x\n", max_bad=1)
    assert [bad.row for bad in pairs.bad] == [3]


# Sources -------------------------------------------------------------------------------------


def test_of_several_tables_pairs_is_read_and_reports_never_are(folder):
    (folder / "labels.csv").write_text("path,class\na.jpg,cat\n")
    (folder / "rejected.jsonl").write_text("{}")
    (folder / ".hidden.csv").write_text("x")
    (folder / "~$labels.csv").write_text("x")
    assert read_pairs(folder).texts == ("cat",)
    (folder / "pairs.tsv").write_text("path\ttext\na.jpg\ta cat\n")
    assert read_pairs(str(folder)).texts == ("a cat",)
    (folder / "pairs.csv").write_text("path,text\na.jpg,x\n")
    with pytest.raises(DataError, match=r"3 tables in this folder: labels\.csv, pairs\.csv, pa"):
        read_pairs(folder)


def test_a_source_that_is_not_there_or_no_table_is_refused(folder):
    with pytest.raises(InputError, match="no such file or folder"):
        read_pairs(folder / "none")
    with pytest.raises(InputError, match=r"a\.jpg: not a table of pairs; expected \.csv"):
        read_pairs(folder / "a.jpg")
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        read_pairs(folder / ("x" * 300))
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="neither a table nor pictures"):
        read_pairs(folder / "empty")


def test_pictures_without_sentences_and_sentences_without_pictures_are_listed(folder):
    (folder / "a.txt").write_text("one\n\n two \n")
    (folder / "b.txt").write_text(" \n")
    (folder / "x.txt").write_text("lonely")
    (folder / ".hidden.txt").write_text("x")
    (folder / "D").mkdir()
    (folder / "D" / "d.PNG").write_bytes(b"x")
    (folder / "D" / "d.jpg").write_bytes(b"x")
    (folder / "D" / "d.TXT").write_bytes("猫".encode("cp932"))
    (folder / "D" / "e.jpg").write_bytes(b"x")
    (folder / "D" / "e.txt").write_bytes(b"\xff")
    pairs = read_pairs(folder, max_bad=4)
    assert texts(pairs) == [
        ("a.jpg", "one", 1),
        ("a.jpg", "two", 3),
        ("d.PNG", "猫", 1),
        ("d.jpg", "猫", 1),
    ]
    assert pairs[3].source == "D/d.TXT"
    assert pairs.encoding == "cp932, utf-8"
    assert [(bad.source, bad.reason.split("(")[0]) for bad in pairs.bad] == [
        ("b.txt", "the file holds no sentence"),
        ("c.jpg", "there is no c.txt with its sentences beside this picture"),
        ("x.txt", "there is no picture of this name beside it"),
        ("D/e.txt", "D/e.txt: neither UTF-8 "),
    ]
    with pytest.raises(ConfigError, match="no column 'split'"):
        read_pairs(folder, where={"split": "train"})


def test_parquet_that_is_damaged_or_holds_pictures_is_refused(folder):
    with pytest.raises(DataError, match=r"t\.parquet: not a readable Parquet file"):
        read(folder, b"PAR1 nothing PAR1", name="t.parquet")
    table = pa.table({"image": [{"bytes": b"x"}], "text": ["x"]})
    pq.write_table(table, folder / "t.parquet")
    with pytest.raises(DataError, match="column 'image' holds struct<bytes: binary>, expected"):
        read_pairs(folder / "t.parquet")
    whole = (folder / "t.parquet").read_bytes()
    for size in range(0, len(whole), 37):
        with pytest.raises(DataError):
            read(folder, whole[:size], name="t.parquet")


def test_parquet_with_any_byte_changed_is_read_or_refused(folder):
    table = pa.table({"path": ["a.jpg", "b.jpg"] * 50, "text": [f"text {i}" for i in range(100)]})
    pq.write_table(table, folder / "t.parquet", compression="zstd", write_page_checksum=True)
    whole = (folder / "t.parquet").read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        try:
            read(folder, damaged, name="t.parquet", max_bad=1000)
        except WordsightError:
            refused += 1
    assert refused > 20


def test_folders_are_visited_in_the_order_of_their_names_and_hidden_ones_never(tmp_path):
    for name in ("b", "c", "a", "B", ".cache", "a/z", "a/y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"x")
        (tmp_path / name / "x.txt").write_text(name)
    assert read_pairs(tmp_path).texts == ("B", "a", "a/y", "a/z", "b", "c")


def test_parquet_columns_that_are_not_text_are_left_on_disk(folder):
    table = pa.table({
        "path": ["a.jpg", None], "text": ["one", "two"], "score": [1.5, 2.0], "good": [True, False],
        "vector": [[1.0], [2.0]], "raw": [b"x", b"y"],
    })  # fmt: skip
    pq.write_table(table, folder / "t.parquet")
    pairs = read_pairs(folder / "t.parquet", max_bad=1)
    assert pairs.columns == ({"score": "1.5", "good": "true"},)
    assert reasons(pairs) == [(2, "picture: the value is missing")]
    with pytest.raises(ConfigError, match="no column 'vector'"):
        read_pairs(folder / "t.parquet", where={"vector": "1"})


def test_parquet_without_pyarrow_names_the_package_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingError, match="needs the package pyarrow") as caught:
        read(folder, b"", name="t.parquet")
    assert caught.value.hint == 'pip install "wordsight[parquet]"'
    assert caught.value.exit_code == 3


def test_columns_that_do_not_fit_the_pairs_are_refused():
    with pytest.raises(InputError, match="0 pairs, but columns for 1"):
        Pairs([], columns=[{}])


pieces = [*'ab.jpg,;\t"\n\r\\ \u3000猫\0{}[]:', "path,text\n", '{"image":"a.jpg"']
table_like = st.lists(st.sampled_from(pieces), max_size=60).map("".join)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.one_of(st.binary(max_size=80), table_like.map(str.encode)),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
    has_header=st.booleans(),
)
def test_no_content_raises_anything_but_our_errors(folder, content, suffix, has_header):
    header = b"path,text\na.jpg,ok\n" if has_header and suffix == ".csv" else b""
    try:
        pairs = read(folder, header + content, name=f"t{suffix}", max_bad=10**6)
    except WordsightError as error:
        assert str(error)
        return
    assert len(pairs) > 0
    for line in rejected_lines(pairs):
        json.loads(line.encode())
