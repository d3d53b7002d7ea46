r"""K2's chat format for `apply_chat_template` of transformers, vLLM and others.

It takes what OpenAI's clients send: content as text, parts, objects or absent; developer messages;
tool messages without a name; calls whose id is of any form, repeated or absent. Ids become K2's,
counted over the dialogue, and a tool's message answers the first open call of its id.

Nothing sent becomes a special token: where text spells one, `GUARD` goes into its spelling. A
tokenizer of this pipeline finds special tokens first and then drops the guard (its normalizer), so
what remains are the very tokens of the text, as in training
(docs/decisions/0013-guarded-template.md).
"""

import json
from collections.abc import Iterable

from tokenizers import normalizers

GUARD = "\ufdd0"
"""A noncharacter, which Unicode reserves for use inside of a program."""

DROP_GUARD = normalizers.Replace(GUARD, "")
"""The normalizer of a tokenizer."""

CHAT_TEMPLATE = """\
{%- macro plain(value) -%}
{{ value | replace('<|', '<\\ufdd0|') | replace('[BOS]', '[\\ufdd0BOS]')
    | replace('[EOS]', '[\\ufdd0EOS]') | replace('[PAD]', '[\\ufdd0PAD]') }}
{%- endmacro -%}
{%- macro json(value) -%}
{{ plain(value | tojson(separators=(',', ':'))) }}
{%- endmacro -%}
{%- macro text(content) -%}
{%- set listed = content is iterable and content is not string and content is not mapping -%}
{%- set read = namespace(text='', parts=listed) -%}
{%- if listed -%}
{%- for part in content -%}
{%- if part is string -%}
{%- set read.text = read.text ~ part -%}
{%- elif part is mapping and part.get('text') is string and
    part.get('type', 'text') in ('text', 'input_text', 'output_text') -%}
{%- set read.text = read.text ~ part['text'] -%}
{%- elif part is mapping and part.get('refusal') is string -%}
{%- set read.text = read.text ~ part['refusal'] -%}
{%- elif part is mapping and part.get('type') in ('image', 'image_url', 'input_image', 'audio',
    'audio_url', 'input_audio', 'video', 'video_url', 'file', 'input_file') -%}
{{ raise_exception('content of type ' ~ part['type'] ~ ': this model reads text alone') }}
{%- else -%}
{%- set read.parts = false -%}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if read.parts -%}
{{ plain(read.text) }}
{%- elif content is string -%}
{{ plain(content) }}
{%- elif content is mapping and content.get('type') == 'text' and content.get('text') is string -%}
{{ plain(content['text']) }}
{%- elif content is defined and content is not none -%}
{{ json(content) }}
{%- endif -%}
{%- endmacro -%}
{%- set said = namespace(tools=[], calls=[], answered=[], open=none, last=none) -%}
{%- if tools -%}
{%- for tool in tools -%}
{%- set function = tool.get('function') or tool -%}
{%- set said.tools = said.tools + [{'type': 'function', 'function': {
    'name': function.get('name') or '', 'description': function.get('description') or '',
    'parameters': function.get('parameters') or {}}}] -%}
{%- endfor -%}
<|im_system|>tool_declare<|im_middle|>{{ json(said.tools) }}<|im_end|>
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
<|im_user|>user<|im_middle|>{{ text(message['content']) }}
{%- elif message['role'] == 'assistant' -%}
<|im_assistant|>assistant<|im_middle|>{{ text(message['content']) }}
{%- if message.get('tool_calls') -%}
<|tool_calls_section_begin|>
{%- for call in message['tool_calls'] -%}
{%- set function = call.get('function') or call -%}
{%- set name = function.get('name') or '' -%}
{%- set given = function.get('arguments') -%}
{%- set id = 'functions.' ~ name ~ ':' ~ (said.calls | length) -%}
{%- set key = none if call.get('id') is none else call['id'] ~ '' -%}
{%- set said.calls = said.calls + [{'id': id, 'name': name, 'key': key}] -%}
<|tool_call_begin|>{{ plain(id) }}<|tool_call_argument_begin|>
{%- if given is string and given | trim -%}
{{ plain(given) }}
{%- elif given is string or given is none -%}
{}
{%- else -%}
{{ json(given) }}
{%- endif -%}
<|tool_call_end|>
{%- endfor -%}
<|tool_calls_section_end|>
{%- endif -%}
{%- elif message['role'] in ('tool', 'function') -%}
{%- set name = message.get('name') -%}
{%- set key = none if message.get('tool_call_id') is none else message['tool_call_id'] ~ '' -%}
{%- set said.open = none -%}
{%- set said.last = none -%}
{%- for call in said.calls -%}
{%- if call['key'] == key and key is not none or
    (call['key'] is none or key is none) and (not name or name == call['name']) -%}
{%- set said.last = call -%}
{%- if said.open is none and call['id'] not in said.answered -%}
{%- set said.open = call -%}
{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- set call = said.open or said.last or {'id': key or name or 'tool', 'name': name or 'tool'} -%}
{%- set said.answered = said.answered + [call['id']] -%}
<|im_system|>{{ plain(call['name']) }}<|im_middle|>
{{- '## Return of ' ~ plain(call['id']) ~ '\\n' ~ text(message['content']) }}
{%- elif message['role'] == 'developer' -%}
<|im_system|>system<|im_middle|>{{ text(message['content']) }}
{%- else -%}
<|im_system|>{{ plain(message['role']) }}<|im_middle|>{{ text(message['content']) }}
{%- endif -%}
<|im_end|>
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_assistant|>assistant<|im_middle|>
{%- endif -%}
"""
"""The template's text."""

_GUARDED = "| replace('[PAD]', '[\\ufdd0PAD]')"


def guard_also(special: Iterable[str]) -> str:
    """The template for a tokenizer with special tokens of its own beside K2's, as K2's `[EOT]`.

    What begins with `<|` is guarded already; of one character nothing can be.
    """
    more = "".join(
        f" | replace({json.dumps(token, ensure_ascii=False)}, "
        f"{json.dumps(token[0] + GUARD + token[1:], ensure_ascii=False)})"
        for token in special
        if len(token) > 1 and not token.startswith("<|")
    )
    return CHAT_TEMPLATE.replace(_GUARDED, _GUARDED + more, 1)
