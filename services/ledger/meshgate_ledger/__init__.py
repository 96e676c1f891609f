"""Who may call what, and money."""
