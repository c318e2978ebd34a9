"""An onnxruntime that says it has CUDA, and computes on the CPU what it is given for a device."""

from types import SimpleNamespace

import onnxruntime
import torch

from mfr_kit.models.onnx_models import bound_session

REAL = onnxruntime.InferenceSession
CUDA, TENSORRT, CPU = (f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "CPU"))


class FakeSession:
    """Notes what sessions are opened with and what is bound to them."""

    opened: list[list]  # the providers of each session, with their options
    bound: list[tuple]  # (what, name, device, number, shape)
    falls_back = False  # whether a device's provider fails to start, as onnxruntime does silently

    def __init__(self, model, sess_options=None, providers=(), **more):
        type(self).opened.append(list(providers))
        self._real = REAL(model, sess_options, providers=[CPU], **more)
        names = [entry if isinstance(entry, str) else entry[0] for entry in providers]
        self._names = [CPU] if self.falls_back else names

    def __getattr__(self, name):
        return getattr(self._real, name)

    def get_providers(self):
        return self._names

    def run(self, *arguments):
        if self._names != [CPU]:
            type(self).bound.append(("run without a binding",))
        return self._real.run(*arguments)

    def io_binding(self):
        return FakeBinding(self._real.io_binding(), type(self).bound)

    def run_with_iobinding(self, binding):
        self._real.run_with_iobinding(binding.real)

    @classmethod
    def install(cls, monkeypatch, offered=(TENSORRT, CUDA, CPU)) -> None:
        """Take onnxruntime's place, with these providers on offer."""
        cls.opened, cls.bound = [], []
        monkeypatch.setattr(cls, "falls_back", False)
        monkeypatch.setattr(onnxruntime, "InferenceSession", cls)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(offered))
        monkeypatch.setattr(bound_session, "send", lambda tensor, place: tensor)
        stream = SimpleNamespace(synchronize=lambda: cls.bound.append(("torch is done",)))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda place: stream)


class FakeBinding:
    """A binding to the CPU's memory under the name of a device."""

    def __init__(self, real, bound: list):
        self.real, self._bound = real, bound

    def bind_input(self, name, device, number, element, shape, pointer):
        self._bound.append(("input", name, device, number, shape))
        self.real.bind_input(name, "cpu", 0, element, shape, pointer)

    def bind_output(self, name, device, number):
        self._bound.append(("output", name, device, number))
        self.real.bind_output(name, "cpu", 0)

    def get_outputs(self):
        return self.real.get_outputs()
