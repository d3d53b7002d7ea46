"""A model in a CPU worker, loaded anew: each tensor is copied once, each layer packed once.

vLLM's own layerwise loading counts, for each tensor and by loading it twice, whether its layer is
complete, so that no more than a layer is held beside the served model. Here all of the model is, as
the buckets that it comes from are; in return an update takes half the time.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vllm.model_executor.layers.attention import is_deferred_attention_layer
from vllm.model_executor.model_loader.reload import layerwise, meta, utils

if TYPE_CHECKING:
    import torch
    from vllm.config import ModelConfig


class Reload:
    """From the beginning of an update, in which weights have the layout of a checkpoint.

    Args:
        model: whose `load_weights` fills them.
    """

    def __init__(self, model: "torch.nn.Module") -> None:
        self._model, self._loaded = model, set[str]()
        for layer in model.modules():
            info = layerwise.get_layerwise_info(layer)
            if info.kernel_tensors is None:  # else a round that broke off has left it so
                info.kernel_tensors = utils.get_layer_params_buffers(layer)
                info.kernel_non_persistent_buffers = set(layer._non_persistent_buffers_set)
                meta.restore_layer_on_meta(layer, info)
                meta.materialize_layer(layer, info)
                for tensor in utils.get_layer_tensors(layer).values():
                    # vLLM's own loading leaves its counting loaders behind
                    tensor.weight_loader = layerwise._get_original_loader(tensor)

    def note(self, loaded: Iterable[str]) -> None:
        """Parameters that some of the weights were for, as `load_weights` says."""
        self._loaded.update(loaded)

    def finish(self, model_config: "ModelConfig") -> None:
        """To the kernels' layout, in the memory that they had; what nothing came for stays."""
        filled = {name.rpartition(".")[0] for name in self._loaded}
        attention = []
        for name, layer in self._model.named_modules():
            info = layerwise.get_layerwise_info(layer)
            if is_deferred_attention_layer(layer):
                attention.append((layer, info))
            elif name in filled:
                layerwise._layerwise_process(layer, info)
            else:
                layerwise._place_kernel_tensors(layer, info)
                info.reset()
        for layer, info in attention:  # which reads what the others have become
            layerwise._place_kernel_tensors(layer, info)
            info.reset()
            layer.process_weights_after_loading(model_config.dtype)
