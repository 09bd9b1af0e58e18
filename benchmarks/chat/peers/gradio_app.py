"""Gradio's chat, as its documentation writes it."""

import os
import sys

import gradio as gr
from openai import OpenAI

client = OpenAI(base_url=os.environ["STUB_URL"], api_key="none")


def predict(message, history):
    text = ""
    messages = [{"role": "user", "content": message}]
    for chunk in client.chat.completions.create(model="stub-a", stream=True, messages=messages):
        if chunk.choices and chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
            yield text


gr.ChatInterface(predict).launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
