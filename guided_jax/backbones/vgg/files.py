"""The published files of VGG-16's weights: where they are, and their checksums."""

from guided_jax.backbones.known_file import KnownFile
from guided_jax.backbones.preprocessing import CAFFE, KERAS, TORCHVISION

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"

# torchvision's sha256 begins as its file name says; the Caffe-converted file is taken to do the same (its
# full checksum is not published). Keras's md5 are those of keras.applications.vgg16.
VGG16_FILES = (
    KnownFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5",
        "6d6bbae143d832006294945121d1f1fc",
        KERAS,
        "Oxford's VGG-16, Keras's copy, convolutions",
        short="vgg16",
        url=f"{_KERAS}vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        megabytes=59,
    ),
    KnownFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5",
        "64373286793e3c8b2b4e3219cbf3544b",
        KERAS,
        "Oxford's VGG-16, Keras's copy",
        short="vgg16-fc",
        url=f"{_KERAS}vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        megabytes=553,
    ),
    KnownFile(
        "vgg16-397923af.pth",
        "sha256",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        TORCHVISION,
        "torchvision's VGG-16",
        short="vgg16-torchvision",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        megabytes=553,
    ),
    KnownFile(
        "vgg16-00b39a1b.pth",
        "sha256",
        "00b39a1b",
        CAFFE,
        "Oxford's VGG-16, converted from Caffe by J. Johnson",
        short="vgg16-caffe",
        url="https://web.eecs.umich.edu/~justincj/models/vgg16-00b39a1b.pth",
        megabytes=553,
    ),
    KnownFile(
        "vgg16_imagenet_conv_fp16.npz",
        "sha256",
        "5951250add37090d8b3e2d14efb20581220025be54428892f8d29868ca0e2cd0",
        CAFFE,
        "Oxford's VGG-16, convolutions in float16",
    ),
    KnownFile(
        None,
        "sha256",
        "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        TORCHVISION,
        "torchvision's VGG-16, timm's vgg16.tv_in1k",
    ),
)
