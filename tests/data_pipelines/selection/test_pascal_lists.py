import numpy as np

from data_pipelines.selection.lists import Listed
from data_pipelines.selection.pascal_lists import Verdict, compare, judge, write_lists


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
