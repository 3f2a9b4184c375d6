"""Budgets on the wire."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from pointsman.budgets.rows import Budget, Period, SubjectType, Unit
from pointsman.kit.ids import ChosenId
from pointsman.web.wire import NOT_BLANK, Body, Moment, Read

_MOST = 10**14
_PLACES = 9


def _counted(value: float) -> int | float:
    if Decimal(str(value)).as_tuple().exponent < -_PLACES:  # type: ignore[operator] - it is finite
        raise ValueError(f"An amount has at most {_PLACES} decimals.")
    return value


Amount = Annotated[
    int | float,
    Field(
        ge=0,
        le=_MOST,
        allow_inf_nan=False,
        description="Tokens, or US dollars, a period; 0 allows nothing.",
        # On a union pydantic writes the bounds as words that JSON Schema does not know.
        json_schema_extra={"minimum": 0, "maximum": _MOST},
    ),
    AfterValidator(_counted),
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), Field(json_schema_extra=NOT_BLANK)]


class BudgetCreate(Body):
    """A new budget. It counts calls that begin once it is there."""

    id: ChosenId | None = Field(default=None, description="Chosen by the caller, else generated.")
    name: Name | None = None
    subject_type: SubjectType
    subject_id: ChosenId = Field(description="Id of the key, tenant, user or agent; a key's successors by rotation share its budget.")
    unit: Unit
    period: Period = Field(description="A calendar day or month in UTC.")
    amount: Amount
    tenant_id: ChosenId | None = Field(
        default=None, description="For operators: whose user it is, or which tenant's use of the agent counts; left out, everybody's use."
    )

    @field_validator("amount", mode="before")
    @classmethod
    def _a_number(cls, value: Any) -> Any:
        return _number(value)

    @model_validator(mode="after")
    def _fits(self) -> BudgetCreate:
        if self.unit == "tokens":
            require_whole(self.amount)
        if self.subject_type == "key" and not is_key_id(self.subject_id):
            raise ValueError("The subject_id of a key is its number, as `GET /v2/keys` shows it.")
        if self.subject_type == "tenant" and self.tenant_id not in {None, self.subject_id}:
            raise ValueError("For a budget of a tenant leave tenant_id out: subject_id names the tenant.")
        return self


class BudgetPatch(Body):
    """What to change, a JSON merge patch; `amount` takes effect within a second, also below what is spent."""

    # The defaults are never read: `model_fields_set` says what was sent.
    name: Name | None = Field(default_factory=str)
    amount: Amount = Field(default_factory=int)

    @field_validator("amount", mode="before")
    @classmethod
    def _a_number(cls, value: Any) -> Any:
        return _number(value)


class BudgetRead(Read):
    """A budget and where it stands: `remaining` is what neither is spent nor held by calls under way."""

    id: str
    name: str | None
    subject_type: SubjectType
    subject_id: str
    unit: Unit
    period: Period
    amount: int | float
    spent: int | float
    reserved: int | float
    remaining: int | float
    window_started_at: Moment
    resets_at: Moment
    tenant_id: str | None
    by_operator: bool
    is_active: bool
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, budget: Budget) -> BudgetRead:
        """Shape a row."""
        fields: dict[str, Any] = {name: getattr(budget, name) for name in cls.model_fields if name != "remaining"}
        fields["remaining"] = max(Decimal(0), budget.amount - budget.spent - budget.reserved)
        for name in ("amount", "spent", "reserved", "remaining"):
            fields[name] = on_the_wire(fields[name])
        return cls.model_validate(fields | {"tenant_id": budget.tenant_id or None})


def on_the_wire(amount: Decimal) -> int | float:
    """Whole numbers as such."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def require_whole(amount: float) -> None:
    """Raises ValueError."""
    if amount != int(amount):
        raise ValueError("An amount of tokens is a whole number.")


def is_key_id(text: str) -> bool:
    """Whether it can be the number of a key."""
    return text.isascii() and text.isdigit() and 0 < int(text) < 2**31 and str(int(text)) == text


def _number(value: Any) -> Any:
    """JSON's own numbers only: neither true nor "100" is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("The amount is a number.")  # noqa: TRY004 - pydantic makes a field's error of it
    return value
