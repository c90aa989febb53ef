"""A small tea shop: a Kairos project, half a year of its visitors' clicks, and a demo that replays a month.

`kairos.yaml`, `journeys/` and `templates/` are the project. `stream` turns the recorded clicks into what the
shop's website would send, `demo` is `make demo`.
"""
