"""Lists of images, clips and tasks: marks, encodings, forms, emptiness; a file is named, and no line is lost."""

import pytest

from data_pipelines.counted import counted
from data_pipelines.datasets.record import DatasetError
from data_pipelines.selection.lists import Listed, check_listed_classes, read_lists
from tests.data_pipelines.bad_inputs.originals import make_sbd, make_voc, open_text, records_of

ONE, TWO = "2007_000001", "2007_000002"
PAIR = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png"

UNDERSTOOD = [
    ("a byte order mark", f"\ufeff{ONE}\n{TWO}\n".encode()),
    ("carriage returns and blanks", f"{ONE} \r\n\r\n {TWO}\r\n{ONE}".encode()),
    ("pairs, as DeepLab has them", f"{PAIR.format(ONE)}\n{PAIR.format(TWO)}\n".encode()),
    ("pairs after a mark", f"\ufeff{PAIR.format(ONE)}\n{TWO}".encode()),
    ("files", f"{ONE}.jpg\nJPEGImages/{TWO}.jpg".encode()),
]
REFUSED = [
    ("latin-1", "2007_00000\xe9\n".encode("latin-1"), r"train\.txt is not UTF-8 \(byte 10\); save it in UTF-8"),
    ("UTF-16", "2007_000001\n".encode("utf-16"), r"train\.txt is not UTF-8"),
    ("empty", b" \n\n", r"train\.txt is empty; it lists one image or clip a line"),
    ("three words", f"{ONE} {ONE} {ONE}".encode(), r"train\.txt: .* is neither the name of an image nor the paths"),
    ("of classes", f"{ONE} -1".encode(), r"train\.txt: .* is neither the name of an image nor the paths"),
    ("two images", f"/JPEGImages/{ONE}.jpg /SegmentationClassAug/{TWO}.png".encode(), "is neither the name of an im"),
    (
        "other masks",
        f"/JPEGImages/{ONE}.jpg /SegmentationClass/{ONE}.png".encode(),
        r"another mask than .*Aug/2007_000001",
    ),
    ("missing image", b"2007_999999", r"files that .*train\.txt asks for are missing, first .*2007_999999\.jpg"),
]


@pytest.mark.parametrize("content", [row[1] for row in UNDERSTOOD], ids=[row[0] for row in UNDERSTOOD])
def test_a_list_of_images_keeps_every_line(tmp_path, content):
    voc = make_voc(tmp_path)
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_bytes(content)
    assert sorted(records_of(open_text("voc:train", tmp_path))) == [ONE, TWO]


@pytest.mark.parametrize(("content", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_list_of_images_is_refused_by_name(tmp_path, content, message):
    voc = make_voc(tmp_path)
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_text("voc:train", tmp_path)


def test_files_of_the_system_are_no_lists(tmp_path):
    voc = make_voc(tmp_path)
    (voc / "ImageSets" / "Segmentation" / "._train.txt").write_bytes(b"\x00\xff")
    with pytest.raises(DatasetError, match=r"has no split 'val'; there are: train$"):
        open_text("voc:val", tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "._fold0.txt").write_bytes(b"\x00\xff")
    (tmp_path / "lists" / "fold0.txt").write_text(f"{ONE}__01\n")
    assert read_lists(str(tmp_path / "lists")) == (Listed(ONE, 1),)


def test_lists_of_sbd_take_the_same_forms(tmp_path):
    folder = make_sbd(tmp_path)
    (folder / "train.txt").write_bytes(b"\xef\xbb\xbfimg/a.jpg\n")
    assert list(records_of(open_text("sbd:train", tmp_path))) == ["a"]


TASKS = [
    ("empty", b"", r"tasks\.txt is empty; it needs lines IMAGE__CC"),
    ("blank lines", b"\n \n", r"tasks\.txt is empty"),
    ("class 0", b"2007_000001__00\n", r"tasks\.txt, line 1: '2007_000001__00' is of class 0; classes count from 1"),
    ("four digits", b"a__01\na__1234", r"tasks\.txt, line 2: 'a__1234' is not IMAGE__CC"),
    ("no class", b"2007_000001", "line 1: '2007_000001' is not IMAGE__CC"),
    ("latin-1", b"\xe9__01", r"tasks\.txt is not UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), [row[1:] for row in TASKS], ids=[row[0] for row in TASKS])
def test_a_list_of_tasks_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "tasks.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_lists(str(tmp_path / "tasks.txt"))


@pytest.mark.parametrize("form", ["{0}/tasks.txt", "~/tasks.txt", "{0}/./tasks.txt", "~/more.txt, ~/tasks.txt"])
def test_an_empty_list_that_is_named_is_refused_however_it_is_named(tmp_path, monkeypatch, form):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tasks.txt").write_text("")
    (tmp_path / "more.txt").write_text(f"{ONE}__01\n")
    with pytest.raises(DatasetError, match=r"tasks\.txt is empty; it needs lines IMAGE__CC"):
        read_lists(form.format(tmp_path))
    assert read_lists(f"{tmp_path}") == (Listed(ONE, 1),)  # of a folder one may be empty


def test_a_byte_order_mark_loses_no_task(tmp_path):
    (tmp_path / "tasks.txt").write_bytes(b"\xef\xbb\xbf2007_000001__01\r\n2007_000002__20\r\n")
    assert read_lists(str(tmp_path / "tasks.txt")) == (Listed(ONE, 1), Listed(TWO, 20))


@pytest.mark.parametrize("number", [21, 999])
def test_a_task_of_no_class_is_refused(tmp_path, number):
    make_voc(tmp_path)
    split = open_text("voc:train", tmp_path)
    check_listed_classes([Listed(ONE, 20)], [split])
    check_listed_classes([Listed(ONE, number)], [])
    with pytest.raises(DatasetError, match=f"'{ONE}__{number}' is of class {number}, and voc:train has 20 classes"):
        check_listed_classes([Listed(ONE, 20), Listed(ONE, number)], [split])


@pytest.mark.parametrize(("number", "words"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes")])
def test_a_number_with_its_noun(number, words):
    assert counted(number, "class", "classes") == words
    assert counted(number, "task") == words.replace("classes", "tasks").replace("class", "task")
