"""`halow-gateway completion`: what a shell needs to complete commands, options and names of meters."""

import click
from click.shell_completion import ShellComplete, get_completion_class

PROGRAM, VARIABLE = "halow-gateway", "_HALOW_GATEWAY_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that lets SHELL complete commands, options and names of meters.

    bash: halow-gateway completion bash > /etc/bash_completion.d/halow-gateway, zsh: into a file _halow-gateway of
    $fpath, fish: into ~/.config/fish/completions/halow-gateway.fish. Names of meters need a user who may read them.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    # Not the class's own: it runs the shell that is here to ask its version, and the script may be for another machine.
    click.echo(ShellComplete.source(kind(root, {}, PROGRAM, VARIABLE)))
