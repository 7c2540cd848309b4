"""The base of all models of the public spec: frozen, strict, with an error code per field.

A refused field becomes a pydantic error whose `loc` names the field and whose `type` is a stable
code, so that the HTTP layer can point at it without repeating the value.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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

from app.core.refusal_words import nearest, refusal_of

_MAX_SHOWN_KEY = 100
_MAX_REFUSED = 150
"""The number of unknown fields that are reported: each suggestion costs time."""


@dataclass(frozen=True)
class Refusal:
    """The reason why a field that users know from Ultralytics is refused."""

    code: str
    message: str


@dataclass(frozen=True)
class SpecProblem:
    """One error in a spec. `loc` is the field's path within the model that was checked."""

    loc: tuple[str | int, ...]
    code: str
    message: str


class SpecModel(BaseModel):
    """Base of all spec models.

    A subclass can list fields that it refuses with a reason, and other names for its fields.
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
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Pointers to fields that users look for here, by name."""

    @model_validator(mode="wrap")
    @classmethod
    def _explain_refused_fields(
        cls, data: object, handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        """Report refused and unknown fields together with the errors of the known ones."""
        fields = cls.model_fields  # looking this attribute up takes longer than all the rest
        if not isinstance(data, Mapping) or data.keys() <= fields.keys():
            return handler(data)
        unknown = (key for key in data if key not in fields)
        refused = [cls._refuse(key) for key in islice(unknown, _MAX_REFUSED)]
        known = {key: value for key, value in data.items() if key in fields}
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
        if shown in cls.elsewhere:
            return f"There is no such field here; it is {cls.elsewhere[shown]}."
        guess = cls.meant_as.get(shown.lower()) or nearest(shown, list(cls.model_fields))
        return "There is no such field here." + (f' Did you mean "{guess}"?' if guess else "")


def problems_as_error(title: str, problems: Iterable[SpecProblem]) -> ValidationError:
    """Return the pydantic error for these problems. Enclosing validators extend the paths."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                type=PydanticCustomError(problem.code, problem.message), loc=problem.loc, input=None
            )
            for problem in problems
        ],
        hide_input=True,
    )


def as_one_error(code: str, message: str) -> WrapValidator:
    """Return a validator that reports any error of the type as one error at the field itself.

    Otherwise a union reports one error per member, at paths that the JSON does not have.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON goes in
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(code, message) from None

    return WrapValidator(validate)


def without_tags(discriminator: str, tags: Sequence[str]) -> WrapValidator:
    """Return a validator that removes the tag of a tagged union from error paths.

    Pydantic adds the chosen member to the path, a level that the JSON does not have, and repeats an
    unknown tag. This validator lists the known tags at the discriminator instead.
    """
    known = ", ".join(f'"{tag}"' for tag in tags)

    def without_tag(problem: SpecProblem) -> SpecProblem:
        if not problem.loc and problem.code.startswith("union_tag"):
            return SpecProblem((discriminator,), "unknown_choice", f"It is one of {known}.")
        has_tag = problem.loc[:1] and problem.loc[0] in tags
        return replace(problem, loc=problem.loc[1:]) if has_tag else problem

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON goes in
        try:
            return handler(value)
        except ValidationError as error:
            raise problems_as_error(error.title, map(without_tag, _problems_of(error))) from None

    return WrapValidator(validate)


def keys_as_fields() -> WrapValidator:
    """Return a validator for a mapping that reports a wrong key at the key itself.

    Pydantic adds a level `[key]` that the JSON does not have.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON goes in
        try:
            return handler(value)
        except ValidationError as error:
            problems = (
                replace(problem, loc=problem.loc[:1]) if problem.loc[1:] == ("[key]",) else problem
                for problem in _problems_of(error)
            )
            raise problems_as_error(error.title, problems) from None

    return WrapValidator(validate)


def refuse_if(condition: Callable[[Any], bool], code: str, message: str) -> Callable[[Any], Any]:
    """Return a validator function that refuses a value for which the condition is true."""

    def validate(value: Any) -> Any:  # noqa: ANN401 - the annotated type is the caller's
        if condition(value):
            raise PydanticCustomError(code, message)
        return value

    return validate


def _problems_of(error: ValidationError) -> list[SpecProblem]:
    return [
        SpecProblem(tuple(_shown(part) for part in found["loc"]), code.replace("-", "_"), message)
        for found in error.errors(include_url=False)
        for code, message in (refusal_of(found),)
    ]


def _shown(key: object) -> str:
    """Return the key as short text that every encoder accepts: a lone surrogate becomes `?`."""
    return str(key)[:_MAX_SHOWN_KEY].encode("utf-8", "replace").decode("utf-8")
