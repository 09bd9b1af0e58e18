#!/usr/bin/python
"""Ansible module: the GPUs that the host's drivers offer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_gpu
short_description: Look which GPUs a model runtime can use
description:
  - Changes nothing; drivers are the administrator's business.
author: GenAI Labs
"""

RETURN = r"""
gpus:
  description: What was found, in words.
  type: list
  returned: always
groups:
  description: Groups whose members may use the devices.
  type: list
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_host import gpu_groups, gpus


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, gpus=gpus(), groups=gpu_groups())


if __name__ == "__main__":
    main()
