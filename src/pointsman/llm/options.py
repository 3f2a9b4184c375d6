"""The settings of a model call that an agent or a request may give, whatever the provider."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# JSON's true is no 1, and "0.5" no number.
Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
StopSequence = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ModelSettings(BaseModel):
    """Everything that a provider may be told about how to answer; what is not set is the provider's default.

    Not every model takes every setting: one that would have no effect is refused (`model-setting-unsupported`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Number | None = Field(default=None, ge=0, le=2, description="Randomness; 0 is the least.")
    max_tokens: Whole | None = Field(
        default=None, ge=1, le=10_000_000, description="Most tokens of the answer; a provider lowers it to its model's maximum."
    )
    top_p: Number | None = Field(default=None, gt=0, le=1, description="Nucleus sampling: the share of probability considered.")
    top_k: Whole | None = Field(default=None, ge=1, le=10_000, description="Only the k most likely tokens are considered.")
    stop_sequences: tuple[StopSequence, ...] | None = Field(
        default=None, min_length=1, max_length=16, description="Texts at which the answer stops."
    )
    seed: Whole | None = Field(default=None, ge=-(2**31), lt=2**31, description="Asks for repeatable sampling.")
    presence_penalty: Number | None = Field(default=None, ge=-2, le=2, description="Discourages topics already mentioned.")
    frequency_penalty: Number | None = Field(default=None, ge=-2, le=2, description="Discourages repeating words.")
    parallel_tool_calls: Flag | None = Field(default=None, description="Whether the model may call several tools at once.")
    tool_choice: Literal["auto", "none", "required"] | None = Field(
        default=None, description="Whether tools are called; `required` holds for the first model call of a turn, then `auto`."
    )

    def given(self) -> dict[str, object]:
        """The settings that were given, as JSON: what `ModelCall.settings` takes."""
        return self.model_dump(mode="json", exclude_none=True)
