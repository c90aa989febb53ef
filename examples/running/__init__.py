"""What the demos share: servers of their own, a scaled clock, a replay over HTTP, a comparison with
`kairos simulate`."""
