"""The third driver: journeys on a virtual clock in one process, without a server.

Scenarios, preview, dry runs over history. It drives the same two reducers as the durable drivers and leaves
the same trace for the same plan, customer and events. Nothing here reads a clock, a file or a socket: events
come in as data, a `Report` or `Outcome` goes out.

May import `engine.core`, `engine.language`, `engine.policy`, `engine.content`.
"""

from engine.simulator.compare import Difference, compare
from engine.simulator.coverage import Coverage, coverage
from engine.simulator.history import simulate
from engine.simulator.report import JourneyReport, Report, Tally
from engine.simulator.scenario import ScenarioRun, run_scenario
from engine.simulator.settings import StandIns, Surroundings
from engine.simulator.simulation import Simulation
from engine.simulator.suite import Result, SuiteRun, run_suite

__all__ = [
    "Coverage",
    "Difference",
    "JourneyReport",
    "Report",
    "Result",
    "ScenarioRun",
    "Simulation",
    "StandIns",
    "SuiteRun",
    "Surroundings",
    "Tally",
    "compare",
    "coverage",
    "run_scenario",
    "run_suite",
    "simulate",
]
