"""The journey language: text in, plans and diagnostics out.

`project.check_project` is the door: it takes the texts of a project folder and gives back every mistake in
them, the plans of the journeys, the catalogue, the installation and the scenarios. On the way a text
becomes nodes that know their place (`loader`), the nodes are held against the one definition of the
language (`schema`, built of `shapes`), their meaning is checked (`checker`), and what is free of mistakes
is compiled (`compiler`).

Pure: no file, clock, network or randomness. Reading the folder is the command line's part. It imports
`engine.core` and nothing else of ours, so template checks are handed in.
"""
