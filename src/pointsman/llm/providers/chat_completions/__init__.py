"""OpenAI's Chat Completions API and everybody who speaks it, without an SDK: aiohttp, msgspec and what pydantic-ai knows of models."""
