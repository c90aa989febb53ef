"""A fake of Resend in a process of its own, which answers each call after 20 ms.

python -m benchmarks.slow_provider --port 20001
"""

from __future__ import annotations

import argparse
import asyncio
import signal

from channels.testing.resend import FakeResend

KEY = "re_a_key_of_the_benchmark"
DOMAIN = "example.com"
LATENCY = 0.02


async def serve(port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    fake = FakeResend(KEY, [DOMAIN])
    fake.latency = LATENCY
    await fake.start(port)
    print("provider: ready", flush=True)
    await stop.wait()
    await fake.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_provider", description="Takes mails.")
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
