"""Lookup plugin: the variables that were given with -e, in one dictionary."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_extra_vars
short_description: The variables that were given with -e
description:
  - One dictionary. Ansible itself does not tell where a variable's value comes from.
options: {}
"""

from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars


class LookupModule(LookupBase):
    """Reads the command line again."""

    def run(self, terms, variables=None, **kwargs):
        return [dict(load_extra_vars(self._loader))]
