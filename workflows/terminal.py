"""The terminal side of `k2 chat`: lines with history, commands, Ctrl-C and Ctrl-D."""

import atexit
import sys
from pathlib import Path

import typer

from infra.home import home
from workflows.conversation import ChatDialogue, NoAnswerError, save_dialogue
from workflows.show import show_line

_HELP = """\
/help            this
/tools           what the model may call
/system TEXT     set the system prompt; without TEXT, show it
/reset           forget the dialogue
/save FILE       append the dialogue to FILE, a line of JSON that `k2 validate` reads
/quit, Ctrl-D    end
Ctrl-C stops an answer, or clears what you typed. A line that begins with // is said with one /."""


def talk_here(conversation: ChatDialogue) -> None:
    """Until Ctrl-D; a failed answer ends nothing, nor does Ctrl-C at any moment."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        _remember_lines()
    while True:
        try:
            line = input("> " if is_terminal else "").strip()
            if line in ("/quit", "/exit"):
                return
            _take(conversation, line)
        except EOFError:
            if is_terminal:
                typer.echo()
            return
        except KeyboardInterrupt:
            if not is_terminal:
                return
            typer.echo("\n(Ctrl-D ends)", err=True)
        except NoAnswerError as error:
            typer.secho(f"(no answer: {error}; the dialogue is kept)", fg="yellow", err=True)


def _take(conversation: ChatDialogue, line: str) -> None:
    if line.startswith("/") and not line.startswith("//"):
        obey(conversation, line)
    elif line:
        conversation.ask(line.removeprefix("/"))


def obey(conversation: ChatDialogue, line: str) -> None:
    """A command."""
    command, _, rest = line.partition(" ")
    rest = rest.strip()
    if command == "/help":
        show_line(_HELP)
    elif command == "/tools":
        for tool in conversation.toolbox.specs:
            named = ", ".join(tool.parameters.get("properties") or {})  # type: ignore[arg-type]
            show_line(f"{tool.name}({named})  {tool.description}")
    elif command == "/system":
        if rest:
            conversation.system = rest
        show_line(conversation.system or "(no system prompt)", "dim")
    elif command == "/reset":
        conversation.messages.clear()
        show_line("(a new dialogue)", "dim")
    elif command == "/save":
        _save(conversation, rest)
    else:
        show_line(f"no command {command}: /help lists them", "yellow")


def _save(conversation: ChatDialogue, rest: str) -> None:
    if not rest:
        show_line("/save FILE: say where", "yellow")
        return
    try:
        save_dialogue(conversation, Path(rest).expanduser())
    except OSError as error:
        show_line(f"{rest}: {error.strerror}", "yellow")
    else:
        show_line(f"saved to {rest}", "dim")


def _remember_lines() -> None:
    """Line editing, and the arrow keys' history over sessions."""
    import readline

    path = home() / "chat_history"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        readline.read_history_file(path)
    except OSError:
        readline.clear_history()
    readline.set_history_length(1000)
    atexit.register(readline.write_history_file, path)


def show_part(text: str) -> None:
    """A part of an answer as it comes: neither markup nor a terminal's control code."""
    sys.stdout.write("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))
    sys.stdout.flush()
