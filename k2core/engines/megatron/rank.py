"""A child process of `TrainerGroup`: builds one Trainer and obeys until its parent is gone.

`python -m k2core.engines.megatron.rank FD PARENT_PID`
"""

import os
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection

from k2core.engines.megatron.wire import receive, send


def die_with(parent: int) -> None:
    """End this process within half a second of its parent's death, even in the middle of work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(connection: Connection) -> None:
    """Answer calls `(method, args, kwargs)` with `(value, None)` or `(None, (kind, traceback))`."""
    import torch

    from k2core.engines.megatron.batch import NonFiniteError

    torch.set_num_threads(1)
    trainer = None
    while True:
        try:
            method, args, kwargs = receive(connection)
        except EOFError:
            return
        try:
            if method == "build":
                from k2core.engines.megatron.trainer import Trainer

                trainer, value = Trainer(*args, **kwargs), None
            else:
                value = getattr(trainer, method)(*args, **kwargs)
        except Exception as error:  # the parent raises it
            kind = "non_finite" if isinstance(error, NonFiniteError) else "error"
            said = str(error) if kind == "non_finite" else traceback.format_exc()
            send(connection, (None, (kind, said)))
        else:
            send(connection, (value, None))


if __name__ == "__main__":
    die_with(int(sys.argv[2]))
    serve(Connection(int(sys.argv[1])))
    os._exit(0)  # gloo's threads would otherwise be joined in a process group that is gone
