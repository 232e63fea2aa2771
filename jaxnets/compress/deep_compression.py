"""Deep Compression from a trained network to a file: prune, retrain, share, fine-tune, encode."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax

from jaxnets.compress.container import encode_variables, read_compressed, write_compressed
from jaxnets.compress.kmeans import Start
from jaxnets.compress.masks import Scope, density
from jaxnets.compress.pruning import gradual, prune
from jaxnets.compress.report import LayerRow, layer_rows
from jaxnets.compress.sharing import share_weights, tie
from jaxnets.compress.small_arrays import (
    halve_vectors,
    merge_statistics,
    normalization_epsilons,
)
from jaxnets.data import Source
from jaxnets.errors import JaxnetsError
from jaxnets.optim import create_optimizer, mask_by_rank
from jaxnets.tasks.fitnet import stored_variables
from jaxnets.train import DataParallel, Evaluator, RunOptions, Task, fit
from jaxnets.train.step import Prepare
from jaxnets.train.task import call_network


@dataclass(frozen=True)
class CompressionRecipe:
    """How a network is made small.

    Attributes:
        sparsity: the share of weights that are dropped.
        layer_sparsity: of single layers, where ``scope`` is "layer".
        scope: "global" compares weights of all layers, "layer" only those of one.
        bits: a weight's number in its layer's table has so many bits.
        layer_bits: of single layers.
        start: where k-means begins.
        prune_epochs: passes while weights are dropped, in the first 60 % of them, and after.
        share_epochs: passes in which shared values are trained.
        optimizer: of the first training, a name of `jaxnets.optim.list_optimizers`.
        share_optimizer: of the second.
        learning_rate: of the first, falling to 0 by a cosine.
        share_learning_rate: of the second: a value has the gradients of all its members.
        weight_decay: of the first.
        teacher_weight: the share of both losses that compares with the uncompressed network's
            predictions; `Subject.training_task` makes that loss.
        batch_size: of both.
        seed: of both.

    >>> CompressionRecipe(sparsity=0.9, bits=5).scope
    'global'
    """

    sparsity: float = 0.9
    layer_sparsity: Mapping[str, float] | None = None
    scope: Scope = "global"
    bits: int = 5
    layer_bits: Mapping[str, int] | None = None
    start: Start = "linear"
    prune_epochs: int = 20
    share_epochs: int = 5
    optimizer: str = "adam"
    share_optimizer: str = "adam"
    learning_rate: float = 1e-3
    share_learning_rate: float = 1e-4
    weight_decay: float = 0.0
    teacher_weight: float = 0.0
    batch_size: int = 128
    seed: int = 0


class Stage(NamedTuple):
    """A network on its way.

    Attributes:
        bytes: of its file.
        accuracy: share of right answers on the test examples.

    >>> Stage(400, 0.98).bytes
    400
    """

    bytes: int
    accuracy: float


class Compressed(NamedTuple):
    """What `deep_compress` came to.

    Attributes:
        path: the file.
        variables: as read from the file.
        stages: "trained", "pruned", "shared", "fine-tuned" → `Stage`; the last one is of the file.
        rows: what each array costs.
        density: of each weight and over all.

    >>> compressed = Compressed(Path("net.jxnc"), {}, {"trained": Stage(400, 0.9)}, [], {})
    >>> list(compressed.stages)
    ['trained']
    """

    path: Path
    variables: dict[str, Any]
    stages: dict[str, Stage]
    rows: list[LayerRow]
    density: dict[str, float]

    @property
    def ratio(self) -> float:
        """Bytes of the uncompressed variables over those of the file."""
        return self.stages["trained"].bytes / self.stages["fine-tuned"].bytes

    @property
    def loss(self) -> float:
        """Accuracy that was lost, in points."""
        return 100 * (self.stages["trained"].accuracy - self.stages["fine-tuned"].accuracy)


def deep_compress(
    model: nn.Module,
    variables: Mapping[str, Any],
    source: Source,
    test: Source,
    *,
    task: Task,
    training_task: Task | None = None,
    recipe: CompressionRecipe,
    workdir: str | Path,
    name: str = "",
    prepare: Prepare | None = None,
    options: RunOptions | None = None,
    say: Callable[[str], None] = print,
) -> Compressed:
    """Prune a trained network, retrain it, share its weights, train the values, write a file.

    Each training is a run in a directory of its own, and is resumed where it was stopped. In the
    file normalizations have their statistics merged (`merge_statistics`), and vectors 16 bits
    (`halve_vectors`).

    Args:
        model: the network.
        variables: of the trained network.
        source: training examples.
        test: examples whose accuracy is measured.
        task: what the network does; its evaluation gives an "accuracy".
        training_task: of both trainings, where it is another one: a `distillation` from the
            uncompressed network.
        recipe: how.
        workdir: for the runs, and the file ``NAME.jxnc``.
        name: of the network, written into the file.
        prepare: random changes of training examples; see `jaxnets.train.train_step`.
        options: of both runs.
        say: called with one line for each stage.

    Returns:
        `Compressed`; its last accuracy is that of the variables that were read back from the file.

    Raises:
        JaxnetsError: a recipe that does not fit the network.
        KeyboardInterrupt: a run was asked to stop; the same call goes on with it.

    Source: Han, Mao, Dally, "Deep Compression", 2016.

    Example: `experiments/compression/compress.py`.

    >>> wrong = CompressionRecipe(layer_sparsity={"fc1": 0.5})
    >>> deep_compress(None, {}, None, None, task=None, recipe=wrong, workdir="runs/x")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: sparsity of single layers goes with scope="layer"
    """
    workdir = Path(workdir)
    options = options or RunOptions(quiet=True, devices=1, evaluate_every=0, keep=1, parallel="jit")
    if recipe.scope == "global" and recipe.layer_sparsity:
        raise JaxnetsError('sparsity of single layers goes with scope="layer"')
    if recipe.teacher_weight and training_task is None:
        raise JaxnetsError("teacher_weight: give training_task, such as Subject.training_task's")
    training_task = task if training_task is None else training_task
    parallel = DataParallel("jit", jax.devices()[:1])
    evaluate = Evaluator(task, model.apply, test, parallel)

    def measure(stage: str, found: Mapping[str, Any], size: int) -> Stage:
        accuracy = float(evaluate(parallel.replicate(found))["accuracy"])
        say(f"{stage}: accuracy {100 * accuracy:.2f} %, {size:,} bytes")
        return Stage(size, accuracy)

    example = source.take(np.arange(1))
    epsilons = normalization_epsilons(
        lambda v: call_network(task, model.apply, v, example), variables
    )

    def as_stored(found: Mapping[str, Any]) -> dict[str, Any]:
        return halve_vectors(merge_statistics(found, epsilons))

    def size_of(found: Mapping[str, Any]) -> int:
        return write_compressed(workdir / "stage.jxnc", as_stored(found), name=name)

    original = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    stages = {"trained": measure("trained", variables, original)}

    def train(stage: str, start, rule, epochs):
        return _train(
            *(model, start, source, training_task, rule, epochs, recipe, workdir / stage),
            *(prepare, options),
        )

    steps = max(1, recipe.prune_epochs * (len(source) // recipe.batch_size))
    last = max(1, int(0.6 * steps))
    sparsity: Any = recipe.sparsity
    if recipe.scope == "layer" and recipe.layer_sparsity:
        sparsity = {**dict.fromkeys(variables["params"], recipe.sparsity), **recipe.layer_sparsity}
    rule = prune(
        _rule(recipe, optax.cosine_decay_schedule(recipe.learning_rate, steps)),
        sparsity,
        schedule=gradual(0, last, max(1, last // 40)),
        scope=recipe.scope,
    )
    found = train("pruned", variables, rule, recipe.prune_epochs)
    stages["pruned"] = measure("pruned", found, size_of(found))
    bits: Any = recipe.bits
    if recipe.layer_bits:
        bits = {**dict.fromkeys(variables["params"], recipe.bits), **recipe.layer_bits}
    shared = share_weights(
        found["params"], bits, start=recipe.start, key=jax.random.key(recipe.seed)
    )
    found = {**found, "params": shared.params}
    stages["shared"] = measure("shared", found, size_of(found))
    steps = max(1, recipe.share_epochs * (len(source) // recipe.batch_size))
    rate = optax.cosine_decay_schedule(recipe.share_learning_rate, steps)
    rule = tie(create_optimizer(recipe.share_optimizer, rate), shared)
    found = train("fine-tuned", found, rule, recipe.share_epochs)
    path = workdir / f"{name or 'network'}.jxnc"
    encoded = encode_variables(as_stored(found))
    size = write_compressed(path, found, name=name, encoded=encoded)
    read = read_compressed(path, like=found)
    stages["fine-tuned"] = measure("fine-tuned", read.variables, size)
    (workdir / "stage.jxnc").unlink(missing_ok=True)
    return Compressed(
        path, read.variables, stages, layer_rows(encoded), density(read.variables["params"])
    )


def _rule(recipe: CompressionRecipe, rate) -> optax.GradientTransformation:
    if not recipe.weight_decay:
        return create_optimizer(recipe.optimizer, rate)
    return create_optimizer(
        recipe.optimizer, rate, weight_decay=recipe.weight_decay, mask=mask_by_rank
    )


def _train(model, start, source, task, rule, epochs, recipe, workdir, prepare, options):
    if not epochs:
        return dict(start)
    settings = asdict(recipe)
    teacher = {"teacher_weight": settings.pop("teacher_weight")}
    fitted = fit(
        model,
        source,
        task=task,
        optimizer=rule,
        epochs=epochs,
        batch_size=recipe.batch_size,
        variables=start,
        prepare=prepare,
        seed=recipe.seed,
        workdir=workdir,
        settings={"recipe": settings, **teacher},
        settings_before={"teacher_weight": 0.0},
        options=options,
    )
    if fitted.interrupted:
        raise KeyboardInterrupt
    return jax.device_get(fitted.variables or stored_variables(workdir))
