"""The plugins that ship with benchkit, registered the way a stranger's are."""
