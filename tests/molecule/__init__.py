"""Molecule's scenarios: whole roles and whole labs on hosts that have nothing yet."""
