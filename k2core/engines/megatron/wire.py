"""Objects through a pipe by plain pickle.

`Connection.send` would hand tensors over by shared-memory descriptors, which needs processes that
multiprocessing itself started.
"""

import pickle
from multiprocessing.connection import Connection
from typing import Any


def send(connection: Connection, value: Any) -> None:
    """Write one object."""
    connection.send_bytes(pickle.dumps(value, protocol=5))


def receive(connection: Connection) -> Any:
    """Read one object; EOFError when the other side is gone."""
    return pickle.loads(connection.recv_bytes())
