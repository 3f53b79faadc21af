"""A static site of boards: it needs no server, asks no other host, and works from a folder or a zip."""
