"""The examples of the page on sessions run, one after the other, and do what the page says."""

import json
import re

import numpy as np
from PIL import Image

import guided_jax
from docs.tools.pages import ROOT
from guided_jax.loaded_model import LoadedModel
from guided_jax.session.annotation_file import from_json
from tests.guided_jax.small_models import small_model

PAGE = (ROOT / "docs" / "session.md").read_text("utf-8")


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, params = small_model(inference="distance", locality="both")
    photo, other = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), np.uint8)
    (tmp_path / "libby").mkdir()
    for number in range(3):
        Image.fromarray(np.roll(photo, number, 1)).save(tmp_path / "libby" / f"{number:05d}.png")
    names = {
        "guided_jax": guided_jax,
        "model": LoadedModel(model, params, {}),
        "photo": photo,
        "other": other,
    }
    examples = re.findall(r"^```python\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 7
    for example in examples:
        exec(example, names)
    session, later, elsewhere = names["session"], names["later"], names["elsewhere"]
    assert session.names == ("photo", "other", "third") and session.objects == {1: "", 2: "dog", 3: "cat"}
    assert later.annotations().images["photo"] == session.annotations().images["photo"]
    assert elsewhere.objects == {1: "", 2: "dog"} and names["bounded"].held() > 0
    assert names["names"] == ("libby/00000", "libby/00001", "libby/00002") and list(names["labels"]) == [1, 2]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[:3]] == ["0", "1", "2"]
    assert printed[3:] == ["1 of 3", "2 of 3", "3 of 3"]


def test_the_file_that_is_shown_is_sound():
    (shown,) = re.findall(r"^```json\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    annotations = from_json(json.loads(shown), "docs/session.md")
    assert annotations.objects == {1: "dog"} and len(annotations.images["photo"].marks) == 3
