"""An ONNX recogniser on a device: by onnxruntime where it has a provider for it, else as a torch
network that was compared with the file.
"""

from typing import TYPE_CHECKING

from mfr_kit import providers
from mfr_kit.errors import KitError
from mfr_kit.models.input_format import parse
from mfr_kit.models.notes import say_once
from mfr_kit.models.onnx_models import runtime
from mfr_kit.models.onnx_models.bound_session import input_of
from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.models.placement import products_in, provider_of
from mfr_kit.models.preprocess import mark_input
from mfr_kit.models.torch_embedder import TorchEmbedder

if TYPE_CHECKING:
    import torch

PARITY = 1e-6  # largest 1 - cosine of a network in float32 to its file
COMPARED = 4  # faces


class ConvertedEmbedder(TorchEmbedder):
    """An ONNX recogniser as a torch network, where only torch has the device.

    Args:
        source: the file as onnxruntime runs it on the CPU, with which it is compared.
        place: where it runs.
        precision: one of `placement.PRECISIONS`; it is compared in float32.
    Raises:
        KitError: an operator that the kit has not for torch, or embeddings that differ.
    """

    def __init__(
        self, source: OnnxEmbedder, place: "torch.device", precision: str = "float32"
    ) -> None:
        from mfr_kit.models.onnx_models.graph_network import GraphNetwork

        self.name, self.fingerprint, self.lineage = source.name, source.fingerprint, source.lineage
        self.embedding_size, self.source = source.embedding_size, source
        # what embeddings depend on, as of the file
        self.normalisation, self.output, self.batch = (
            source.normalisation,
            source.output,
            source.batch,
        )
        graph = runtime.mended(source.path)[0]
        if graph is None:
            raise KitError(f"{source.path}: it is too large to be read as a torch network")
        network = GraphNetwork(graph, source.signature.output, str(source.path))
        mark_input(network, parse(self.normalisation))
        self._put(network, place, precision)
        faces = colour_faces(COMPARED)
        self.parity = float(cosine_difference(source.embed(faces), self.embed_exact(faces)).max())
        if not self.parity <= PARITY:  # a NaN fails too
            raise KitError(
                f"{source.path} gives other embeddings as a torch network: 1 - cosine is "
                f"{self.parity:.1e}, at most {PARITY:.0e} is rounding"
            )

    def _forward(self, batch: "torch.Tensor", mirrored: bool, precision: str) -> "torch.Tensor":
        import torch

        with torch.inference_mode():
            pixels = input_of(batch, mirrored, self.source.signature, self.normalisation)
            with products_in(precision, self.device):
                if self.batch is None:
                    found = self.model(pixels)
                else:
                    found = self._in_parts(pixels, self.batch)
            return found.float().reshape(len(pixels), -1)

    def _in_parts(self, pixels: "torch.Tensor", size: int) -> "torch.Tensor":
        """Run a graph whose batch is fixed inside; the last part is padded."""
        import torch

        count = len(pixels)
        missing = -count % size
        if missing:
            pixels = torch.cat([pixels, pixels[:1].expand(missing, *pixels.shape[1:])])
        parts = [self.model(part).reshape(size, -1) for part in pixels.split(size)]
        return torch.cat(parts)[:count]


def on_device(
    source: OnnxEmbedder, name: str, place: "torch.device", precision: str
) -> OnnxEmbedder | ConvertedEmbedder:
    """Bring an ONNX recogniser to a device.

    Args:
        source: on the CPU.
        name: `--device`; "auto" may leave it on the CPU.
        place: what `placement.resolve` made of it.
        precision: one of `placement.PRECISIONS`.
    Raises:
        KitError: the device cannot run it, and was asked for: what is missing, and what to do.
    """
    provider = provider_of(name, place, precision)
    why = ""
    if provider is not None:
        offered = providers.is_offered(provider.engine)
        if offered and (name != "auto" or providers.starts(provider)):
            try:
                return source.moved(provider)
            except KitError as error:
                if name != "auto":
                    raise
                why = str(error)
        elif provider.engine == "tensorrt":  # nothing else runs it
            providers.refuse_missing(provider, str(source.path))
    try:
        return ConvertedEmbedder(source, place, precision)
    except KitError as error:
        why = why or str(error)
    if name != "auto" or precision != "float32":
        cure = "give --precision float32" if precision == "bf16" else "give --device cpu"
        raise KitError(f"{why}; {providers.how_to_install() if provider else cure}")
    say_once(f"{why}: it stays on the CPU")
    return source
