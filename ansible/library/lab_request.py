#!/usr/bin/python
"""Ansible module: one HTTP request with a secret to a service of the lab, and to nobody else."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_request
short_description: Ask a service of this host by HTTP once it is certain that its own account answers
description:
  - As M(ansible.builtin.uri), whose options and results it shares as far as the lab needs them, without proxies and
    redirections. Nothing is sent before the kernel has said which account took the connection.
  - Skipped in check mode.
options:
  url: {description: "An http:// address of this host; with I(wait), any of lab_peer.py.", type: str, required: true}
  accounts:
    description: The accounts that the service may run as.
    type: list
    elements: str
    required: true
  method: {description: The method., type: str, default: GET}
  headers: {description: Further headers., type: dict, default: {}}
  body: {description: What is sent., type: dict}
  body_format: {description: How the body is written., type: str, choices: [json], default: json}
  secrets:
    description: What of the body is never shown, neither in a result nor in a failure.
    type: list
    elements: str
    default: []
  status_code: {description: Those that are no failure., type: list, elements: int, default: [200]}
  timeout: {description: Seconds for each step of the exchange., type: int, default: 30}
  wait: {description: Seconds until the service must be ready. Nothing else is asked then., type: int}
author: GenAI Labs
"""

RETURN = r"""
status: {description: The answer's status code., type: int, returned: where there was an answer}
content: {description: The answer's text., type: str, returned: where there was an answer}
json: {description: "The answer, where it is JSON.", type: raw, returned: where it is}
"""

import http.client
import json
import pwd

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_peer import ask, wait_for


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "accounts": {"type": "list", "elements": "str", "required": True},
            "method": {"type": "str", "default": "GET"},
            "headers": {"type": "dict", "default": {}, "no_log": True},
            "body": {"type": "dict"},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "body_format": {"type": "str", "choices": ["json"], "default": "json"},
            "status_code": {"type": "list", "elements": "int", "default": [200]},
            "timeout": {"type": "int", "default": 30},
            "wait": {"type": "int"},
        },
    )
    params = module.params
    headers, body = params["headers"], None
    if params["body"] is not None:
        headers, body = headers | {"Content-Type": "application/json"}, json.dumps(params["body"])
    try:
        uids = {pwd.getpwnam(name).pw_uid for name in params["accounts"]}
        if params["wait"] is not None:
            for url, why in wait_for([params["url"]], uids, params["wait"]).items():
                module.fail_json(msg=f"not ready after {params['wait']} s: {url}: {why}")
            module.exit_json(changed=False)
        answer, content = ask(params["url"], uids, params["timeout"], params["method"], body, **headers)
        result = {"status": answer.status, "content": content.decode(errors="replace")}
        if answer.headers.get_content_type() == "application/json":
            result["json"] = json.loads(content)
    except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
        module.fail_json(msg=f"{params['method']} {params['url'].partition('?')[0]}: {error}")
    if result["status"] not in params["status_code"]:
        module.fail_json(msg=f"The answer has the status {result['status']}: {result['content'][:500]}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
