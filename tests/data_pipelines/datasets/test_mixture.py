"""Mixtures as text: what they name, and what is said of those that name nothing."""

import pytest

from data_pipelines.datasets.mixture import Source, parse_sources
from data_pipelines.datasets.record import DatasetError


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("voc:trainaug", Source("voc", "VOCdevkit/VOC2012", "trainaug", "class", 1.0)),
        ("voc:train[:50%]:instance*0.5", Source("voc", "VOCdevkit/VOC2012", "train[:50%]", "instance", 0.5)),
        ("sbd@../old/SBD:trainaug*2", Source("sbd", "../old/SBD", "trainaug", "class", 2.0)),
        ("coco:train2017:class", Source("coco", "coco", "train2017", "class", 1.0)),
        ("davis:val", Source("davis", "DAVIS", "val", "instance", 1.0)),
        ("folder@/data/my images:all[3:-2]", Source("folder", "/data/my images", "all[3:-2]", "instance", 1.0)),
        ('folder@"a, b:c*@[1]":all', Source("folder", "a, b:c*@[1]", "all", "instance", 1.0)),
        ("folder@'the \"best\"':all[:5]:class*2", Source("folder", 'the "best"', "all[:5]", "class", 2.0)),
        (
            "folder@x:all:class:masks=labels:exif=stored*2",
            Source("folder", "x", "all", "class", 2.0, (("exif", "stored"), ("masks", "labels"))),
        ),
        ("frames@x:all:masks=object", Source("frames", "x", "all", "instance", 1.0, (("masks", "object"),))),
        ("frames@own_video/chair:all*1e-1", Source("frames", "own_video/chair", "all", "instance", 0.1)),
        ("generated:train", Source("generated", "", "train", "instance", 1.0)),
    ],
)
def test_source_in_words(text, source):
    assert parse_sources(text) == (source,)


def test_a_mixture_is_separated_by_commas_with_or_without_blanks():
    mixture = parse_sources(" voc:trainaug:class*2,coco:train2017,\n folder@ECSSD:all ")
    assert [(source.dataset, source.weight) for source in mixture] == [("voc", 2.0), ("coco", 1.0), ("folder", 1.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no data set is named; write for example voc:trainaug"),
        ("voc:train,", r"'' is not NAME\[@PATH\]:SPLIT"),
        ("voc", "'voc' names no split; write for example"),
        ("vok:train", "no data set is called 'vok'; did you mean 'voc'"),
        ("imagenet:train", "no data set is called 'imagenet'; There are: voc, sbd, coco"),
        ("voc:train:pixel", "the unit is 'pixel', but must be 'class' or 'instance'"),
        ("voc:train*0", "the weight is '0', but must be a positive number"),
        ("voc:train*-1", "the weight is '-1'"),
        ("voc:train*nan", "the weight is 'nan'"),
        ("voc:train*inf", "the weight is 'inf'"),
        ("voc:train*much", "the weight is 'much'"),
        (
            "voc train",
            r"'voc train' is not NAME\[@PATH\]:SPLIT\[:UNIT\]\[:OPTION=VALUE\]\[\*WEIGHT\]; write for example",
        ),
        ("voc:train:class:2", r"is not NAME\[@PATH\]"),
        ("voc:train[:50%", r"is not NAME\[@PATH\]"),
        ("voc:train+val", r"is not NAME\[@PATH\]"),
        ("folder@a:b:all", r"quote a path with any of ,:\*@\[\] in it, as folder@'a, b':all"),
        ("folder@'a:all", "quote a path"),
        (
            "folder@a:all:masks=grey",
            r"no option masks=grey; there are masks=object\|labels\|alpha, exif=upright\|stored",
        ),
        ("folder@a:all:mask=object", "no option mask=object"),
        ("folder@a:all:masks=object:masks=labels", "has an option twice"),
        ("voc:train:masks=object", "options are for folder and frames; voc has none"),
        ("folder:all", "does not say where the files are; write folder@PATH:all"),
    ],
)
def test_text_that_names_no_source_says_how_it_is_written(text, message):
    with pytest.raises(DatasetError, match=message):
        parse_sources(text)
