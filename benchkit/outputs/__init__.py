"""What a finished run, or a plugin, gives to look at or to take along: figures, previews, exports."""
