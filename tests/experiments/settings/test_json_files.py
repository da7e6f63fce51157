"""JSON files: whole or not at all, and errors that name the file and what is wrong with it."""

import pytest

from experiments.settings.errors import UserError
from experiments.settings.json_files import read_json, read_json_lines, write_json, write_json_lines
from experiments.settings.shapes import EACH, SCORE, find_fault


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, None, "ü"]})
    assert read_json(tmp_path / "x.json") == {"a": [1, None, "ü"]}
    assert (tmp_path / "x.json").read_text().endswith("]\n}\n")
    write_json_lines(tmp_path / "x.jsonl", [{"a": "one\u2028line"}, {"a": 2}])
    assert read_json_lines(tmp_path / "x.jsonl") == [{"a": "one\u2028line"}, {"a": 2}]
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 2


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, [1])
    with pytest.raises(TypeError):
        write_json(file, [object()])
    assert read_json(file) == [1]
    with pytest.raises(TypeError):
        write_json_lines(file, [1, object()])
    assert read_json(file) == [1]


@pytest.mark.parametrize("content", [None, b"{", b"\xff"], ids=["missing", "cut", "no text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "x.json"
    if content is not None:
        file.write_bytes(content)
    for read in (read_json, read_json_lines):
        with pytest.raises(UserError, match=r"x\.json: cannot be read: "):
            read(file)


def test_the_broken_line_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(UserError, match=r"x\.jsonl: cannot be read: line 3: Expecting value"):
        read_json_lines(tmp_path / "x.jsonl")


SHAPE = {"name": str, "scores": {EACH: {"iu": SCORE, "by_frame?": [float]}}, "step?": int}


def test_what_a_file_lacks():
    sound = {"name": "a", "scores": {"1": {"iu": 0.5}, "5": {"iu": None, "by_frame": [0.1]}}, "step": None, "more": 1}
    assert find_fault(sound, SHAPE) is None
    assert find_fault({"name": "a", "scores": {}}, SHAPE) is None
    for value, fault in [
        ([], "is no object"),
        ({"scores": {}}, "name: is missing"),
        ({"name": None, "scores": {}}, "name: is None"),
        ({"name": "a", "scores": []}, "scores: is no object"),
        ({"name": "a", "scores": {"1": {}}}, "scores.1.iu: is missing"),
        ({"name": "a", "scores": {"1": {"iu": "high"}}}, "scores.1.iu: is 'high'"),
        ({"name": "a", "scores": {"1": {"iu": 1, "by_frame": 2}}}, "scores.1.by_frame: is no list"),
        ({"name": "a", "scores": {"1": {"iu": 1, "by_frame": [0.5, "b"]}}}, "scores.1.by_frame.1: is 'b'"),
        ({"name": "a", "scores": {}, "step": "last"}, "step: is 'last'"),
    ]:
        assert find_fault(value, SHAPE) == fault
