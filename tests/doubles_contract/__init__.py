"""Tests of the doubles themselves."""

import pytest

pytest.register_assert_rewrite("tests.doubles_contract.recorded")
