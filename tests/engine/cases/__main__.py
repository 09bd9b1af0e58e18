"""What LiteLLM asks of the query engine, told through the real Prisma client.

Runs under the gateway's Python, which has that client and no pytest; test_engine.py starts this folder with the names
of the cases. Every `case_*` fails by raising. The last line of standard output is a JSON object: case name -> None, or
the traceback.
"""

import asyncio
import json
import sys
import traceback

import faults
import raw_sql
import records
import transactions
import values
from tools import client

CASES = {
    name: case
    for module in (records, values, raw_sql, transactions, faults)
    for name, case in vars(module).items()
    if name.startswith("case_")
}


async def run(names: list[str]) -> dict[str, str | None]:
    results: dict[str, str | None] = {}
    async with client() as db:
        for name in names:
            try:
                await asyncio.wait_for(CASES[name](db), timeout=60)
                results[name] = None
            except Exception:  # noqa: BLE001 - one failing case must not hide the results of the others
                results[name] = traceback.format_exc()
    return results


if __name__ == "__main__":
    print(json.dumps({"results": asyncio.run(run(sys.argv[1:]))}), flush=True)
