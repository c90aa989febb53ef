"""Where links in messages lead through, as this machine's environment has it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace

from channels.settings import fill
from engine.language.installation import Installation

log = logging.getLogger("kairos.worker")
VARIABLE = "KAIROS_LINK_URL"
"""What `kairos dev` sets to its own address, where it is not set."""


def address_mistakes(installation: Installation, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What keeps `links.base_url` of kairos.yaml from being known here."""
    problems: list[str] = []
    fill(installation.links.base_url, "kairos.yaml: links.base_url", environ, problems)
    return problems


def with_address(installation: Installation, environ: Mapping[str, str] = os.environ) -> Installation:
    """The installation with the variables of `links.base_url` filled in.

    Where one is not set links stay as they are, and the log says so: a worker that starts refuses, but this
    may have been applied since.
    """
    links, problems = installation.links, list[str]()
    base = fill(links.base_url, "kairos.yaml: links.base_url", environ, problems)
    for problem in problems:
        log.error("%s: links stay as they are", problem)
    if problems or base is None:
        return installation
    return replace(installation, links=replace(links, base_url=str(base).rstrip("/")))
