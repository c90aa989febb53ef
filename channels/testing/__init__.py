"""For testing adapters and what uses them: fakes and the conformance suite. Shipped, and tested itself.

`conformance` needs pytest, `smtp_server` needs aiosmtpd; both are imported by name, so that the rest works
without them.
"""

from channels.testing.fakes import FakeAdapter, MemorySink

__all__ = ["FakeAdapter", "MemorySink"]
