"""Run by the interpreter of .venv-bench: verdicts a second in inspect_ai's local sandbox.

Arguments: number of verdicts, how many at a time, the program.
"""

import asyncio
import sys
import time

from inspect_ai.util._sandbox.local import LocalSandboxEnvironment


async def main(num: int, at_a_time: int, program: str) -> None:
    """Print seconds for `num` runs of the program in fresh Pythons."""
    gate = asyncio.Semaphore(at_a_time)

    async def judge(sandbox: LocalSandboxEnvironment) -> bool:
        async with gate:
            ran = await sandbox.exec(["/usr/bin/python3", "-I", "-c", program], timeout=15)
            return bool(ran.success)

    sandbox = LocalSandboxEnvironment()
    await judge(sandbox)
    started = time.perf_counter()
    held = await asyncio.gather(*(judge(sandbox) for _ in range(num)))
    print(time.perf_counter() - started if all(held) else "nan")


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
