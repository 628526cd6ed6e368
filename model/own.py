"""Networks of your own: a function in a Python file builds one, and a file of its own holds its weights.

    place = OwnModel("nets/gru.py", "build")            # what --model nets/gru.py:build names
    model = place.build(n_classes=2)                    # runs the file
    load_own_weights(model, "gru.pth")

docs/models.md describes what the function may return.
"""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from model.checks import described
from model.state_dicts import load_tensors, prefix_before, read_safely, tensors_in, tensors_of
from runtime.errors import UserError
from runtime.sentences import in_short

MODULE = "model_of_the_user"  # the name under which the file is imported
Result = TypeVar("Result")


class OwnModel(NamedTuple):
    """A function, or a class, in a Python file."""

    path: Path
    function: str

    @classmethod
    def parse(cls, text: str) -> "OwnModel":
        """Return what "FILE.py:FUNCTION" names."""
        path, _, function = text.rpartition(":")
        return cls(Path(path), function)

    def build(self, n_classes: int) -> nn.Module:
        """Run the file, call the function and return the network.

        The function receives the number of classes if it has an argument `num_classes` or one argument without a
        default. Random weights are the same in every call. FileNotFoundError if there is no such file, and ValueError,
        with the line of the file, for everything that fails in it.
        """
        if not self.path.is_file():
            raise FileNotFoundError(f"--model {self.path}:{self.function}: no such file; give FILE.py:FUNCTION")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            module = self._run(lambda: _import(self.path), "running the file fails")
            function = getattr(module, self.function, None)
            if not callable(function):
                names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
                         and getattr(value, "__module__", None) == MODULE]
                raise UserError(f"{self.path} has no function {self.function!r}; give one of those that it defines: "
                                f"{', '.join(names) or 'none'}")
            arguments = self._arguments(function, n_classes)
            model = self._run(lambda: function(**arguments), f"{self.function} fails")
        if not isinstance(model, nn.Module):
            raise UserError(f"{self.path}: {self.function} returned {described(model)}; it must return a "
                            "torch.nn.Module")
        return model

    def _arguments(self, function: Callable, n_classes: int) -> dict[str, int]:
        """Return the keyword arguments for the function. ValueError if it needs more than the number of classes."""
        parameters = inspect.signature(function).parameters.values()
        required = [item.name for item in parameters if item.default is item.empty
                    and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
        if any(item.name == "num_classes" for item in parameters):
            required = [name for name in required if name != "num_classes"]
            arguments = {"num_classes": n_classes}
        else:
            arguments = {required.pop(0): n_classes} if required else {}
        if required:
            raise UserError(f"{self.path}: {self.function} needs the arguments {', '.join(required)}; it must need no "
                            "argument, or only the number of classes")
        return arguments

    def _run(self, work: Callable[[], Result], complaint: str) -> Result:
        """Return work(). ValueError with one sentence if the code of the user fails."""
        try:
            return work()
        except (Exception, SystemExit) as error:
            raise UserError(f"{self.path}{self.line_of(error)}: {complaint} ({in_short(error)})") from error

    def line_of(self, error: BaseException) -> str:
        """Return ", line N" for the line of the file in which an error arose, or nothing if it arose elsewhere."""
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if Path(frame.filename) == self.path.resolve()]
        if isinstance(error, SyntaxError) and error.lineno and Path(error.filename or "") == self.path.resolve():
            lines.append(error.lineno)
        return f", line {lines[-1]}" if lines else ""


def _import(path: Path) -> ModuleType:
    """Run a Python file and return it as a module. It can import the files beside it, as a script can."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # at the end, so that no file there hides a module of the project
    spec = importlib.util.spec_from_file_location(MODULE, path.resolve())
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module  # dataclasses, for example, look their module up
    spec.loader.exec_module(module)
    return module


def load_own_weights(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint of a network's own into it: a state dict, alone or nested in the usual ways.

    FileNotFoundError if there is no such file. ValueError if it is damaged, contains more than weights and plain
    values, or does not hold exactly the weights of the network.
    """
    content = read_safely(path, "give another --resume_path, or none for the weights that the function gives")
    own = isinstance(content, dict) and content.keys() == model.state_dict().keys()
    state = content if own else tensors_of(content)
    if not state:
        raise UserError(f"{path} contains no named tensors; save the state_dict of the network")
    prefix = prefix_before(state, tensors_in(model).keys())
    if prefix:  # as of the attribute of a LightningModule
        print(f"the names of the weights in {path} begin with {prefix}, which is left out")
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    load_tensors(model, state, str(path), "give the checkpoint of the network that --model builds")


def is_own_model(choice: str | None) -> bool:
    """Return whether a value of --model names a function in a file of the user, "FILE.py:FUNCTION"."""
    return choice is not None and ".py:" in choice
