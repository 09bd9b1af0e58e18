"""Tests of the doubles themselves."""
