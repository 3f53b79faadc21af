"""Make a board from cell results.

The order of the work: run_data (what a run gives), aggregate (seeds to lines), uncertainty (intervals, ranks,
verdicts), board (all data of a board), notes (sentences about it), board_table (columns and texts for people),
render_board (terminal, Markdown, LaTeX, CSV, JSON). figures, curves and contact_sheet draw pictures, and site writes
the page. setting_agreement compares detectors, paper_comparison compares with the paper, load_board reads a board back.
"""
