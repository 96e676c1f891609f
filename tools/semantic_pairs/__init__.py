"""Pairs of questions written for this project: to fit the score on, and to hold it to account."""
