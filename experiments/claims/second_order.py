"""Second-order optimization."""

from experiments.claims.measures import second_order
from jaxnets.study.claims import Claim

CLAIMS = (
    Claim(
        name="newton_needs_few_steps",
        sentence="Second-order optimization converges in fewer steps than gradient descent",
        source="Nocedal and Wright, Numerical optimization (2006), chapter 3",
        experiment="Logistic regression (small against large digits) on random choices of images: "
        "Newton's method with the exact Hessian against gradient descent at rate 1/L, steps until "
        "the largest entry of the gradient is below 1e-4. Beside it what the steps cost, a "
        "Hessian of n parameters counted as n gradients.",
        measure=second_order.newton_steps,
        full=second_order.Logistic(keys=20),
        quick=second_order.Logistic(keys=4, examples=300, most=5000),
        tiny=second_order.Logistic(keys=2, examples=60, most=50),
    ),
    Claim(
        name="lbfgs_on_the_full_batch",
        sentence="If the full batch can be afforded, L-BFGS beats mini-batch SGD with momentum",
        source="Liu and Nocedal (1989); Le et al., Optimization methods for deep learning (2011)",
        experiment="Softmax regression and a network with one hidden layer on 1,000 images, "
        "L-BFGS on all of them at once against momentum on batches of 50 at the best of a grid of "
        "constant rates, for equally many passes. The claim wants the lower training loss, and a "
        "test accuracy not worse by half a point. (Losses are compared above a floor of 1e-6.)",
        measure=second_order.lbfgs_passes,
        full=second_order.Passes(dataset="mnist", test=5000, keys=6),
        quick=second_order.Passes(
            keys=3, hidden=((),), passes=20, evaluations=10, rates=(0.03, 0.1, 0.3)
        ),
        tiny=second_order.Passes(
            keys=2, train=50, hidden=((),), passes=2, evaluations=2, rates=(0.1,), batch_size=25
        ),
    ),
)
