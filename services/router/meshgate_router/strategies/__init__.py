"""Which of a group's eligible deployments is asked first: one small pure function for each strategy."""
