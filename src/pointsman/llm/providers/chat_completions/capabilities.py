"""What a model takes and how it wants to be asked, as pydantic-ai knows it, looked up once for each name.

The SDK-backed adapter asks pydantic-ai's providers for the same, which would load the SDK; `tests/llm/test_differential.py` compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from pydantic_ai.profiles import DEFAULT_PROMPTED_OUTPUT_TEMPLATE, DEFAULT_THINKING_TAGS, ModelProfile, merge_profile
from pydantic_ai.profiles._family import vendor_family_model_profile
from pydantic_ai.profiles._special_tokens import special_token_route_profile
from pydantic_ai.profiles.amazon import amazon_model_profile
from pydantic_ai.profiles.groq import groq_model_profile
from pydantic_ai.profiles.mistral import mistral_model_profile
from pydantic_ai.profiles.openai import (
    SAMPLING_PARAMS,
    OpenAIJsonSchemaTransformer,
    OpenAIModelProfile,
    _OpenAIJsonSchemaTransformer,  # pyright: ignore[reportPrivateUsage] - what OpenAI's own models are asked with
    openai_model_profile,
)

from pointsman.llm.names import Provider

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
PDF = "application/pdf"

# The class of Chat Completions models drops it for all of them.
_NEVER_SENT = frozenset({"top_k"})
_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Capabilities(msgspec.Struct, frozen=True):
    """One model. `efforts` says what each reasoning effort is sent as; `transformer` makes schemas that it accepts."""

    system_role: str
    max_tokens: str
    native_schema: bool
    json_object: bool
    schema_in_instructions: bool
    schema_instructions: str
    strict_tools: bool
    transformer: Any
    reasons: bool
    efforts: dict[str, str | None]
    unsupported: frozenset[str]
    unsupported_while_reasoning: frozenset[str]
    forcing_refused: str
    forcing_refused_while_reasoning: str
    thinks_unasked: bool
    media_types: frozenset[str]
    thinking_tags: tuple[str, str]
    thoughts_as_user: bool
    skips_leading_whitespace: bool
    breaks_tokens: bool


def look_up(provider: Provider, model: str) -> Capabilities:
    """What is known of a provider's model."""
    profile: dict[str, Any] = {**_profile(provider, model)}
    get = profile.get
    always = _NEVER_SENT | frozenset(get("openai_unsupported_model_settings", ()))
    sampling = frozenset(SAMPLING_PARAMS) if get("openai_supports_reasoning", False) else frozenset[str]()
    forced = get("supports_forced_tool_choice", True)
    return Capabilities(
        system_role=get("openai_system_prompt_role") or "system",
        max_tokens="max_completion_tokens"
        if provider.built_in and get("openai_chat_supports_max_completion_tokens", True)
        else "max_tokens",
        native_schema=get("supports_json_schema_output", False),
        json_object=get("supports_json_object_output", False),
        schema_in_instructions=get("native_output_requires_schema_in_instructions", False),
        schema_instructions=get("prompted_output_template", DEFAULT_PROMPTED_OUTPUT_TEMPLATE),
        strict_tools=get("openai_supports_strict_tool_definition", True),
        transformer=get("json_schema_transformer"),
        reasons=get("supports_thinking", False),
        efforts={effort: _nearest(effort, get("openai_reasoning_efforts")) for effort in ("low", "medium", "high")},
        unsupported=always | sampling if _always_reasons(profile) else always,
        unsupported_while_reasoning=always | sampling,
        forcing_refused="" if forced else _FORCING_REFUSED,
        forcing_refused_while_reasoning=_FORCING_REFUSED
        if not forced
        else ""
        if get("supports_forced_tool_choice_with_thinking", True)
        else _FORCING_REFUSED_WHILE_REASONING,
        thinks_unasked=get("thinking_enabled_by_default", False),
        media_types=_media_types(provider, profile),
        thinking_tags=get("thinking_tags", DEFAULT_THINKING_TAGS),
        thoughts_as_user=get("mimics_assistant_message_formatting", False),
        skips_leading_whitespace=get("ignore_streamed_leading_whitespace", False),
        breaks_tokens=get("may_tokenize_special_tokens_in_content", False),
    )


_FORCING_REFUSED = "This model does not support forcing tool use. Use `tool_choice='auto'` instead."
_FORCING_REFUSED_WHILE_REASONING = "This model does not support forcing tool use while reasoning is on. Use `tool_choice='auto'` instead."


def _profile(provider: Provider, model: str) -> ModelProfile:
    if provider.built_in:
        transformer = OpenAIJsonSchemaTransformer if model.startswith("ft:") else _OpenAIJsonSchemaTransformer
        return merge_profile(
            openai_model_profile(model),
            OpenAIModelProfile(json_schema_transformer=transformer),
            special_token_route_profile("openai", model),
        )
    family = vendor_family_model_profile(model, overrides=_FAMILIES) or openai_model_profile(model)
    return merge_profile(
        OpenAIModelProfile(json_schema_transformer=OpenAIJsonSchemaTransformer),
        family,
        special_token_route_profile("openai-compatible", model),
    )


def _mistral(model: str) -> ModelProfile:
    profile = mistral_model_profile(model)
    return profile if model.startswith("magistral") else merge_profile(openai_model_profile(model), profile)


_FAMILIES: dict[str, Callable[[str], ModelProfile | None]] = {
    "bedrock": amazon_model_profile,
    "groq": groq_model_profile,
    "mistral": _mistral,
    "mistralai": _mistral,
}


def _nearest(effort: str, accepted: frozenset[str] | None) -> str | None:
    """The least accepted effort that is not below the asked one, else the greatest; None where there is none."""
    if accepted is None:
        return effort
    known = sorted(accepted - {"none", "max"}, key=_ORDER.index)
    return next((one for one in known if _ORDER.index(one) >= _ORDER.index(effort)), known[-1] if known else None)


def _always_reasons(profile: dict[str, Any]) -> bool:
    """Whether the model reasons even when it is not asked to, or cannot be kept from it."""
    efforts = profile.get("openai_reasoning_efforts")
    can_stop = "none" in efforts if efforts is not None else profile.get("openai_supports_reasoning_effort_none", False)
    return not can_stop or profile.get("thinking_enabled_by_default", False)


def _media_types(provider: Provider, profile: dict[str, Any]) -> frozenset[str]:
    limits = provider.limits
    images = limits.context_images and profile.get("supports_image_input", True)
    pdf = (provider.built_in or limits.context_pdf) and provider.name != "azure" and profile.get("supports_document_input", True)
    documents = cast("frozenset[str]", profile.get("supported_document_media_types", frozenset({PDF})))
    return (IMAGES if images else frozenset[str]()) | (documents & {PDF} if pdf else frozenset[str]())
