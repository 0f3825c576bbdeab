"""NormZoo: six networks that differ only in their normalization layer, and what each makes of an image."""

from normzoo.errors import NormZooError
from normzoo.images.preprocess import load_image
from normzoo.inference.predict import Prediction, predict, predict_many
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm
from normzoo.nn.registry import NORM_LAYERS, get_norm_layer
from normzoo.nn.replace import replace_norms
from normzoo.nn.resnet import ResNet
from normzoo.nn.sync import synchronize
from normzoo.pretrained.registry import Model, list_model_sets, load_model, load_models

__all__ = [
    "NORM_LAYERS",
    "BatchInstanceNorm",
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "Model",
    "NoNorm",
    "NormZooError",
    "Prediction",
    "ResNet",
    "get_norm_layer",
    "list_model_sets",
    "load_image",
    "load_model",
    "load_models",
    "predict",
    "predict_many",
    "replace_norms",
    "synchronize",
]
