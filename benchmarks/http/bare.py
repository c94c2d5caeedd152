"""A FastAPI route that answers with a constant: what the framework costs alone."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.post("/api/v1/classify")
async def classify() -> dict[str, str]:
    """Answer."""
    return {"category": "informational"}
