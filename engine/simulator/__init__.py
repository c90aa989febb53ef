"""The third driver: journeys on a virtual clock in one process, without a server.

Scenarios, preview, dry runs over history. It drives the same two reducers as the durable drivers and leaves
the same trace for the same plan, customer and events. Nothing here reads a clock, a file or a socket: events
come in as data, a `Report` or `Outcome` goes out.

May import `engine.core`, `engine.language`, `engine.policy`, `engine.content`.
"""
