"""The two in-distribution experiments of section 5.3 in the forms that are run here."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lopt.meta.presets import SHARED

# What both share. The paper has a constant learning rate, ten times smaller, and prints neither
# outer steps nor particles.
BUDGET: dict[str, Any] = {
    "outer_steps": 600,
    "pairs": 2,
    "devices": 1,
    "learning_rate": 1e-3,
    "final_learning_rate": 0.1,
    "monitor_every": 0,
    # A random last layer moves all weights in one direction before anything is learned. With it,
    # Blackbox at the printed constants never gets below the loss of chance (blackbox-printed).
    "initial_head_scale": 0.0,
}
COMPARED = ("star-wd0.1", "star-wd0.5", "blackbox", "hyperparam")
ABLATED = ("star-wd0", "star-wd1.0", "star-no-preconditioner", "star-no-nominal")
TERMS = ("star-sgd", "star-sgdm", "star-aggmo", "star-adam")


def tenfold(kind: str) -> str:
    """The run of an optimizer that has ten times the outer steps on Fashion-MNIST."""
    return f"{kind}-10x"


@dataclass(frozen=True, eq=False)
class Setting:
    """One task with its budget of meta-training and of use.

    Attributes
    ----------
    preset
        The task of the paper, whose presets it follows.
    task
        The task that is run.
    prefix
        Stands before the names of its runs.
    budget
        Fields of `TrainConfig` where it differs from the preset.
    kinds
        The optimizers, with the number of seeds of meta-training of each.
    nominal_step
        The initial beta_1: the rate of tuned Adam. The paper's is 1e-3.
    label, network
        How captions call data and network.
    baselines
        The optimizers that are tuned, among ``adam`` and ``nadamw``.
    besides
        Single runs outside the comparison at one budget.
    seeds
        Held-out seeds of a use.
    """

    preset: str
    task: str
    prefix: str
    budget: MappingProxyType[str, Any]
    kinds: MappingProxyType[str, int]
    nominal_step: float
    label: str
    network: str
    baselines: tuple[str, ...]
    besides: tuple[str, ...] = ()
    seeds: int = 5

    @property
    def horizon(self) -> int:
        """Inner steps of an episode of meta-training."""
        return int(self.budget.get("horizon", SHARED["horizon"]))

    @property
    def steps(self) -> int:
        """Inner steps of a use."""
        return 10 * self.horizon

    @property
    def long(self) -> int:
        """Inner steps of a use that goes far beyond the horizon."""
        return 50 * self.horizon

    def runs(self, kind: str) -> tuple[str, ...]:
        """The runs of an optimizer, one for each seed of meta-training; a baseline has one, and so
        has what is outside the comparison.

        Examples
        --------
        >>> CIFAR.runs("star-wd0"), CIFAR.runs("adam")
        (('cifar10-star-wd0-0',), ('cifar10-adam',))
        """
        if kind not in self.kinds:
            return (f"{self.prefix}{kind}",)
        return tuple(f"{self.prefix}{kind}-{seed}" for seed in range(self.kinds[kind]))

    def has(self, kind: str) -> bool:
        """Whether an optimizer is used on the task."""
        return kind in (*self.kinds, *self.baselines, *self.besides)


FASHION = Setting(
    "fashion-mnist-mlp",
    "fashion-mnist-mlp",
    "",
    MappingProxyType(BUDGET),
    MappingProxyType(dict.fromkeys((*COMPARED, *ABLATED), 3) | dict.fromkeys(TERMS, 1)),
    nominal_step=0.003,
    label="Fashion-MNIST",
    network="784-128-128-10 MLP",
    baselines=("adam", "nadamw"),
    besides=(
        *("star-sgdm-0.9", "star-adam-0.9", "star-small-blackbox", "star-wd0.1-long"),
        *map(tenfold, COMPARED),
    ),
)
# An inner step of the paper's ConvNet on 32x32 images with batches of 128 takes some thirty times
# as long as one of this form (`python -m benchmarks.convnet`).
CIFAR = Setting(
    "cifar10-convnet",
    "cifar10-16x16-convnet-16x32x32-batch64",
    "cifar10-",
    MappingProxyType({**BUDGET, "outer_steps": 300, "horizon": 500}),
    MappingProxyType(dict.fromkeys(COMPARED, 3) | dict.fromkeys(ABLATED, 1)),
    nominal_step=0.003,
    label="CIFAR-10",
    network="three-layer ConvNet",
    baselines=("adam", "nadamw"),
)
SETTINGS = (FASHION, CIFAR)


def setting_of(name: str) -> Setting:
    """The setting of a run, by its name.

    Examples
    --------
    >>> setting_of("cifar10-adam").horizon, setting_of("star-wd0.1-0").horizon
    (500, 2000)
    """
    return CIFAR if name.startswith(CIFAR.prefix) else FASHION
