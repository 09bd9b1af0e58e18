"""The way notebook chats are usually written: an HTML widget set to the whole text at every chunk."""

import os

import ipywidgets
import markdown
from openai import OpenAI


def chat() -> ipywidgets.VBox:
    client = OpenAI(base_url=os.environ["STUB_URL"], api_key="none")
    field, send, area = ipywidgets.Textarea(), ipywidgets.Button(description="Send"), ipywidgets.HTML()
    field.add_class("naive-field")
    send.add_class("naive-send")
    area.add_class("naive-answer")

    def answer(_: ipywidgets.Button) -> None:
        text = ""
        messages = [{"role": "user", "content": field.value}]
        for chunk in client.chat.completions.create(model="stub-a", stream=True, messages=messages):
            if chunk.choices and chunk.choices[0].delta.content:
                text += chunk.choices[0].delta.content
                area.value = markdown.markdown(text, extensions=["fenced_code", "tables"])

    send.on_click(answer)
    return ipywidgets.VBox([area, field, send])
