"""What ranks are forked with; nothing that starts threads (polars, pyarrow)."""

from importlib import import_module

from k2core.cycles import no_search_for_cycles

with no_search_for_cycles(stays=True):
    for _name in (
        "k2core.engines.torchrun.rank",
        "k2core.engines.megatron",
        "megatron.core.models.gpt.gpt_layer_specs",
    ):
        import_module(_name)
