"""The probe that a meta-training run watches: one fixed inner trajectory of its own task."""

from functools import partial

import jax

from lopt.meta.config import TrainConfig
from lopt.monitor import Probe, QuadraticProbe
from lopt.optimizers.linear import LinearConfig
from lopt.tasks.task import Batch, Params, Task, take

# Set apart from what training and evaluation draw.
PROBE_KEY = 0xE16E
EXAMPLES = 1024


def probe(config: TrainConfig, task: Task, examples: int = EXAMPLES) -> Probe | QuadraticProbe:
    """A probe at a tenth of the horizon and at the horizon; of the linear optimizer, whose dynamics
    are the same at every step, exactly.

    The trajectory starts from fixed parameters and runs over fixed batches, a loss that is random
    in itself over fixed draws; the eigenvalues are those of one step on a fixed batch of
    `examples` examples. None of it changes during a run, so
    that what changes is the optimizer.
    """
    if isinstance(config.optimizer_config, LinearConfig) and task.quadratic is not None:
        return QuadraticProbe(task.quadratic, config.optimizer_config.nominal_step)
    horizon = config.horizon
    key = jax.random.key(PROBE_KEY)
    init_key, batch_key, examples_key, loss_key = jax.random.split(key, 4)

    def loss(params: Params, batch_and_key: tuple[Batch, jax.Array]) -> jax.Array:
        batch, key = batch_and_key
        return task.loss(params, key, batch)

    fixed = jax.random.randint(examples_key, (examples,), 0, task.examples)
    return Probe(
        make_transformation=partial(config.make_optimizer, fused=False),
        loss=loss,
        params=task.init(init_key),
        batches=(
            jax.vmap(lambda i: take(task.data, i))(task.indices(batch_key, horizon)),
            jax.random.split(loss_key, horizon),
        ),
        batch=(take(task.data, fixed), loss_key),
        steps=tuple(sorted({max(1, horizon // 10), horizon})),
        loss_ceiling=task.loss_ceiling,
    )
