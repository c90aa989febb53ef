"""Projects to learn from and to try Kairos with."""
