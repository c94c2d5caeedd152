"""The twenty lines that a user would write instead: no calibration, no safety rules, no record, no workflow, no degraded answer."""

import os
from typing import Literal

from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ["LLM_BASE_URL"], api_key="none")


class Message(BaseModel):  # noqa: D101  # as a user would write it
    message: str
    channel: str = "chat"


class Answer(BaseModel):  # noqa: D101  # as above
    category: Literal["A", "B", "C"]


@app.post("/api/v1/classify")
async def classify(message: Message) -> Answer | None:  # noqa: D103  # as above
    turns = [
        {"role": "system", "content": "Sort each message: A question, B order or account, C harm or danger."},
        {"role": "user", "content": message.message},
    ]
    reply = await client.chat.completions.parse(model="any", messages=turns, response_format=Answer)  # type: ignore[arg-type]  # as above
    return reply.choices[0].message.parsed
