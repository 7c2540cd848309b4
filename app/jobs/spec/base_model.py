"""What every model of the public spec has in common: frozen, strict, each refusal tied to a field.

A refused field comes out as a pydantic error whose `loc` names it and whose `type` is a stable
code, so that the HTTP layer can point at it without ever repeating what was sent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

_MAX_SHOWN_KEY = 100
_MAX_REFUSED = 150
"""Unknown fields that are told apart: a guess at what was meant costs time for each."""


@dataclass(frozen=True)
class Refusal:
    """Why a field that users know from elsewhere is not accepted here."""

    code: str
    message: str


@dataclass(frozen=True)
class SpecProblem:
    """One thing wrong with a spec; `loc` is the field's path within the model that was checked."""

    loc: tuple[str | int, ...]
    code: str
    message: str


class SpecModel(BaseModel):
    """Base of all spec models.

    A subclass may name fields that it refuses with a reason, and words that mean one of its fields.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    refusals: ClassVar[Mapping[str, Refusal]] = {}
    meant_as: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="wrap")
    @classmethod
    def _explain_refused_fields(
        cls, data: object, handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        """Report refused and unknown fields beside the errors of the known ones, in one answer."""
        if not isinstance(data, Mapping):
            return handler(data)
        unknown = (key for key in data if key not in cls.model_fields)
        refused = [cls._refuse(key) for key in islice(unknown, _MAX_REFUSED)]
        if not refused:
            return handler(data)
        known = {key: value for key, value in data.items() if key in cls.model_fields}
        try:
            handler(known)
        except ValidationError as error:
            raise problems_as_error(cls.__name__, [*refused, *_problems_of(error)]) from None
        raise problems_as_error(cls.__name__, refused)

    @classmethod
    def _refuse(cls, key: object) -> SpecProblem:
        shown = _shown(key)
        refusal = cls.refusals.get(shown) or Refusal(
            "unknown_field", cls._unknown_field_message(shown)
        )
        return SpecProblem((shown,), refusal.code, refusal.message)

    @classmethod
    def _unknown_field_message(cls, shown: str) -> str:
        close = get_close_matches(shown, cls.model_fields, n=1)
        guess = cls.meant_as.get(shown.lower()) or next(iter(close), None)
        return "There is no such field here." + (f' Did you mean "{guess}"?' if guess else "")


def problems_as_error(title: str, problems: Iterable[SpecProblem]) -> ValidationError:
    """Return the pydantic error for these problems; around a raise in a validator, paths grow."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                type=PydanticCustomError(each.code, each.message), loc=each.loc, input=None
            )
            for each in problems
        ],
        hide_input=True,
    )


def as_one_error(code: str, message: str) -> WrapValidator:
    """Return a validator that answers any failure of the type with one error at the field itself.

    A union otherwise reports an error for each member, at paths that the JSON does not have.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON goes in
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(code, message) from None

    return WrapValidator(validate)


def without_tags(discriminator: str, tags: Sequence[str]) -> WrapValidator:
    """Return a validator that takes the tag of a tagged union out of the paths of errors.

    Pydantic names the chosen member there, which the JSON has no level for, and repeats a tag that
    it does not know: this says which there are, at the discriminator.
    """
    known = ", ".join(f'"{tag}"' for tag in tags)

    def told(problem: SpecProblem) -> SpecProblem:
        if not problem.loc and problem.code.startswith("union_tag"):
            return SpecProblem((discriminator,), "unknown_choice", f"It is one of {known}.")
        has_tag = problem.loc[:1] and problem.loc[0] in tags
        return replace(problem, loc=problem.loc[1:]) if has_tag else problem

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON goes in
        try:
            return handler(value)
        except ValidationError as error:
            raise problems_as_error(error.title, map(told, _problems_of(error))) from None

    return WrapValidator(validate)


def keys_as_fields() -> WrapValidator:
    """Return a validator for a mapping that reports a wrong key at the key itself.

    Pydantic adds a level `[key]`, which the JSON does not have.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON goes in
        try:
            return handler(value)
        except ValidationError as error:
            problems = (
                replace(each, loc=each.loc[:1]) if each.loc[1:] == ("[key]",) else each
                for each in _problems_of(error)
            )
            raise problems_as_error(error.title, problems) from None

    return WrapValidator(validate)


def refuse_if(condition: Callable[[Any], bool], code: str, message: str) -> Callable[[Any], Any]:
    """Return a validator function that refuses a value for which the condition holds."""

    def validate(value: Any) -> Any:  # noqa: ANN401 - the annotated type is the caller's
        if condition(value):
            raise PydanticCustomError(code, message)
        return value

    return validate


def _problems_of(error: ValidationError) -> list[SpecProblem]:
    return [
        SpecProblem(tuple(_shown(part) for part in each["loc"]), each["type"], each["msg"])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _shown(key: object) -> str:
    """Return the key as bounded text that every encoder accepts: a lone surrogate becomes `?`."""
    return str(key)[:_MAX_SHOWN_KEY].encode("utf-8", "replace").decode("utf-8")
