"""Built-in corruptors, one a file."""
