"""Figure 4, and Figures 5 and 6 of the appendix: optimizers from one MLP on other tasks."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from figures.engine.figure import Data, Figure
from figures.generalization.claims import claims, results_table, seen, setting
from figures.generalization.outcomes import EXTENT, KINDS, RATES, compute
from figures.generalization.panels import draw
from lopt.tasks.suites.catalogue import OUT_OF_DISTRIBUTION, SUITES

SHOWN = (
    "cifar10-mlp-layernorm-small",
    "imagenet32-resnet-small",
    "lm1b-lstm-small",
    "lm1b-gru-small",
)
"""The tasks of the paper's Figure 4."""
_SUITE = tuple(small.name for _, small in SUITES[OUT_OF_DISTRIBUTION])
HALVES = tuple(tuple(name for name in half if name in EXTENT) for half in (_SUITE[:8], _SUITE[8:]))
"""The tasks of Figures 5 and 6 of the appendix."""
SIZE = """Sizes are those for two CPU cores (`lopt.tasks.SUITES`): ImageNet is 200 of its classes at
16x16 with batches of 32, the convolutional networks see 16x16, and the language models read bytes,
the LSTM in batches of 64, the transformer 8 sequences of 64. There is no NAdamW, and the paper's
runs are longer. Meta-training differs as in Figure 3 (`fig3`)."""


def _caption_of_four(data: Data) -> str:
    verdicts = "\n".join(
        f"* {c.text}: {c.cells()[1]}. {c.numbers}" for c in claims(data, tuple(EXTENT), SHOWN)
    )
    return f"""
**Seen.** {seen(data, SHOWN)} {setting(data, SHOWN)}

{results_table(data, SHOWN)}

Verdicts on the claims of section 5.3 and Appendix C.3 about other tasks, on all
{len(EXTENT)} of `app5` and `app6`, for the better of the two weight decays:

{verdicts}

**Paper.** Figure 4: a 3-layer MLP with layer norm on CIFAR-10, a shallow ResNet on 32x32 ImageNet,
an LSTM and a transformer on LM1B. Blackbox diverges on all of them; STAR with the right weight
decay continues to descend, and is comparable to tuned Adam.

**Differs.** {SIZE}
"""


def _caption_of_half(data: Data, tasks: Sequence[str]) -> str:
    return f"""
**Seen.** {seen(data, tasks)} {setting(data, tasks)}

{results_table(data, tasks)}

**Paper.** Figures App.5 and App.6: Blackbox is unstable in almost all cases, Hyperparam and STAR
are not; Hyperparam against STAR is mixed. The paper names the sixteen tasks only in the pictures.

**Differs.** {SIZE}
"""


def _figure(name: str, title: str, tasks: Sequence[str], **given: Any) -> Figure:
    parts = given.pop("parts", tasks)
    config: dict[str, Any] = {
        "rates": list(RATES),
        "kinds": [kind for kind, _ in KINDS.values()],
        "extent": {task: list(EXTENT[task]) for task in parts},
    }
    return Figure(
        name=name,
        title=title,
        seen="Training loss over inner steps of STAR, Blackbox, Hyperparam and tuned Adam, a panel "
        "for each task",
        config=config,
        parts=tuple(parts),
        compute=compute,
        draw=partial(draw, tasks=tasks),
        caption=given.get("caption", partial(_caption_of_half, tasks=tasks)),
    )


FIG4 = _figure(
    "fig4",
    "Figure 4: optimizers from one MLP on other tasks",
    SHOWN,
    parts=tuple(EXTENT),
    caption=_caption_of_four,
)
APP5 = _figure("app5", "Every task of the suite, first half", HALVES[0])
APP6 = _figure("app6", "Every task of the suite, second half", HALVES[1])
