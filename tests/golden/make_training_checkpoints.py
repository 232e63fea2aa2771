"""Make checkpoints/training.pth, averaged.pth and lightning.pth: files as training scripts save.

    python tests/golden/make_training_checkpoints.py

Ran with torch 2.13.0. All hold the network `fc` with weight [[0, 1, 2], [3, 4, 5]] and bias
[10, 11]: training.pth under "model", with averaged weights (100 more), optimizer, scheduler (a
Counter), device and a tensor as epoch beside; averaged.pth as `AveragedModel` saves it;
lightning.pth under "state_dict" with a loss's buffer beside, its bias a tensor with an attribute.
"""

from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel

HERE = Path(__file__).parent / "checkpoints"


class Net(torch.nn.Module):
    def __init__(self, offset=0.0):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.arange(6.0).reshape(2, 3) + offset)
            self.fc.bias.copy_(torch.tensor([10.0, 11.0]) + offset)


def save(name, value):
    torch.save(value, HERE / name)


net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=0.0)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 5])
net.fc(torch.ones(1, 3)).sum().backward()
optimizer.step()
scheduler.step()
save(
    "training.pth",
    {
        "model": net.state_dict(),
        "model_ema": Net(100).state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "device": torch.device("cuda", 0),
        "epoch": torch.tensor(3),
        "best": 91.25,
    },
)
save("averaged.pth", AveragedModel(net).state_dict())
state = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
state["model.fc.bias"].note = "an attribute of its own"
state["criterion.weight"] = torch.ones(2)
save("lightning.pth", {"state_dict": state, "epoch": 3, "callbacks": {}})
