# SPDX-License-Identifier: Apache-2.0
"""A page of docs/ as it is printed: its commands and files, with what is a test's own in the places of what stands for it."""
import re
import shlex

from local_stack import ROOT


class Page:
    def __init__(self, name):
        self.text = (ROOT / "docs" / name).read_text()
        self.commands = [shlex.split(line, comments=True)[1:] for block in self.blocks("sh") for line in block.splitlines()]

    def blocks(self, language):
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)

    def lines(self, command, mine):
        """The words behind `strongroom` of each line that begins so; `mine` is {word: other}."""
        begin = command.split()
        found = [[mine.get(word, word) for word in line] for line in self.commands if line[:len(begin)] == begin]
        assert found, f"no page prints '{command}'"
        return found
