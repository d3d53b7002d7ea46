"""vLLM's OpenAI server on a folder, with what this pipeline's checkpoints need; a process.

python -m k2core.engines.vllm.server FOLDER --host HOST --port PORT --name NAME [--free | --plain]
"""

import argparse
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from k2core.engines.vllm.arguments import GRAMMARS, ON_CPU
from k2core.engines.vllm.environment import prepare_environment

_FLAGS: dict[str, object] = {
    "structured_outputs_config": GRAMMARS,
    "disable_log_stats": True,
    "uvicorn_log_level": "warning",
}
_K2: dict[str, object] = {
    "enable_auto_tool_choice": True,
    # Parts come as they were sent; joined by the server they would get line breaks between them.
    "chat_template_content_format": "openai",
}


def main() -> None:
    """Serve until told to stop, or until who started it is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--port")
    parser.add_argument("--name", nargs="+")
    parser.add_argument("--max-num-seqs", default=16)
    parser.add_argument("--parent", type=int, help="End when this process does.")
    parser.add_argument("--free", action="store_true", help="Without the enforcer.")
    parser.add_argument("--plain", action="store_true", help="A model of another chat format.")
    asked = parser.parse_args()
    if asked.parent:
        _end_with(asked.parent)
    prepare_environment()
    import torch

    flags = _FLAGS | {
        "host": asked.host,
        "port": asked.port,
        "max_num_seqs": asked.max_num_seqs,
    }
    if not torch.cuda.is_available():
        flags |= {**ON_CPU, "dtype": "float32"}
    if not asked.plain:
        from k2core.engines.vllm.parser import ENFORCED, FREE, install

        install()
        flags |= {**_K2, "tool_call_parser": FREE if asked.free else ENFORCED}
    names = ["--served-model-name", *asked.name]
    sys.argv = [sys.argv[0], "--model", str(asked.folder), *names, *as_arguments(flags)]
    from vllm.entrypoints.launchers.api_server.entry import main as serve

    serve()


def _end_with(parent: int) -> None:
    """Have the kernel tell us when who started us ends; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it has ended already
            raise SystemExit(1)


def as_arguments(flags: Mapping[str, object]) -> list[str]:
    """An engine's keyword arguments as its command takes them."""
    arguments = []
    for name, value in flags.items():
        dashed = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{dashed}" if value else f"--no-{dashed}")
        else:
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            arguments += [f"--{dashed}", text]
    return arguments


if __name__ == "__main__":
    main()
