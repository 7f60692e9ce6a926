"""Hello: one service, called and sent to.

Run it with ``trionet run examples/hello.py``.
"""

import trio

from trionet import Node, Service, command, spec


class Greeter(Service):
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting
        self.greeted = 0

    @command
    async def greet(self, who: str) -> str:
        self.greeted += 1
        return f"{self.greeting}, {who}!"


async def main(node: Node) -> None:
    greeter = await node.start(spec(Greeter, "Hello"), name=".greeter")
    print(await greeter.greet("Trio"))  # typed: an editor completes it, mypy and pyright check it
    await greeter.greet.send("all")  # one-way, typed as well
    print(await node.call(".greeter", "greet", "world"))  # by its name
    with trio.fail_after(0.5):
        print(await greeter.greet("you"))  # the deadline goes along
