"""Programs that write prepared sets from published data."""
