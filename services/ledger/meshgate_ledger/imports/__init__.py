"""Bringing keys, users, teams, budgets and spend from another gateway, as often as one likes."""
