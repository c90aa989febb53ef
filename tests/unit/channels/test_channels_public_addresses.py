"""Which addresses are of the internet."""

from __future__ import annotations

import pytest

from channels.errors import Rejected
from channels.http import HttpClient, is_public


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "224.0.0.1", "192.0.0.192", "64:ff9b:1::7f00:1", "::7f00:1", "::ffff:0:7f00:1",
     "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "2002:7f00:1::"],
)  # fmt: skip
def test_addresses_that_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/"])
async def test_a_public_client_calls_nobody_else(url: str) -> None:
    client = HttpClient(public=True)
    try:
        with pytest.raises(Rejected, match="private network"):
            await client.request("POST", url, content=b"x")
    finally:
        await client.close()
