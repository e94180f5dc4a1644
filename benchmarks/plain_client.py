"""The simplest program that asks a server for many completions: asyncio, openai, and the ids already in the file.

python benchmarks/plain_client.py URL PROMPTS OUT IN_FLIGHT     (PROMPTS: lines of {"id": …, "messages": […]})
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

SAMPLING = {"temperature": 0.9, "top_p": 1.0, "max_tokens": 1024, "seed": 42}
EXTRA = {"continue_final_message": True, "add_generation_prompt": False, "top_k": -1, "min_p": 0.0}
OPENED = {"role": "assistant", "content": "<think>\n"}


async def main(url: str, prompts: Path, out: Path, in_flight: int) -> None:
    rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    done = {json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()} if out.exists() else set()
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=5, timeout=600)
    gate = asyncio.Semaphore(in_flight)
    with out.open("a", encoding="utf-8") as file:

        async def ask(row: dict[str, Any]) -> None:
            async with gate:
                messages = [*row["messages"], OPENED]
                reply = await client.chat.completions.create(
                    model="stand-in", messages=messages, **SAMPLING, extra_body=EXTRA
                )
            file.write(json.dumps({"id": row["id"], "text": reply.choices[0].message.content}) + "\n")
            file.flush()

        await asyncio.gather(*(ask(row) for row in rows if row["id"] not in done))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
