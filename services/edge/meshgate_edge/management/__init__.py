"""The HTTP rim of whoever calls and pays: keys, users, teams, budgets."""
