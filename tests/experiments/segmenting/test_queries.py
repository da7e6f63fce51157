"""Queries found on disk, and the names of what is written of them."""

from pathlib import Path

import pytest

from experiments.segmenting.queries import check_out, find_queries


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("10.jpg", "9.JPG", "sub/1.png", "sub/deep/2.jpeg", "notes.txt", ".hidden.jpg", "__MACOSX/9.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "photos"


def names(*patterns: str, clip: bool = False) -> list[str]:
    return [query.name for query in find_queries(patterns, clip=clip).queries]


def test_a_folder_with_all_below_it(photos):
    assert names("photos") == ["9", "10", "sub/1", "sub/deep/2"]
    assert find_queries([str(photos)], clip=False).queries[0].path == photos / "9.JPG"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("photos/*.jpg", ["10"]),
        ("photos/*", ["9", "10", "sub/1", "sub/deep/2"]),
        ("photos/**/*.jp*g", ["10", "sub/deep/2"]),
        ("photos/s*/*.png", ["sub/1"]),
        ("photos/sub/1.png", ["1"]),
        ("./photos/sub", ["1", "deep/2"]),
    ],
)
def test_patterns(photos, pattern, wanted):
    assert names(pattern) == wanted


def test_a_file_whose_name_looks_like_a_pattern(photos):
    (photos / "[1].jpg").write_text("")
    assert names("photos/[1].jpg") == ["[1]"]


def test_the_same_image_twice_is_one(photos):
    assert names("photos/*.jpg", "photos/10.jpg") == ["10"]


def test_frames_of_a_clip(photos):
    (clip,) = find_queries(["photos/sub/deep"], clip=True).queries
    assert (clip.name, clip.path, clip.is_clip) == ("deep", Path("photos/sub/deep"), True)
    clips = find_queries(["photos"], clip=True).queries
    assert [clip.name for clip in clips] == ["photos", "sub", "sub/deep"]
    assert [path.name for path in clips[0].frames] == ["9.JPG", "10.jpg"]


def test_a_video_is_a_clip(photos):
    (photos / "clip.MP4").write_text("")
    (clip,) = find_queries(["photos/*.MP4"], clip=False).queries
    assert (clip.name, clip.is_clip, clip.frames) == ("clip", True, ())


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["none/*.jpg"], "--query=none/*.jpg: there is no such file or folder, and no file matches it"),
        (["photos/*.txt"], "--query=photos/*.txt: names 1 file, none of which ends in .jpg, .jpeg, .png"),
        (["photos/notes.txt"], "--query=photos/notes.txt: names 1 file"),
        (["photos/__MACOSX/*.gif", "photos"], "--query=photos/__MACOSX/*.gif: there is no such file"),
    ],
)
def test_what_is_not_found(photos, patterns, message):
    with pytest.raises(ValueError) as raised:
        find_queries(patterns, clip=False)
    assert str(raised.value).startswith(message)


def test_two_that_would_be_written_to_one_file(photos):
    (photos / "10.png").write_text("")
    with pytest.raises(ValueError, match=r"photos/10.jpg and photos/10.png would both be written as 10; rename one"):
        find_queries(["photos"], clip=False)
    (photos / "sub" / "10.jpg").write_text("")
    with pytest.raises(ValueError, match=r"photos/10.jpg and photos/sub/10.jpg would both be written as 10"):
        find_queries(["photos/10.jpg", "photos/sub/10.jpg"], clip=False)


def test_an_image_that_would_be_written_among_the_frames_of_a_clip(photos):
    (photos / "sub.mp4").write_text("")
    with pytest.raises(ValueError, match=r"photos/sub/1.png would be written among the frames of the clip photos/sub"):
        find_queries(["photos"], clip=False)


@pytest.mark.parametrize(
    ("pattern", "out", "refused"),
    [
        ("photos", "photos/out", True),
        ("photos", "photos", True),
        ("photos/**/*.jpg", "photos/sub/out", True),
        ("photos/*/*.png", "photos/out", True),
        ("photos/*.jpg", "photos/out", False),
        ("photos/10.jpg", "photos/out", False),
        ("photos/sub", "photos/out", False),
        ("photos", "photos2", False),
    ],
)
def test_outputs_among_the_queries(photos, pattern, out, refused):
    found = find_queries([pattern], clip=False)
    if refused:
        with pytest.raises(ValueError, match=rf"--out={out}: lies in photos, which --query searches"):
            check_out(Path(out), found)
    else:
        check_out(Path(out), found)
