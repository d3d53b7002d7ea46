"""The special tokens of K2's chat format, in the order of their ids."""

BOS, EOS, PAD = "[BOS]", "[EOS]", "[PAD]"
END, USER, ASSISTANT = "<|im_end|>", "<|im_user|>", "<|im_assistant|>"
SYSTEM, MIDDLE = "<|im_system|>", "<|im_middle|>"
CALLS_BEGIN, CALLS_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL_BEGIN, CALL_ARGUMENT = "<|tool_call_begin|>", "<|tool_call_argument_begin|>"
CALL_END = "<|tool_call_end|>"

SPECIAL_TOKENS: tuple[str, ...] = (
    BOS,
    EOS,
    PAD,
    END,
    USER,
    ASSISTANT,
    SYSTEM,
    MIDDLE,
    CALLS_BEGIN,
    CALLS_END,
    CALL_BEGIN,
    CALL_ARGUMENT,
    CALL_END,
)
