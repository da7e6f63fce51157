"""A file of weights of one backbone where another one is asked for: the error names what the file holds."""

import pytest
from safetensors.numpy import save_file

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.backbones.pretrained import read_weights
from guided_jax.backbones.table import BACKBONES
from tests.experiments.tiny_weights import write_tiny_weights
from tests.guided_jax.backbones.resnet.test_weights import random_state
from tests.guided_jax.backbones.vit.published import arrays_of, make_hf, make_timm

HELD = {
    "vgg-tiny": "vgg-tiny (guided_jax)",
    "resnet-tiny": "resnet-tiny (torchvision)",
    "dinov2-tiny": "dinov2-tiny (Hugging Face)",
    "dinov2-tiny-registers": "dinov2-tiny-registers (Meta or timm)",
    "dinov3-tiny": "dinov3-tiny (Hugging Face)",
}
ASKED = (*HELD, "vgg16", "resnet50", "dinov2-l", "dinov3-b")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    files = {name: folder / f"{name}.safetensors" for name in HELD}
    write_tiny_weights(files["vgg-tiny"], TORCHVISION)
    save_file(random_state(BACKBONES["resnet-tiny"]), files["resnet-tiny"])
    for name in ("dinov2-tiny", "dinov3-tiny"):
        save_file(arrays_of(make_hf(name)), files[name])
    save_file(arrays_of(make_timm("dinov2-tiny-registers")), files["dinov2-tiny-registers"])
    return files


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("held", HELD)
def test_what_a_file_holds_is_named(files, held, asked):
    if held == asked:
        assert read_weights(files[held], BACKBONES[asked]).preprocessing == TORCHVISION
        return
    with pytest.raises(WeightsError) as caught:
        read_weights(files[held], BACKBONES[asked])
    way = f"the configuration asks for {asked}: give weights of that, or set model.backbone={held}"
    assert str(caught.value) == f"{files[held]}: this file holds a {HELD[held]}; {way}"
