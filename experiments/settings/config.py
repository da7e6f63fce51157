"""The typed configuration of an experiment.

An experiment module gives one by `get_config()`; flags override single fields
(`--config.train.learning_rate=1e-4`). The objects are read-only once the run has started.
"""

from dataclasses import dataclass, field, replace

from guided_jax.learning.config import TrainConfig
from guided_jax.model_config import ModelConfig
from guided_jax.tuning.config import TuneConfig


@dataclass
class DataConfig:
    """Where episodes come from, and what they are.

    Attributes:
        root: folder that holds the data sets as downloaded (VOCdevkit, coco, DAVIS, your own folders).
        prepared: folder for what is made of them: built data sets and cached features.
        train: mixture of sources, as `voc:trainaug:class*2, coco:train2017:instance, folder@PATH:all`:
            data set, split, what a task is (class or instance), weight in the mixture.
        classes: whose tasks to learn: all, names (dog, cat), a fold of PASCAL-5i (fold:0) or of COCO-20i
            (coco-fold:0, coco-block:0), or `not` these: `not fold:0` to hold fold 0 out. The pixels of
            other classes stay in the images, as negatives.
        lists: files, or folders of files, with lines IMAGE__CC, comma-separated: sources of unit class pose these
            tasks alone; empty: all.
        evenness: tasks of a source are drawn with a weight of (number of tasks of the class) ** -evenness: 0 all alike,
            1 every class alike.
        window: of each image no more than so many pixels a side are seen in training, around some of the task, anew in
            every episode; a multiple of 32; 0: all of it.
        balance: sub-sample every class, once, to as many tasks as the rarest has. The reference does where it holds
            a fold out.
        mode: interactive (support = query image), semantic (support: other images of the class), video (support:
            frames of the clip) or views (support: other views of the query image; to train for video on stills).
        crops: random crops of an image in mode views, half of them mirrored, beside the whole image.
        shots: support images an episode: a number, or a range as 1-5 to mix.
        points: annotated pixels per label and image: a number, a range, dense, clicks (interactive, as DIOS imagines a
            user's: see `data_pipelines.selection.user_clicks`), or a weighted mixture as `0-99*0.9, dense*0.1`, drawn
            anew each episode. The default is the reference's.
        min_area: least size of a task's region in pixels.
        buckets: sizes of the canvases, HEIGHTxWIDTH in pixels; an image is padded to the smallest that holds it.
        max_side: images with a longer side are scaled down to it; 0: never.
        flip: mirror half of the episodes. The reference does not.
        workers: processes that load episodes; 0: threads of this process.
        skip_broken: leave out images that cannot be read, or whose masks or annotations are wrong, when a data set is
            built, and count and list them; else the first of them is an error.
    """

    root: str = "data"
    prepared: str = "prepared"
    train: str = "sbd:train:instance"
    classes: str = ""
    lists: str = ""
    evenness: float = 0.0
    window: int = 0
    balance: bool = False
    mode: str = "interactive"
    crops: int = 2
    shots: str = "1"
    points: str = "0-99"
    min_area: int = 0
    buckets: str = "512x512"
    max_side: int = 0
    flip: bool = False
    workers: int = 0
    skip_broken: bool = False


@dataclass
class EvalConfig:
    """The evaluation; every task or episode is scored under every number of points.

    Attributes:
        source: one source, as in `data.train`, without weight.
        classes: as `data.classes`. `fold:K` is refused where the model was trained on its classes.
        lists: as `data.lists`.
        protocol: all (every task once) or the episodes of a publication: oslsm, panet, hsnet, pfenet.
        draws: how often support and points are drawn for the same tasks; 0: as often as the protocol says.
        force_seen: evaluate a fold that the model was trained on, too, and mark the result.
        mode: as `data.mode`; empty: the same.
        shots: support images.
        min_area: least size of a task's region in pixels.
        points: annotated pixels per label and image, a comma-separated list with `dense`; the smaller
            numbers of points are subsets of the larger ones.
        headline: the entry of `points` by which checkpoints are compared; empty: the first.
        batch_size: episodes that are scored at a time.
        limit: score only so many tasks, chosen once by the seed; 0: all.
        during: as `limit`, for the evaluations during training.
        checkpoint: which one `--mode=eval` scores: last, or best by the evaluations during training (never choose
            by scores of the test set).
        save: new folder for the predicted masks, which `guided_jax score` scores again; empty: none.
        guided_filter: whether logits follow the edges of the query's image (`guided_jax.guided_filter`).
        name: of the result, to keep several of a run: `result-NAME.json`; empty: `result.json`.
    """

    source: str = "voc:val:class"
    classes: str = ""
    lists: str = ""
    protocol: str = "all"
    draws: int = 0
    force_seen: bool = False
    mode: str = ""
    shots: int = 1
    min_area: int = 0
    points: str = "1,5,20,dense"
    headline: str = ""
    batch_size: int = 1
    limit: int = 0
    during: int = 0
    checkpoint: str = "last"
    save: str = ""
    guided_filter: bool = False
    name: str = ""


@dataclass
class Config:
    """A whole experiment.

    Attributes:
        name: of the experiment, for results.
        seed: of initialisation, episodes and dropout.
        weights: file of the backbone's pretrained weights (.npz, .h5, .keras, .pth, .safetensors), or the name of a
            published one, which is downloaded once (the backbone's own name is one), or hf:ORG/NAME for a model of the
            Hugging Face Hub; empty: none.
        weights_preprocessing: of the images for weights of unknown origin: caffe or torchvision; empty: told by the
            file.
        start_from: a trained model whose parameters training starts from, whatever `weights` says: the name of a
            guide that comes with the package, or a .safetensors that export wrote. The model must be the same. Empty:
            none.
        data: see `DataConfig`.
        model: see `ModelConfig`.
        train: see `TrainConfig`.
        tune: fine-tuning on each task of the evaluation, see `TuneConfig`.
        eval: see `EvalConfig`.
    """

    name: str = "experiment"
    seed: int = 1337
    weights: str = ""
    weights_preprocessing: str = ""
    start_from: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)


def unguided_twin(model: ModelConfig) -> ModelConfig:
    """The foreground-background baseline of a guided model: as wide, but blind to the support."""
    blocks = 2 if model.sharing == "shared" else 1 + model.way
    width = model.head_width or blocks * model.feature_width
    return replace(model, fusion="none", inference="direct", head_width=width)


def describe_model(model: ModelConfig) -> str:
    """A few words that tell models apart: `late global feature-fusion`, `stack direct`, `unguided`."""
    if model.fusion == "none":
        return "unguided"
    if model.inference == "direct":
        return f"{model.fusion} direct"
    return f"{model.fusion} {model.locality} {model.inference}"
