"""The native executor's plan of a cell program: see plan.py."""
