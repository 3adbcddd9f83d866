"""The named tasks as plain data: what a name stands for, without JAX or any data set.

The paper applies its optimizer to sixteen tasks of the package learned_optimization (Figure 4,
Appendices B.3 and C.3). Their names stand only in pictures; the text describes some, and the
others here cover the package's families.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lopt.checks import require_member
from lopt.tasks.data.text import TEXTS

SMALL = "-small"
OUT_OF_DISTRIBUTION = "out-of-distribution"
# Steps of a run: what baselines were searched for, and what two CPU cores do of the larger tasks.
STEPS, FEW_STEPS = 10_000, 2_000
RECURRENT_LENGTH, ATTENTION_LENGTH = 32, 128


@dataclass(frozen=True)
class TaskForm:
    """A named task in one of its forms.

    Attributes
    ----------
    name
        As on the command line.
    dataset
        A name of `lopt.tasks.DATASETS` or `lopt.tasks.TEXTS`.
    network
        ``mlp``, ``convnet``, ``autoencoder``, ``resnet``, ``lstm``, ``gru`` or ``transformer``.
    options
        What the network is given beside its number of classes or tokens.
    batch_size
        Examples a batch.
    side
        Rows and columns of an image; None for the data set's own.
    length
        Tokens that a language model reads.
    pieces
        Whether tokens are those of the SentencePiece model that `LOPT_SENTENCEPIECE` names, rather
        than bytes.
    objective
        Of a classifier, see `lopt.tasks.image_task`.
    es_pairs
        Pairs of `lopt.tasks.es_gradient`; 0 for the gradient itself.
    steps
        Inner steps of a run of the suite.
    reference
        The name of the same task in learned_optimization, where it has one.
    """

    name: str
    dataset: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 128
    side: int | None = None
    length: int = RECURRENT_LENGTH
    pieces: bool = False
    objective: str = "cross-entropy"
    es_pairs: int = 0
    steps: int = STEPS
    reference: str = ""

    def small(self, **changes: Any) -> "TaskForm":
        """The form for two CPU cores."""
        return replace(self, name=self.name + SMALL, **changes)


def _pairs() -> list[tuple[TaskForm, TaskForm]]:
    """The sixteen tasks, each in full and in small."""
    deep, code = (128, 128, 128), (128, 32, 128)
    cifar, mnist = "ImageMLP_Cifar10_128x128x128", "ImageMLP_Mnist_128x128x128"
    convnet = TaskForm(
        "cifar10-convnet-32x64x64",
        "cifar10",
        "convnet",
        {"channels": (32, 64, 64)},
        reference="Conv_Cifar10_32x64x64",
    )
    normed = replace(
        convnet,
        name="cifar10-convnet-layernorm",
        options={**convnet.options, "norm": "layer"},
        reference="Conv_Cifar10_32x64x64_layernorm",
    )
    resnet = TaskForm(
        "imagenet32-resnet", "imagenet32-tiny200", "resnet", reference="Resnet_MultiRuntime_5"
    )
    dropout = "ImageMLP_Cifar10_128x128_Dropout05_Relu_MSE"
    lstm = _language("lm1b", "lstm", "RNNLM_lm1bbytes_Patch32_LSTM256_Embed128")
    gru = _language("lm1b", "gru", "RNNLM_lm1bbytes_Patch32_GRU128_Embed64")
    low: dict[str, Any] = {"side": 16, "steps": FEW_STEPS}
    return [
        _same(_mlp("cifar10-mlp-layernorm", deep, f"{cifar}_LayerNorm_Relu", norm="layer")),
        _same(_mlp("cifar10-mlp-128x128x128", deep, f"{cifar}_Relu")),
        _shorter(_mlp("cifar10-mlp-wide", (1024, 1024), "ImageMLP_Cifar10_1024x1024_Relu")),
        _same(_mlp("cifar10-mlp-batchnorm", deep, f"{cifar}_BatchNorm_Relu", norm="batch")),
        _same(_mlp("cifar10-mlp-dropout-mse", (128, 128), dropout, dropout=0.5, objective="mse")),
        _same(_mlp("cifar100-mlp-tanh", deep, activation="tanh")),
        _same(_mlp("mnist-mlp-es1", deep, f"ESWrapped_1pair_{mnist}_Relu", es_pairs=1)),
        _shorter(_mlp("cifar10-mlp-es8", deep, f"ESWrapped_8pair_{cifar}_Relu", es_pairs=8)),
        _same(_autoencoder("mnist", code, "ImageMLPAE_Mnist_128x32x128_bs128")),
        _same(_autoencoder("cifar10", code, "ImageMLPAE_Cifar10_128x32x128_bs256", 256)),
        (convnet, convnet.small(reference="Conv_Cifar10_16_32x64x64", **low)),
        (normed, normed.small(reference="", **low)),
        (resnet, resnet.small(batch_size=32, reference="", **low)),
        (lstm, _small_language(lstm)),
        (gru, _small_language(gru)),
        (transformer := _language("lm1b", "transformer"), _small_language(transformer)),
    ]


def _same(form: TaskForm) -> tuple[TaskForm, TaskForm]:
    """A task that two CPU cores train as it is."""
    return form, form.small()


def _shorter(form: TaskForm) -> tuple[TaskForm, TaskForm]:
    """A task that two CPU cores train for fewer steps."""
    return form, form.small(steps=FEW_STEPS)


def _mlp(name: str, hidden: tuple[int, ...], reference: str = "", **more: Any) -> TaskForm:
    form = {k: more.pop(k) for k in ("objective", "es_pairs") if k in more}
    dataset, options = name.partition("-")[0], {"hidden": hidden, **more}
    return TaskForm(name, dataset, "mlp", options, reference=reference, **form)


def _autoencoder(
    dataset: str, hidden: tuple[int, ...], reference: str, batch_size: int = 128
) -> TaskForm:
    name, options = f"{dataset}-autoencoder", {"hidden": hidden}
    return TaskForm(name, dataset, "autoencoder", options, batch_size, reference=reference)


LANGUAGE_MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"options": {"units": 256, "embedding": 128}},
    "gru": {"options": {"units": 128, "embedding": 64}},
    "transformer": {"batch_size": 32, "length": ATTENTION_LENGTH},
}


def _language(text: str, network: str, reference: str = "", **changes: Any) -> TaskForm:
    given = {**LANGUAGE_MODELS[network], **changes}
    return TaskForm(f"{text}-{network}", text, network, reference=reference, **given)


def _small_language(form: TaskForm) -> TaskForm:
    if form.network == "gru":
        return form.small()
    if form.network == "lstm":
        return form.small(batch_size=64, steps=FEW_STEPS, reference="")
    return form.small(batch_size=8, length=ATTENTION_LENGTH // 2, steps=FEW_STEPS, reference="")


def _further() -> list[TaskForm]:
    """Language models on the other texts, and on the pieces of a tokenizer."""
    others = [_language(text, net) for text in TEXTS if text != "lm1b" for net in LANGUAGE_MODELS]
    pieces = [
        replace(_language("lm1b", network), name=f"lm1b-{network}-pieces", pieces=True, reference=r)
        for network, r in (
            ("lstm", "RNNLM_lm1b32k_Patch32_LSTM256_Embed128"),
            ("transformer", "TransformerLM_LM1B_5layer_256width"),
        )
    ]
    return [form for full in others for form in (full, _small_language(full))] + pieces


SUITES: Mapping[str, tuple[tuple[TaskForm, TaskForm], ...]] = {OUT_OF_DISTRIBUTION: tuple(_pairs())}
FORMS: Mapping[str, TaskForm] = {
    form.name: form
    for form in (*(f for pairs in SUITES.values() for pair in pairs for f in pair), *_further())
}
# The name without its widths belongs to an older task; its small form was never taken.
ALIASES: Mapping[str, str] = {
    "cifar10-mlp-small": "cifar10-mlp-128x128x128-small",
    "cifar10-convnet-small": "cifar10-convnet-32x64x64-small",
}


def suite(name: str = OUT_OF_DISTRIBUTION, *, small: bool = False) -> tuple[str, ...]:
    """The names of a suite's tasks, for `lopt.make_task`.

    Parameters
    ----------
    name
        ``out-of-distribution``: sixteen tasks, unlike the Fashion-MNIST MLP that the paper
        meta-trains on.
    small
        The forms for two CPU cores, in the same order.

    Raises
    ------
    ValueError
        Where there is no such suite.

    Examples
    --------
    >>> full, small = suite(), suite(small=True)
    >>> len(full), small[:2]
    (16, ('cifar10-mlp-layernorm-small', 'cifar10-mlp-128x128x128-small'))
    >>> small == tuple(f"{name}-small" for name in full)
    True
    """
    require_member("suite", name, SUITES)
    return tuple(pair[small].name for pair in SUITES[name])


def task_form(name: str) -> TaskForm | None:
    """What a name stands for, where it is that of a named task; None where it is not.

    Examples
    --------
    >>> form = task_form("lm1b-transformer-small")
    >>> form.batch_size, form.length, form.steps
    (8, 64, 2000)
    """
    return FORMS.get(ALIASES.get(name, name))
