"""The start of training: inputs, first weights, the first loss."""

from experiments.claims.measures import initialization
from jaxnets.study.claims import Claim

CLAIMS = (
    Claim(
        name="normalize_the_inputs",
        sentence="Subtract the mean and standardize the inputs: training needs fewer steps",
        source="LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), section 4.3",
        experiment="One hidden layer, plain SGD, on pixels from 0 to 1, with the mean image taken "
        "off, and with each pixel standardized as well. Each at the fastest of the same rates; "
        "counted are the steps to a training loss.",
        measure=initialization.input_scales,
        full=initialization.Inputs(dataset="mnist", train=5000, test=500, keys=6),
        quick=initialization.Inputs(
            keys=3, steps=120, evaluations=20, rates=(0.03, 0.1, 0.3, 1.0), target=0.4
        ),
        tiny=initialization.Inputs(keys=2, train=100, steps=2, evaluations=1, rates=(0.1,)),
    ),
    Claim(
        name="xavier_suits_tanh",
        sentence="Xavier initialization keeps the signal alive behind tanh but loses it behind "
        "ReLU",
        source="Glorot and Bengio (2010), section 4.2",
        experiment="Gaussian inputs through 50 square layers with weights of variance 1/d: the "
        "claim wants a deviation above 0.1 in the last tanh layer, and a second moment that about "
        "halves with every ReLU layer.",
        measure=initialization.xavier_signal,
        full=initialization.Signal(),
        quick=initialization.Signal(width=256, examples=64, keys=5),
        tiny=initialization.Signal(width=32, depth=5, examples=16, keys=2),
    ),
    Claim(
        name="he_suits_relu",
        sentence="He initialization keeps the signal alive behind ReLU, and deep networks train "
        "better",
        source="He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), section 2.2",
        experiment="First, Gaussian inputs through 50 square ReLU layers with weights of variance "
        "2/d (He) and 1/d (Xavier). Then a deep plain network is trained from both, each at the "
        "best of the same rates. (The course prints N(2, 2/d); meant is N(0, 2/d).)",
        measure=initialization.he_signal_and_training,
        full=initialization.SignalAndTraining(keys=8),
        quick=initialization.SignalAndTraining(
            keys=3,
            width=256,
            examples=64,
            trained_layers=12,
            rates=(0.03, 0.1),
            steps=80,
            evaluations=4,
        ),
        tiny=initialization.SignalAndTraining(
            keys=2,
            width=32,
            depth=5,
            examples=16,
            trained_layers=2,
            train=100,
            steps=2,
            evaluations=1,
            rates=(0.1,),
        ),
    ),
    Claim(
        name="loss_starts_at_ln_c",
        sentence="The loss of a correct, untrained network starts at ln C",
        source="the course on checks before training",
        experiment="Registered networks on standardized images, before any step, in training "
        "mode: cross entropy minus ln C, as they are initialized (wanted within 0.1) and with a "
        "last layer drawn from N(0, 0.001²) (wanted within 0.01). It fails where the logits start "
        "so large that the network is confidently wrong.",
        measure=initialization.first_loss,
        full=initialization.Start(),
        quick=initialization.Start(keys=5, models=("mlp",)),
        tiny=initialization.Start(keys=2, models=("mlp",), examples=32),
    ),
)
