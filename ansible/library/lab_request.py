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
  url:
    description: An http:// address on this host; with I(wait), any target of module_utils/lab_peer.py.
    type: str
    required: true
  accounts:
    description: The accounts that the service may run as.
    type: list
    elements: str
    required: true
  method:
    description: The method.
    type: str
    default: GET
  headers:
    description: Further headers.
    type: dict
    default: {}
  body:
    description: What is sent.
    type: dict
  secrets:
    description: What of the body is never shown, neither in a result nor in a failure.
    type: list
    elements: str
    default: []
  body_format:
    description: How the body is written.
    type: str
    choices: [json]
    default: json
  status_code:
    description: Those that are no failure.
    type: list
    elements: int
    default: [200]
  timeout:
    description: Seconds for each step of the exchange.
    type: int
    default: 30
  wait:
    description:
      - Seconds until the service must be ready. Nothing else is asked then.
    type: int
author: GenAI Labs
"""

RETURN = r"""
status:
  description: The answer's status code.
  type: int
  returned: where there was an answer
content:
  description: The answer's text.
  type: str
  returned: where there was an answer
json:
  description: The answer, where it is JSON.
  type: raw
  returned: where it is
"""

import http.client
import json
import pwd
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.lab_peer import HttpConnection, wait_for


def ask(params: dict) -> dict:
    """Send the request; return the answer.

    Raises:
        OSError: Nobody answers, or another account than those.
        HTTPException: What answers does not speak HTTP.
        KeyError: There is no such account.
    """
    parts = urlsplit(params["url"])
    uids = {pwd.getpwnam(name).pw_uid for name in params["accounts"]}
    headers, body = dict(params["headers"]), None
    if params["body"] is not None:
        headers["Content-Type"], body = "application/json", json.dumps(params["body"])
    connection = HttpConnection(parts.hostname or "", parts.port or 80, uids, params["timeout"])
    try:
        connection.request(params["method"], parts._replace(scheme="", netloc="").geturl() or "/", body, headers)
        answer = connection.getresponse()
        result = {"status": answer.status, "content": answer.read().decode(errors="replace")}
    finally:
        connection.close()
    if answer.headers.get_content_type() == "application/json":
        result["json"] = json.loads(result["content"])
    return result


def await_readiness(module: AnsibleModule) -> dict:
    """Wait until the service is ready; a failure says why it is not."""
    url, seconds = module.params["url"], module.params["wait"]
    uids = {pwd.getpwnam(name).pw_uid for name in module.params["accounts"]}
    missing = wait_for([url], uids, seconds)
    if missing:
        module.fail_json(msg=f"not ready after {seconds} s: {url}: {missing[url]}")
    return {}


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
    if module.params["wait"] is not None:
        module.exit_json(changed=False, **await_readiness(module))
    try:
        result = ask(module.params)
    except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
        module.fail_json(msg=f"{module.params['method']} {module.params['url'].partition('?')[0]}: {error}")
    if result["status"] not in module.params["status_code"]:
        module.fail_json(msg=f"The answer has the status {result['status']}: {result['content'][:500]}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
