"""Run the stages of a plan: in this process (inline), in several processes, or as Ray tasks."""
