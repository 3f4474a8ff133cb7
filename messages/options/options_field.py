"""How messages hold the options of a step: written once and read once per definition, not once per call.

Every call of a step carries its options, which are the same for all calls of a definition. So their JSON text is kept
for as long as they are used, and passes through messages as a user's value does (see
``greenroom.messages.codecs.codec``). The text leaves out what equals the default.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import MARK, MessageValues, SplicedValues
from greenroom.messages.options.policy import StepOptions

_KEPT: Final = 1024
"""Most options whose text is kept, and most texts whose options are kept."""
_LONG_BYTES: Final = 4096
"""Longer texts are not kept."""

_texts: Final[OrderedDict[int, tuple[StepOptions, JsonText]]] = OrderedDict()
"""By the id of the options, which are kept so that no other object gets the id."""


class OptionsField:
    """How a field holds a step's options."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        options = handler(source)
        number = core_schema.with_info_after_validator_function(_received, core_schema.int_schema(strict=True))
        return core_schema.json_or_python_schema(
            json_schema=core_schema.union_schema([number, options], mode="left_to_right"),
            python_schema=options,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _written, info_arg=True, return_schema=core_schema.any_schema()
            ),
        )


Options: TypeAlias = Annotated[StepOptions, OptionsField()]
"""The options of a step, as messages hold them."""


def _received(number: int, info: ValidationInfo) -> StepOptions:
    values = info.context
    if not isinstance(values, MessageValues) or not 0 <= number < len(values):
        msg = "a value is not where it should be"
        raise ValueError(msg)
    text = values[number].text
    return _read(text) if len(text) <= _LONG_BYTES else StepOptions.model_validate_json(text)


@lru_cache(_KEPT)
def _read(text: bytes) -> StepOptions:
    return StepOptions.model_validate_json(text)


def _written(options: StepOptions, info: core_schema.SerializationInfo) -> Any:
    values = info.context
    if not isinstance(values, (MessageValues, SplicedValues)):
        return options.model_dump(mode=info.mode)
    values.append(text_of(options))
    return MARK if type(values) is SplicedValues else len(values) - 1


def text_of(options: StepOptions) -> JsonText:
    """Return the JSON of options, without what equals the default. Thread-safe."""
    kept = _texts.get(id(options))
    if kept is not None:
        return kept[1]
    text = JsonText(options.model_dump_json(exclude_defaults=True).encode())
    if len(text) <= _LONG_BYTES:
        _texts[id(options)] = options, text
        if len(_texts) > _KEPT:
            _texts.popitem(last=False)
    return text
