"""The notes' table of transfer learning: {small, large} × {similar, different} (L166-168).

Command:  python -m experiments.transfer
          python -m experiments.transfer --dataset digits --different scrambled \
              --side 8 --small 5 --large 100
          python -m experiments.transfer --weights resnet20-12fca82f.th --side 32
Time:     four and a half minutes on two CPU cores.
Result:   runs/transfer/: summary.json with the table, the measured similarities, the advice and a
          verdict on it in every cell; transfer.png. With 20 similar examples a class fine-tuning
          (52.7 %) beat the linear classifier (47.7 %), against the advice; with 20 different ones
          no transfer reached a network from scratch (95.2 %), as the notes warn; with 1,000 a class
          training more layers helped in both cases.

The donor is trained on half of the classes. "Similar" is the other half of them; "different" is
MNIST, or for the embedded digits the same images with their pixels in one fixed random order. Every
cell is learned in five ways, from the same examples:

  probe         a linear classifier on the donor's last features, fitted by L-BFGS
  stage probe   the same on the stage that cross-validation on the training examples prefers
  top           the last layers trained, the first ones frozen with their statistics
  full          all layers trained, from the donor
  scratch       all layers trained, from random numbers

With --weights the donor is a published ResNet-20 instead, trained on all ten classes of CIFAR-10,
the "similar" ones among them.
"""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.transfer_study import data as tasks
from experiments.transfer_study import transfer_report as report
from experiments.transfer_study.network import ConvNet
from experiments.transfer_study.statistics import plain
from experiments.transfer_study.training import Predictor, Trainer
from jaxnets import command
from jaxnets.data import Split
from jaxnets.data.preprocessing import Standardization, fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import load as load_weights
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import (
    advise,
    compute_features,
    copy_layers,
    count_trainable,
    cross_validate,
    endpoint_features,
    fit_linear_probe,
    head_inputs,
    layer_groups,
    layers_up_to,
    measure_similarity,
)

LAST = "last features"


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: its classes are halved: donor and "similar".
        different: the other data set, or "scrambled": ``dataset`` with its pixels in random order.
        weights: a file with weights of a CIFAR-10 ResNet-20, as the donor.
        side: images are brought to this many pixels a side (default: as they are).
        widths: channels of the layers of the small network.
        small, large: training examples of each class.
        test_per_class: test images of each class.
        donor_steps, small_steps, large_steps: of the trainings.
        batch_size: of the donor and the large sets.
        small_batch_size: of the small ones.
        rate: highest learning rate from random numbers.
        fine_tuning_rate: highest learning rate from the donor.
        freeze_to: "top" trains what lies behind this layer (default: the first half of the layers).
        keys: repetitions, each with its own halves, donor and examples, for the intervals.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    different: str = "mnist"
    weights: str | None = None
    side: int | None = 16
    widths: tuple[int, ...] = (16, 32, 48, 64)
    small: int = 20
    large: int = 1000
    test_per_class: int = 400
    donor_steps: int = 800
    small_steps: int = 150
    large_steps: int = 400
    batch_size: int = 64
    small_batch_size: int = 32
    rate: float = 0.2
    fine_tuning_rate: float = 0.05
    freeze_to: str | None = None
    keys: int = 4
    data_dir: Path | None = None
    workdir: Path = Path("runs/transfer")


def smoke() -> Config:
    """A tiny network on the digits."""
    return Config(
        dataset="digits",
        different="scrambled",
        side=None,
        widths=(4, 6),
        small=5,
        large=20,
        test_per_class=10,
        donor_steps=6,
        small_steps=6,
        large_steps=6,
        batch_size=20,
        small_batch_size=20,
        rate=0.1,
        fine_tuning_rate=0.1,
        keys=2,
        workdir=Path("runs/smoke/transfer"),
    )


class Study:
    """The data, the compiled trainings, and what one key measures."""

    def __init__(self, config: Config):
        self.config = config
        self.source = tasks.load(config.dataset, config.data_dir, side=config.side)
        self.shape = self.source.image_shape
        if config.different == "scrambled":
            self.other = tasks.scramble_pixels(self.source)
        else:
            self.other = tasks.load(config.different, config.data_dir, side=self.shape[0])
        self.classes = self.source.num_classes // 2
        if self.other.num_classes < self.classes:
            raise JaxnetsError(
                f"--different {config.different} has {self.other.num_classes} classes; half of "
                f"{config.dataset} has {self.classes}"
            )
        if config.weights:
            known = model_info("resnet20")
            self.network = create_model("resnet20", num_classes=self.classes)
            _, self.published = load_weights("resnet20", config.weights)
            mean, std = (255 * np.array(x) for x in (known.mean, known.std))
            self.preprocess = Standardization(mean, std).apply
        else:
            self.network = ConvNet(self.classes, widths=config.widths)
            self.preprocess = fit_channel_mean_std(self.source.train.images).apply
        groups = layer_groups(self.network, self.shape)
        self.stages = [name for name in groups if name not in ("neck", "head")]
        to = config.freeze_to or self.stages[max(len(self.stages) // 2 - 1, 0)]
        self.bottom = layers_up_to(self.network, self.shape, to)
        self.backbone = layers_up_to(self.network, self.shape, "backbone")
        self._feature_widths, self._features = self._feature_function()
        self.trainers = self._trainers()
        self.predictor = Predictor(self.network, self.preprocess)

    def _feature_function(self):
        """Widths by stage, and (variables, images) → all stages' features side by side."""
        network = self.network

        def parts(variables, x):
            x = self.preprocess(x)
            stages = {s: endpoint_features(network, variables, x, s) for s in self.stages}
            return {**stages, LAST: head_inputs(network, variables, x)}

        def joined(variables, x):
            return jnp.concatenate(list(parts(variables, x).values()), axis=-1)

        image = jax.ShapeDtypeStruct((1, *self.shape), jnp.uint8)
        shapes = jax.eval_shape(parts, abstract_variables(network, self.shape), image)
        # A dict comes back with its names sorted.
        return {name: shapes[name].shape[-1] for name in (*self.stages, LAST)}, joined

    def _trainers(self) -> dict[tuple[str, str], Trainer]:
        c = self.config

        @cache
        def trainer(steps: int, batch_size: int, rate: float, frozen: tuple = ()) -> Trainer:
            return Trainer(
                self.network,
                self.shape,
                self.preprocess,
                steps=steps,
                batch_size=batch_size,
                rate=rate,
                frozen=frozen,
            )

        out = {("donor", "scratch"): trainer(c.donor_steps, c.batch_size, c.rate)}
        for size, steps, batch in (
            ("small", c.small_steps, c.small_batch_size),
            ("large", c.large_steps, c.batch_size),
        ):
            out[size, "top"] = trainer(steps, batch, c.fine_tuning_rate, self.bottom)
            out[size, "full"] = trainer(steps, batch, c.fine_tuning_rate)
            out[size, "scratch"] = trainer(steps, batch, c.rate)
        return out

    def donor(self, task: tasks.Task, key: int) -> tuple[Any, float | None]:
        """(variables, accuracy on its own task; None for published weights)."""
        if self.config.weights:
            start = self.trainers["donor", "scratch"].initial(key)
            return copy_layers(start, self.published, self.backbone), None
        trainer = self.trainers["donor", "scratch"]
        variables = trainer.run(trainer.initial(key), task.train, key)[-1]
        return variables, self.predictor.accuracy(variables, task.test)

    def one_key(self, key: int, tick) -> dict[str, Any]:
        """Accuracies by cell and way, similarities, accuracy of the donor."""
        donor_half, similar_half = tasks.random_halves(self.source, key)
        chosen = np.random.default_rng(key).permutation(self.other.num_classes)[: self.classes]
        variables, accuracy = self.donor(
            tasks.choose_classes("donor", self.source, donor_half), key
        )
        tick()
        targets = {
            "similar": tasks.choose_classes("similar", self.source, similar_half),
            "different": tasks.choose_classes("different", self.other, sorted(chosen.tolist())),
        }
        out: dict[str, Any] = {"donor_accuracy": accuracy, "similarity": {}, "stages": {}}
        for kind, task in targets.items():
            test = tasks.take(task.test, self.config.test_per_class, 0)
            small = tasks.take(task.train, self.config.small, key)
            out["similarity"][kind] = measure_similarity(
                jax.random.key(key),
                self.network,
                variables,
                small.images,
                small.labels,
                preprocess=self.preprocess,
                num_classes=self.classes,
                l2=1 / len(small),
            )
            for size in ("small", "large"):
                train = tasks.take(task.train, getattr(self.config, size), key)
                found, stages = self._probes(variables, train, test)
                for way in ("top", "full", "scratch"):
                    found[way] = self._train(size, way, variables, train, test, key)
                    tick()
                out[f"{size} {kind}"] = found
                out["stages"][f"{size} {kind}"] = stages
        return out

    def _train(self, size, way, donor, train: Split, test: Split, key: int) -> float:
        trainer = self.trainers[size, way]
        start = trainer.initial(key + 500)
        if way != "scratch":
            start = copy_layers(start, donor, self.backbone)
        end = trainer.run(start, train, key + 500)[-1]
        return self.predictor.accuracy(end, test)

    def _probes(self, variables, train, test) -> tuple[dict[str, float], dict[str, float]]:
        """Accuracies of the last features' probe and of the chosen stage's; and of every stage."""
        options = {"num_classes": self.classes, "l2": 1 / len(train)}
        x, x_test = (compute_features(self._features, variables, s.images) for s in (train, test))
        start, accuracy, chosen = 0, {}, {}
        for stage, width in self._feature_widths.items():
            part = slice(start, start + width)
            start += width
            probe = fit_linear_probe(x[:, part], train.labels, **options)
            accuracy[stage] = probe.accuracy(x_test[:, part], test.labels)
            if stage != LAST:
                chosen[stage] = cross_validate(x[:, part], train.labels, folds=3, **options)
        last = accuracy.pop(LAST)
        best = max(chosen, key=chosen.get)
        return {"probe": last, "stage probe": accuracy[best]}, accuracy


def main(config: Config) -> dict[str, Any]:
    """Measure all cells, compare with the advice, draw."""
    from tqdm import tqdm

    if config.keys < 1:
        raise JaxnetsError(f"--keys must be at least 1, got {config.keys}")
    if not 0 < config.small < config.large:
        raise JaxnetsError(f"--small {config.small} must lie between 0 and --large {config.large}")
    for option in ("rate", "fine_tuning_rate"):
        if not getattr(config, option) > 0:
            raise JaxnetsError(f"--{option.replace('_', '-')} must be above 0")
    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    write_json(config.workdir / "config.json", settings)
    study = Study(config)
    with tqdm(total=13 * config.keys, disable=None, desc="trainings") as bar:
        measured = [study.one_key(key, bar.update) for key in range(config.keys)]
    advice = {}
    for size in ("small", "large"):
        for kind in ("similar", "different"):
            similarity = float(np.mean([m["similarity"][kind]["similarity"] for m in measured]))
            examples = getattr(config, size) * study.classes
            border = int(np.sqrt(config.small * config.large) * study.classes)
            said = advise(examples, kind, num_classes=study.classes, small_below=border)
            by_number = advise(examples, similarity, num_classes=study.classes, small_below=border)
            advice[f"{size} {kind}"] = {
                "way": report.WAY_OF[said.strategy],
                "by_measured_similarity": report.WAY_OF[by_number.strategy],
                "why": by_number.why,
            }
    summary = report.summarize(measured, advice)
    summary["trainable_parameters"] = {
        "probe": count_trainable(study.network, study.shape, study.backbone),
        "top": count_trainable(study.network, study.shape, study.bottom),
        "full": count_trainable(study.network, study.shape),
    }
    write_json(config.workdir / "summary.json", plain(summary))
    report.save_figure(summary, config, config.workdir / "transfer.png")
    print(report.as_text(summary, config))
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
