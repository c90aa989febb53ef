"""The socket that the API listens on."""

from __future__ import annotations

import asyncio
import socket

from workers.api import bound


async def test_an_answer_in_two_writes_does_not_wait_for_an_acknowledgement() -> None:
    taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = bound("127.0.0.1", 0)
    async with asyncio.timeout(20), await asyncio.start_server(connected, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert await taken == 1
        writer.close()
