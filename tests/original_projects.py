"""Networks of the original projects, written here from the names and shapes of their weights."""

import torch
from torch import nn
from torchvision import models


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(300, 256, 3)


class Classifier(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(256, 128), nn.Linear(128, classes)


class Original(nn.Module):
    """interpretability_of_lstm (nested) or cnn-lstm (flat): frame by frame, the state handed on."""

    def __init__(self, nested, classes=2, resnet=models.resnet18):
        super().__init__()
        self.resnet = resnet(weights=None)
        self.resnet.fc = nn.Sequential(nn.Linear(self.resnet.fc.in_features, 300))
        self.nested = nested
        if nested:
            self.lstm, self.fc_layers = Recurrent(), Classifier(classes)
        else:
            self.lstm = nn.LSTM(300, 256, 3)
            self.fc1, self.fc2 = nn.Linear(256, 128), nn.Linear(128, classes)
        for norm in (module for module in self.modules() if isinstance(module, nn.BatchNorm2d)):
            nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            nn.init.uniform_(norm.running_var, 0.8, 1.2)
        for weight in self.lstm.parameters():
            nn.init.uniform_(weight, -0.5, 0.5)  # wide enough for the frames to matter

    def forward(self, clips):
        lstm, layers = (self.lstm.lstm, self.fc_layers) if self.nested else (self.lstm, self)
        hidden = None
        for t in range(clips.shape[1]):
            out, hidden = lstm(self.resnet(clips[:, t]).unsqueeze(0), hidden)  # (1, B, 256)
        return layers.fc2(layers.fc1(out[-1]).relu())


def file_of(model, prefix=""):
    """Return what the original projects save of a model."""
    optimizer = torch.optim.Adam(model.parameters())
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    return {"epoch": 72, "state_dict": state, "optimizer_state_dict": optimizer.state_dict()}
