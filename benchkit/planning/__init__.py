"""Make a plan from a grid.

cells lists the cells of a grid, planner makes the stages that they need, plan holds both. preflight finds every fault
that can be known before the work. estimate and dry_run say what a plan costs. look_plan gives rows more seeds.
"""
