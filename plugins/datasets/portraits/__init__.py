"""The procedural dataset `portraits`: people with hands, faces and signs, and their artifacts."""
