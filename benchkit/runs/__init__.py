"""Run a comparison: prepare its plan, execute the stages, record the cell results, and find a run again.

run prepares and executes, execution runs one plan, cell_recorder and rate_recorder store what it gives.
precision_check and masked_resampling_check compare with exact images before a run. next_look adds seeds.
"""
