"""The embedded world: painted people with hands, faces and signs, and their artifacts."""
