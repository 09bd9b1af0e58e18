"""Makes the project's Ansible helpers importable as Ansible's own are."""

import ansible.module_utils
from tests.support.lab import ROOT

ansible.module_utils.__path__.append(str(ROOT / "ansible/module_utils"))
