"""Reported results as data, one JSON object a line; read by benchkit.report.leaderboard_lines."""
