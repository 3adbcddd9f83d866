"""Tasks by name: the quadratic of the paper, a network on images of any size, and the tasks of
the suites.

An image task is called ``DATASET-NETWORK`` or ``DATASET-SIDExSIDE-NETWORK``: ``cifar10-convnet``,
``fashion-mnist-14x14-mlp``. A network may be followed by the widths of its hidden layers,
``mnist-8x8-mlp-32`` or ``cifar10-16x16-convnet-16x32x32``; it then has Haiku's initial weights, as
the tasks of the suites. The size of a batch may come last,
``cifar10-16x16-convnet-16x32x32-batch64``. A name is resolved without the data being read, or
found.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from lopt.tasks.data.datasets import DATASETS, Images, fashion_mnist_8x8, load_dataset
from lopt.tasks.data.resize import box_filter
from lopt.tasks.data.text import TEXTS, load_text
from lopt.tasks.suites.catalogue import FORMS, SMALL, TaskForm, task_form
from lopt.tasks.task import Task
from nqm.examples import example
from nqm.quadratic import NoisyQuadratic
from nqm.untrusted import quoted

QUADRATIC = "quadratic"
EMBEDDED = "fashion-mnist-8x8"
# The networks of images, and what each calls the widths of its hidden layers.
WIDTHS = {"mlp": "hidden", "convnet": "channels"}
NETWORKS = tuple(WIDTHS)
# The side of the smallest images in use; a box may cut pixels for it.
TINY = 8
SOURCES = tuple(name for name in DATASETS if name != EMBEDDED)
# Appendix B.2; on the embedded images the MLP is smaller, for a demonstration of minutes.
HIDDEN, EMBEDDED_HIDDEN, CHANNELS = (128, 128), (32,), (32, 64, 64)
SIZED = re.compile(
    r"(?P<dataset>.+?)(?:-(?P<height>\d{1,4})x(?P<width>\d{1,4}))?-(?P<network>[a-z]+)"
    r"(?:-(?P<widths>[1-9]\d{0,4}(?:x[1-9]\d{0,4}){0,15})(?:-batch(?P<batch>[1-9]\d{0,5}))?)?"
)


@dataclass(frozen=True)
class ImageTaskName:
    """The parts of an image task's name.

    Attributes
    ----------
    dataset
        A name of `lopt.tasks.data.datasets.DATASETS`.
    side
        Rows and columns of an image, averaged from the data set's own.
    network
        One of `NETWORKS`.
    """

    dataset: str
    side: int
    network: str


def task_names() -> tuple[str, ...]:
    """Every name without a size, and the embedded ones; a size may stand before the network."""
    return (
        QUADRATIC,
        *(f"{dataset}-{network}" for dataset in (EMBEDDED, *SOURCES) for network in NETWORKS),
        *FORMS,
    )


def short_list() -> str:
    """The names without the small forms of named tasks, in one line."""
    full = [name for name in task_names() if not name.endswith(SMALL)]
    return f"{', '.join(full)}; those from {next(iter(FORMS))} on also with {SMALL}"


def parse_task_name(name: str) -> ImageTaskName | TaskForm | None:
    """The parts of the name of an image task, or what another name stands for; None for the
    quadratic. No data is looked for.

    Raises
    ------
    ValueError
        Where no task has the name, with the nearest; or where the data set has no images of the
        size, with the sizes that it has.

    Examples
    --------
    >>> parse_task_name("cifar10-16x16-convnet")
    ImageTaskName(dataset='cifar10', side=16, network='convnet')
    """
    if name == QUADRATIC:
        return None
    if (form := task_form(name)) is not None:
        return form
    parts = SIZED.fullmatch(name)
    known = parts and parts["dataset"] in SOURCES and parts["network"] in NETWORKS
    if not parts or not known:
        near = get_close_matches(name[:100], task_names(), 1, cutoff=0.0)[0]
        raise ValueError(
            f"no task is called {quoted(name)}; the nearest is {near}, all are {short_list()}, "
            "images with a size, as in fashion-mnist-14x14-mlp, and a network with the widths of "
            "its hidden layers, as in mnist-8x8-mlp-32, and the size of a batch, as in "
            "mnist-8x8-mlp-32-batch64."
        )
    source = parts["dataset"]
    own = DATASETS[source].shape[0]
    side = int(parts["height"] or own)
    if parts["height"] == parts["width"] and f"{source}-{side}x{side}" == EMBEDDED:
        source, own = EMBEDDED, side
    if parts["height"] != parts["width"] or side == 0 or (own % side and side != TINY):
        sizes = [s for s in range(1, own + 1) if own % s == 0 or s == TINY]
        raise ValueError(
            f"task {quoted(name)} has a size that does not divide {source}'s {own}x{own}; take one "
            f"of {', '.join(f'{s}x{s}' for s in sizes)}."
        )
    if parts["widths"]:
        widths = tuple(map(int, parts["widths"].split("x")))
        options = {WIDTHS[parts["network"]]: widths}
        batch = int(parts["batch"] or TaskForm.batch_size)
        return TaskForm(name, source, parts["network"], options, batch, side)
    return ImageTaskName(source, side, parts["network"])


def make_task(name: str) -> Task:
    """The task of this name, its data loaded; the MLP has two hidden layers of 128 units (one of
    32 on the embedded images), the ConvNet 32, 64 and 64 channels, batches are of 128 images.

    Raises
    ------
    ValueError
        Where the name is unknown, or its data set is missing or damaged.

    Examples
    --------
    >>> make_task("fashion-mnist-8x8-mlp").batch_size
    128
    """
    parts = parse_task_name(name)
    # Flax takes most of a second to import, so that it is imported only when a task is made.
    if parts is None:
        from lopt.tasks.quadratic import quadratic_task

        return quadratic_task(make_quadratic(name), name)
    if isinstance(parts, TaskForm):
        from lopt.tasks.suites.build import build

        load = load_text if parts.dataset in TEXTS else load_dataset
        return build(parts, load(parts.dataset))
    from lopt.tasks.images import image_task
    from lopt.tasks.networks import MLP, ConvNet

    found = fashion_mnist_8x8() if parts.dataset == EMBEDDED else load_dataset(parts.dataset)
    images, labels = found.train
    classes = DATASETS[parts.dataset].classes
    hidden = EMBEDDED_HIDDEN if parts.dataset == EMBEDDED else HIDDEN
    network = MLP(hidden, classes) if parts.network == "mlp" else ConvNet(CHANNELS, classes)
    data = Images(box_filter(np.asarray(images), parts.side), labels)
    return image_task(name, data, network, classes)


def make_quadratic(name: str) -> NoisyQuadratic:
    """The noisy quadratic of this name: Appendix B.1's, with the Hessian (A.30).

    Raises
    ------
    ValueError
        Where the name is another task's, or unknown.

    Examples
    --------
    >>> make_quadratic("quadratic").dimension
    2
    """
    if parse_task_name(name) is not None:
        raise ValueError(f"{name!r} is no quadratic; take {QUADRATIC}.")
    return example("paper").quadratic
