"""The work of one run: its cells are recorded, their stages run, and with `until_resolved` seeds added look by look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchkit.executors.batch import StageResult
from benchkit.executors.choose import describe_executor
from benchkit.planning.estimate import estimate
from benchkit.planning.plan import Plan
from benchkit.planning.plan_file import PluginSource, plan_to_bytes
from benchkit.planning.workloads import Workloads
from benchkit.report.names import named_rows
from benchkit.report.run_data import Example, RunData, read_look_rule
from benchkit.runs.cell_recorder import Recorder, make_cell_info
from benchkit.runs.next_look import Looks
from benchkit.runs.rate_recorder import RateRecorder, load_rates, name_executor
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env
from benchkit.store.location import get_local_folder
from benchkit.store.pins import pin, write_plan
from benchkit.store.results import ResultStore

if TYPE_CHECKING:
    from benchkit.runs.run import RunOptions

_log = logging.getLogger(__name__)


@dataclass
class RunExecution:
    """The execution of one run: its stages, its records and its looks.

    ended: the results of the stages so far. skipped: the reasons of cells that failed in an earlier attempt and are not
    tried again; None before the first cells are recorded.
    """

    name: str
    env: Env
    results: ResultStore
    environment: Mapping[str, Any]
    options: RunOptions
    used: set[Spec]
    ended: dict[str, StageResult] = field(default_factory=dict)
    skipped: dict[str, str | None] | None = None

    def run(self, plan: Plan, config: Mapping[str, Any]) -> Plan:
        """Run a plan, or with `until_resolved` the part that its looks need; return what was needed."""
        rule = read_look_rule(config)
        if rule is None:
            self._run_part(plan)
            return plan
        looks = Looks(rule, plan)
        part = looks.begin([cell.key for cell in self.results.cells(self.name)])
        while True:
            self._run_part(part)
            needed = looks.follow(load_run_data(self.name, self.results, {}, config))
            if {planned.key for planned in needed.cells} <= {planned.key for planned in part.cells}:
                break
            part = needed
        # Cells of an earlier attempt may be too many, if results that it lacked have changed what is unresolved.
        self.results.resume_run(self.name, self.environment, [planned.key for planned in needed.cells])
        _store_plan(needed, self.used, self.name, self.env)
        return needed

    def _run_part(self, part: Plan) -> None:
        """Run the stages of cells that have not ended, and record the cells."""
        _store_plan(part, self.used, self.name, self.env)
        states = self.results.upsert_cells(self.name, [make_cell_info(p, self.env.registry) for p in part.cells])
        if self.skipped is None:
            failed = [cell for cell in self.results.cells(self.name) if cell.state == "failed"]
            self.skipped = {} if self.options.retry_failed else {cell.key: cell.reason for cell in failed}
        ended = {p.key for p in part.cells if p.stages and all(stage.key in self.ended for stage in p.stages)}
        wanted = Plan(tuple(p for p in part.cells if p.key not in self.skipped and p.key not in ended))
        unrecorded = [p for p in wanted.cells if states[p.key] != "done" and p.evaluate is not None and not p.skip]
        executor, how = describe_executor(self.options.executor, self.env, len(wanted.stages))
        recorder = Recorder(self.name, self.env, self.results, {**self.environment, "executor": executor}, unrecorded)
        self._log_estimate(wanted, "" if executor == "inline" else how)
        with RateRecorder(self.env, self.environment, name_executor(self.options.executor)) as rates:

            def report(result: StageResult) -> None:
                recorder.record(result)
                rates.record(result)
                self.options.report(result)

            self.options.executor.execute(wanted.stages, self.env, report)
        self.ended = recorder.stage_results | self.ended

    def _log_estimate(self, wanted: Plan, how: str) -> None:
        """Log how the pending stages run, and what they need where earlier runs have measured such stages.

        how: empty where they run in this process, as everything else does.
        """
        store = self.env.store
        if all(map(store.has, {stage.key for planned in wanted.cells for stage in planned.stages})):
            return
        if how:
            _log.warning("stages run %s", how, extra={"tell": "note"})
        pending = [stage for stage in wanted.stages if not store.has(stage.key)]
        folder, executor = get_local_folder(store.location), name_executor(self.options.executor)
        rates = load_rates(folder, str(self.environment["device"]))
        found = estimate(pending, Workloads(self.env.registry), rates, folder, executor)
        if found.seconds is not None:
            _log.warning("this run needs %s", "; ".join(found.lines()), extra={"tell": "note"})


def _store_plan(plan: Plan, used: set[Spec], run: str, env: Env) -> None:
    """Write the plan of a run to the cache, and record which stages it uses."""
    pin(env.store.location, run, {stage.key: stage.describe() for stage in plan.stages})
    every = used.union(*(stage.specs for stage in plan.stages))
    sources = {PluginSource.of(env.registry.entry(spec.kind, spec.name)) for spec in every}
    write_plan(env.store.location, run, plan_to_bytes(plan, list(sources)))


def load_run_data(
    run: str, results: ResultStore, gallery: Mapping[str, tuple[Example, ...]], grid: Mapping[str, Any]
) -> RunData:
    """Load the data that a report shows of one run."""
    info = next(r for r in results.runs() if r.id == run)
    rows = named_rows(results.rows(run), grid.get("shown") or {})
    done = rows.loc[rows["state"] == "done", "cell"]
    return RunData(run, grid, info.environment, rows, results.read_histograms(done), gallery)
