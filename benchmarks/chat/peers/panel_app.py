"""Panel's chat, as its documentation writes it."""

import os

import panel as pn
from openai import AsyncOpenAI

client = AsyncOpenAI(base_url=os.environ["STUB_URL"], api_key="none")


async def answer(contents, user, instance):
    text = ""
    messages = [{"role": "user", "content": contents}]
    stream = await client.chat.completions.create(model="stub-a", stream=True, messages=messages)
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
            yield text


pn.extension()
pn.chat.ChatInterface(callback=answer, callback_user="LLM").servable()
