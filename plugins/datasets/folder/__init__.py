"""`folder`: the user's own images, in any of the usual layouts."""
