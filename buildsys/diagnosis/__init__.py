"""Answers about finished deployables: where one goes wrong, which bounds fit it, whether it can be made again."""
