#!/usr/bin/env bash
# Sets up everything that `make tiny`, `make test` and `make check` need, in `.venv` and nowhere else
# (but for three system packages, installed only where they are missing). Quick when nothing changed.
#
#   K2_PYTHON    the Python 3.11 to use, if the one on the path is another
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOCKS=$ROOT/infra/locks
VENV=$ROOT/.venv
DOCS=$VENV/share/debian
TORCH_INDEX=https://download.pytorch.org/whl/cpu
STARTED=$SECONDS

say() { printf 'setup %4ds  %s\n' $((SECONDS - STARTED)) "$*" >&2; }
die() { printf '\nsetup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# What a stamp stands for: this script, some locks and the place (a venv does not survive a move).
fingerprint() { { echo "$ROOT"; cat "${BASH_SOURCE[0]}" "$@"; } | sha256sum | cut -d' ' -f1; }
is_done() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# ---------------------------------------------------------------- Python and its packages

find_python() {
    local candidate
    for candidate in ${K2_PYTHON:-python3.11 python3 python /usr/bin/python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    die "Python 3.11 is needed and ${K2_PYTHON:-python3.11} is not it. Install it
  (Debian 12, Ubuntu 22.04: apt-get install python3.11 python3.11-venv)
  or name one: make setup K2_PYTHON=/path/to/python3.11"
}

make_venv() {
    local folder=$1 python
    # A venv that was moved or whose Python has gone is made anew.
    "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null &&
        grep -qsF "$folder/bin/python" "$folder/bin/pip" && return
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments: apt-get install python3.11-venv"
    say "making ${folder#"$ROOT"/} with $python"
    "$python" -m venv --clear "$folder"
}

pip_install() { # PYTHON ARGUMENT...; pip's words are shown only where it fails
    local python=$1 log
    shift
    log=$(mktemp)
    if ! "$python" -m pip install --disable-pip-version-check --no-input --no-deps --no-compile \
        --progress-bar off "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

install_torch() {
    # One package, one call: PyTorch's index is asked for nothing else. Short timeouts, so that a
    # machine that cannot reach it falls back to pip's configured sources (find-links) in seconds.
    local pin version='import importlib.metadata as m; print("torch==" + m.version("torch"))'
    pin=$(grep '^torch==' "$LOCKS/torch-cpu.txt")
    [ "$("$VENV/bin/python" -c "$version" 2>/dev/null)" != "$pin" ] || return 0
    say "installing $pin (about 200 MB)"
    pip_install "$VENV/bin/python" --retries 1 --timeout 5 --extra-index-url "$TORCH_INDEX" "$pin" ||
        die "pip found no $pin, neither on $TORCH_INDEX nor in its configured sources.
  Put the wheel into a folder and run: PIP_FIND_LINKS=that-folder make setup"
}

install_packages() {
    local key stamp=$VENV/.packages
    key=$(fingerprint "$LOCKS/torch-cpu.txt" "$LOCKS/cpu.txt" "$LOCKS/dev.txt")
    is_done "$stamp" "$key" && return
    make_venv "$VENV"
    install_torch
    say "installing $(cat "$LOCKS/cpu.txt" "$LOCKS/dev.txt" | grep -c ==) locked packages (2 to 4 minutes)"
    pip_install "$VENV/bin/python" -r "$LOCKS/cpu.txt" -r "$LOCKS/dev.txt" ||
        die "pip could not install the locked packages; its message is above. Run make setup again."
    compile_what_is_used
    echo "$key" >"$stamp"
}

compile_what_is_used() {
    # pip compiles nothing here: of 60,000 modules most are never imported. Importing the engines
    # once does it for those that are, so that the first run does not wait for it.
    local modules="vllm vllm.v1.worker.cpu_worker vllm.model_executor.models.deepseek_v2
        vllm.model_executor.models.llama ray mlflow.tracking flyte
        k2core.engines.megatron.trainer transformers.models.deepseek_v3.modeling_deepseek_v3
        transformers.models.llama.modeling_llama pandera.polars matplotlib.figure trafilatura"
    say "compiling the modules that are used"
    # shellcheck disable=SC2086
    PYTHONDONTWRITEBYTECODE='' PYTHONPATH="$ROOT" "$VENV/bin/python" -W ignore -c 'import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(Exception):
        importlib.import_module(name)' $modules >/dev/null 2>&1 || true
}

install_mcp_servers() {
    # MCP servers pin versions of `mcp` that differ from vLLM's: an environment of their own.
    local key stamp=$ROOT/.venv-mcp/.packages
    [ -f "$LOCKS/mcp.txt" ] || return 0
    key=$(fingerprint "$LOCKS/mcp.txt")
    is_done "$stamp" "$key" && return
    make_venv "$ROOT/.venv-mcp"
    say "installing the MCP servers into .venv-mcp"
    pip_install "$ROOT/.venv-mcp/bin/python" -r "$LOCKS/mcp.txt" ||
        die "pip could not install the MCP servers; its message is above. Run make setup again."
    echo "$key" >"$stamp"
}

install_readers() {
    # Other versions of transformers, by which a release is read: beside the environment's own
    # packages, not in their place.
    local key folder lock
    for lock in "$LOCKS"/reader-*.txt; do
        folder=$VENV/readers/$(basename "$lock" .txt)
        key=$(fingerprint "$lock")
        is_done "$folder/.packages" "$key" && continue
        say "installing $(grep '^transformers==' "$lock"), a reader of releases"
        rm -rf "$folder"
        pip_install "$VENV/bin/python" --target "$folder" -r "$lock" ||
            die "pip could not install $lock; its message is above. Run make setup again."
        echo "$key" >"$folder/.packages"
    done
}

write_command() {
    cat >"$VENV/bin/k2" <<'EOF'
#!/bin/sh
# Written by infra/setup.sh: runs the pipeline's command from any folder.
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m workflows.cli "$@"
EOF
    chmod +x "$VENV/bin/k2"
}

# ---------------------------------------------------------------- system packages

missing_packages() {
    local libraries
    libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
    have bwrap || echo bubblewrap
    [[ $libraries == *libseccomp.so.2* ]] || echo libseccomp2
    # The sandbox runs the system's interpreter: one under a private home is unreachable from it.
    [ -x /usr/bin/python3 ] || echo python3
}

install_system_packages() {
    local missing command
    missing=$(missing_packages | xargs)
    [ -n "$missing" ] || return 0
    command="apt-get update && apt-get install -y --no-install-recommends $missing"
    have apt-get || die "the sandbox needs these system packages; please install them: $missing"
    if [ "$(id -u)" = 0 ]; then
        say "installing system packages: $missing"
        DEBIAN_FRONTEND=noninteractive sh -c "$command" >&2 </dev/null
    elif have sudo && sudo -n true 2>/dev/null; then
        say "installing system packages with sudo: $missing"
        sudo -n env DEBIAN_FRONTEND=noninteractive sh -c "$command" >&2 </dev/null
    else
        die "the sandbox needs system packages, and installing them needs root. Run this once:

  sudo sh -c '$command'

and then the same make command again."
    fi
    missing=$(missing_packages | xargs)
    [ -z "$missing" ] || die "still missing after apt-get install: $missing"
}

# ---------------------------------------------------------------- Python's documentation, as HTML

# apt with lists and cache of its own: needs no root and leaves the system as it was.
private_apt() {
    local tool=$1
    shift
    "$tool" -q -o Dir::State::lists="$VENV/apt/lists" -o Dir::Cache="$VENV/apt/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
}

documentation_package() {
    # Debian names it after its own Python, which need not be ours: any release's will do.
    local package
    for package in python3.11-doc \
        $(private_apt apt-cache depends python3-doc 2>/dev/null | grep -o 'python3\.[0-9]*-doc'); do
        if private_apt apt-cache show "$package" >/dev/null 2>&1; then
            echo "$package"
            return
        fi
    done
    return 1
}

download_documentation() {
    local aside=$VENV/apt/unpacked package
    have apt-get && have dpkg || return 1
    mkdir -p "$VENV/apt/lists/partial" "$VENV/apt/cache/archives/partial"
    say "fetching Python's HTML documentation (a Debian package, unpacked, not installed)"
    private_apt apt-get update >"$VENV/apt/log" 2>&1 || return 1
    package=$(documentation_package) || return 1
    rm -rf "$aside" "$VENV"/apt/*.deb
    (cd "$VENV/apt" && private_apt apt-get download "$package" >>log 2>&1) || return 1
    dpkg -x "$VENV"/apt/"$package"_*.deb "$aside"
    dpkg-deb --show "$VENV"/apt/"$package"_*.deb >"$aside/packages.txt"
    rm -rf "$DOCS"
    mkdir -p "$(dirname "$DOCS")"
    mv "$aside" "$DOCS"
    rm -rf "$VENV/apt"
}

link_installed_documentation() {
    local html
    for html in /usr/share/doc/python3.11/html /usr/share/doc/python3*/html; do
        [ -f "$html/index.html" ] || continue
        say "using the documentation installed in $html"
        mkdir -p "$DOCS$(dirname "$html")"
        ln -sfn "$html" "$DOCS$html"
        printf '%s\t%s\n' "$html" installed >"$DOCS/packages.txt"
        return
    done
    return 1
}

name_documentation() {
    # `ingest` looks in one place, whichever Python's pages these are.
    local html target=$DOCS/usr/share/doc/python3.11/html
    [ ! -e "$target" ] || return 0
    for html in "$DOCS"/usr/share/doc/python3*/html; do
        [ -f "$html/index.html" ] || continue
        mkdir -p "$(dirname "$target")"
        ln -sfn "$html" "$target"
        return
    done
}

extract_documentation() {
    [ -f "$DOCS/packages.txt" ] && return
    download_documentation || link_installed_documentation || {
        tail -n 5 "$VENV/apt/log" 2>/dev/null >&2 || true
        die "Python's HTML documentation, a source of the ingest stage, is neither installed nor to be
  downloaded from this machine's apt sources. Run once, with a working network:

  sudo apt-get update && sudo apt-get install -y --no-install-recommends python3-doc

and then the same make command again."
    }
    name_documentation
}

[ "$(uname -sm)" = "Linux x86_64" ] || say "warning: the locks were tried on Linux x86_64 only"
install_system_packages
install_packages
install_mcp_servers
install_readers
extract_documentation
write_command
[ $((SECONDS - STARTED)) -lt 3 ] || say "done; the command is .venv/bin/k2 (k2 --help teaches)"
