"""The procedure: checks, learning rates, search."""

from experiments.claims.measures import learning_rates, procedure
from jaxnets.study.claims import Claim

CLAIMS = (
    Claim(
        name="overfitting_few_catches_faults",
        sentence="A network that can't overfit a small set is broken, and broken ones are so "
        "caught",
        source="Karpathy, A recipe for training neural networks (2019)",
        experiment="A network of one hidden layer on 40 images, full batches, sound and with five "
        "faults put into its first weights or its rate; caught is what does not classify all 40 "
        "within the steps. The claim fails for faulty networks that still overfit, and if the "
        "sound one does not.",
        measure=procedure.overfit_few,
        full=procedure.FewImages(),
        quick=procedure.FewImages(keys=6, steps=80, width=32),
        tiny=procedure.FewImages(keys=2, steps=4, width=8),
    ),
    Claim(
        name="range_test_finds_a_good_rate",
        sentence="The learning-rate range test finds a rate within a factor of 3 of the best of a "
        "grid",
        source="Smith, Cyclical learning rates (2017), section 3.3",
        experiment="Small dense networks under three optimizers: the range test (100 steps, the "
        "rate rises from 1e-5 to 10) suggests a rate; the best is the one of 25 rates, four a "
        "decade, with the lowest training loss after 220 steps from the same weights. The claim "
        "fails where the two lie further apart than a factor of 3, in either direction.",
        measure=learning_rates.range_tests,
        full=learning_rates.RangeTests(keys=8),
        quick=learning_rates.RangeTests(
            keys=3, networks=((0, "relu", "sgd"),), steps=100, rates=13
        ),
        tiny=learning_rates.RangeTests(
            keys=2, networks=((0, "relu", "sgd"),), steps=2, sweep=10, rates=3, train=100
        ),
    ),
    Claim(
        name="random_search_beats_grid",
        sentence="Random search beats grid search when one hyper-parameter matters little",
        source="Bergstra and Bengio (2012)",
        experiment="A network of one hidden layer trained for a fixed number of steps with every "
        "learning rate and weight decay of a fine table; the decays are so small that they hardly "
        "matter. Many searches of 16 runs over six decades of rates, as a 4×4 grid and at random "
        "places, the ranges shifted at random for both. The claim fails if the grid finds "
        "accuracies as good (Bergstra and Bengio, 2012).",
        measure=procedure.random_against_grid,
        full=procedure.Search(),
        quick=procedure.Search(keys=3, rates=41, decays=3, steps=40, repeats=100),
        tiny=procedure.Search(keys=2, rates=5, decays=2, steps=2, repeats=3, train=100, test=50),
    ),
    Claim(
        name="short_runs_rank_long_ones",
        sentence="Coarse results after one to five epochs predict the ranking of longer training",
        source="the course on hyper-parameters; Li et al., Hyperband (2018)",
        experiment="A network of one hidden layer with random learning rates and weight decays, "
        "each trained for 50 epochs; compared are the test accuracies after 1 and 5 epochs with "
        "those at the end: Spearman's rank correlation (wanted above 0.5), and what choosing "
        "early loses (wanted at most a point).",
        measure=procedure.early_ranking,
        full=procedure.Ranking(),
        quick=procedure.Ranking(keys=3, candidates=12, epochs=20, train=640),
        tiny=procedure.Ranking(
            keys=2, candidates=3, epochs=5, train=64, batch_size=32, width=8, test=50
        ),
    ),
)
