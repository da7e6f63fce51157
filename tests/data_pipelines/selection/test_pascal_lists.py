import numpy as np
import pytest

from data_pipelines.selection.lists import Listed, read_lists
from data_pipelines.selection.pascal_lists import Verdict, compare, judge, main, write_lists


def test_more_than_two_of_the_cells_centres_are_needed():
    mask = np.zeros((100, 130), bool)
    mask[1, 1] = mask[33, 33] = True
    assert judge(mask) == Verdict(taken=False, rounding=False)
    mask[97, 129] = True
    assert judge(mask) == Verdict(taken=True, rounding=True)  # at 32i there is none
    mask[96:98, 128:130] = mask[0:2, 0:2] = mask[32:34, 32:34] = True
    assert judge(mask) == Verdict(taken=True, rounding=False)
    everywhere_else = np.ones((100, 130), bool)
    everywhere_else[1::32, 1::32] = everywhere_else[0::32, 0::32] = False
    assert judge(everywhere_else) == Verdict(taken=False, rounding=True)


def test_area_is_not_what_counts():
    between = np.zeros((375, 500), bool)
    between[2:32, 2:320] = True
    assert between.sum() > 2 * 32 * 32
    assert judge(between) == Verdict(taken=False, rounding=False)


def test_a_file_holds_the_tasks_of_its_fold_s_classes(tmp_path):
    listed = [Listed("b", 1), Listed("a", 5), Listed("a", 6), Listed("c", 20)]
    assert write_lists(tmp_path / "trn", listed) == [2, 1, 0, 1]
    assert (tmp_path / "trn" / "fold0.txt").read_text() == "b__01\na__05\n"
    assert (tmp_path / "trn" / "fold3.txt").read_text() == "c__20\n"


def test_compare_looks_at_the_images_at_hand():
    verdicts = {
        Listed("a", 1): Verdict(True, False),
        Listed("a", 2): Verdict(True, True),
        Listed("b", 3): Verdict(False, True),
        Listed("b", 4): Verdict(False, False),
    }
    theirs = [Listed("a", 1), Listed("b", 3), Listed("b", 4), Listed("b", 5), Listed("elsewhere", 1)]
    assert compare(verdicts, theirs) == {
        Listed("a", 2): True,
        Listed("b", 3): True,
        Listed("b", 4): False,
        Listed("b", 5): False,
    }


@pytest.mark.real_data
def test_the_community_s_lists(real_data, tmp_path, capsys):
    """Equal over the images at hand, but for five training masks that the rounding of half a pixel decides."""
    theirs = real_data / "data" / "pascal5i_lists"
    main([f"--root={real_data / 'data'}", f"--prepared={tmp_path}", f"--out={tmp_path / 'lists'}", f"--check={theirs}"])
    voc = real_data / "data" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    differing = {}
    for split, images in (("val", "val"), ("trn", "trainaug")):
        at_hand = set((voc / f"{images}.txt").read_text().split())
        for fold in range(4):
            file = f"{split}/fold{fold}.txt"
            there = [line for line in read_lists(str(theirs / file)) if line.image_id in at_hand]
            ours = read_lists(str(tmp_path / "lists" / file)) if there else ()
            both = set(there) & set(ours)
            assert [line for line in ours if line in both] == [line for line in there if line in both]
            differing[file] = {*map(str, set(there) ^ set(ours))}
    assert {file: lines for file, lines in differing.items() if lines} == {
        "trn/fold0.txt": {"2007_009630__05"},
        "trn/fold1.txt": {"2008_006753__08", "2009_002986__10", "2010_004030__10"},
        "trn/fold2.txt": {"2007_008526__15"},
    }
    told = capsys.readouterr().out
    assert "0 lines of these images differ" in told and "5 lines of these images differ" in told
    assert told.count("by rounding half a pixel") == 5
