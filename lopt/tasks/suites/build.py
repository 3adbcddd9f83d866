"""Named tasks built from their description; initial weights are Haiku's throughout."""

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from lopt.tasks.data.datasets import DATASETS, ImageDataset, Images
from lopt.tasks.data.resize import box_filter
from lopt.tasks.data.text import Text
from lopt.tasks.data.tokens import Bytes, Pieces, Vocabulary, token_rows
from lopt.tasks.images import autoencoder_task, image_task
from lopt.tasks.language import language_task
from lopt.tasks.models.layers import haiku_weights
from lopt.tasks.models.recurrent import CELLS, RecurrentLM
from lopt.tasks.models.resnet import ResNet
from lopt.tasks.models.transformer import TransformerLM
from lopt.tasks.networks import MLP, ConvNet
from lopt.tasks.suites.catalogue import TaskForm
from lopt.tasks.task import Task
from lopt.tasks.wrappers import es_gradient

SENTENCEPIECE = "LOPT_SENTENCEPIECE"
ES_SIGMA = 0.01
ACTIVATIONS = {"relu": nn.relu, "tanh": jnp.tanh}


def build(form: TaskForm, data: ImageDataset | Text) -> Task:
    """The task of a form, from its data set."""
    return _of_text(form, data) if isinstance(data, Text) else _of_images(form, data)


def image_network(form: TaskForm, outputs: int) -> nn.Module:
    """The network of an image task with so many outputs."""
    options = dict(form.options)
    if form.network == "resnet":
        return ResNet(classes=outputs, **options)
    options["kernel_init"] = haiku_weights
    if form.network == "convnet":
        return ConvNet(classes=outputs, **options)
    activation = ACTIVATIONS[options.pop("activation", "relu")]
    return MLP(classes=outputs, activation=activation, **options)


def language_network(form: TaskForm, tokens: int) -> nn.Module:
    """The network of a language task over so many tokens."""
    if form.network in CELLS:
        return RecurrentLM(form.network, vocabulary=tokens, **form.options)
    return TransformerLM(vocabulary=tokens, **form.options)


def _of_images(form: TaskForm, data: ImageDataset) -> Task:
    images = np.asarray(data.train.images)
    images = box_filter(images, form.side or images.shape[1])
    train = Images(images, data.train.labels)
    if form.network == "autoencoder":
        network = image_network(form, int(np.prod(images.shape[1:])))
        task = autoencoder_task(form.name, train, network, form.batch_size)
    else:
        classes = DATASETS[form.dataset].classes
        network = image_network(form, classes)
        task = image_task(form.name, train, network, classes, form.batch_size, form.objective)
    return es_gradient(task, form.es_pairs, ES_SIGMA) if form.es_pairs else task


def _of_text(form: TaskForm, text: Text) -> Task:
    vocabulary = _pieces() if form.pieces else Bytes()
    rows = token_rows(text.train, form.length + 1, vocabulary, lines=text.lines)
    network = language_network(form, vocabulary.size)
    return language_task(form.name, jnp.asarray(rows), network, vocabulary.size, form.batch_size)


def _pieces() -> Vocabulary:
    given = os.environ.get(SENTENCEPIECE)
    if not given:
        raise ValueError(
            f"{SENTENCEPIECE} must name the file of a SentencePiece model; it is not set. The same "
            "task without -pieces reads bytes and needs no model."
        )
    return Pieces(Path(given))
