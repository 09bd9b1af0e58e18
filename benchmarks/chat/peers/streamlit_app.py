"""Streamlit's chat, as its documentation writes it."""

import os

import streamlit as st
from openai import OpenAI

client = OpenAI(base_url=os.environ["STUB_URL"], api_key="none")
st.title("chat")
if "messages" not in st.session_state:
    st.session_state.messages = []
for message in st.session_state.messages:
    with st.chat_message(message["role"]):
        st.markdown(message["content"])
if prompt := st.chat_input("Message"):
    st.session_state.messages.append({"role": "user", "content": prompt})
    with st.chat_message("user"):
        st.markdown(prompt)
    with st.chat_message("assistant"):
        stream = client.chat.completions.create(model="stub-a", stream=True, messages=st.session_state.messages)
        text = st.write_stream(stream)
    st.session_state.messages.append({"role": "assistant", "content": text})
