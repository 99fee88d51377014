"""Tree of claims down to the entries, rows, runs and files behind them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from merginguriel.text.tables import plain, true_minus

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.claims.evidence_tree import Node
    from merginguriel.knowledge.parse.skills import Skill

SIGNS = {"supported": "●", "under noise": "≈", "contested": "≠", "superseded": "→", "refuted": "✗"}


class WhyTree(Tree[Any]):
    """Claims of a skill; the evidence of a claim is loaded when it is opened."""

    DEFAULT_CSS = "WhyTree { height: 1fr; background: $background; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "toggle_node", "Open or close", id="why.toggle", show=False),
        Binding("enter", "go", "Go there", id="why.go", tooltip="Open the entry or row"),
        Binding("l,right", "unfold", "Open", id="why.open", show=False),
        Binding("h,left", "fold", "Close", id="why.close", show=False),
    ]  # fmt: skip

    class Wanted(Message):
        """A claim was opened: its evidence is needed."""

        def __init__(self, node: TreeNode[Any], claim: str) -> None:
            super().__init__()
            self.node, self.claim = node, claim

    class Chosen(Message):
        """Enter on an entry or a row."""

        def __init__(self, ref: str) -> None:
            super().__init__()
            self.ref = ref

    def __init__(self, *, id: str) -> None:
        super().__init__(Text("claims"), id=id)
        self.show_root = False
        self.guide_depth = 3
        self.auto_expand = False

    def fill(self, claims: list[tuple[str, str, str, str, str]], chosen: str = "") -> None:
        """Show claims."""
        self.clear()
        for name, status, reason, grade, text in claims:
            label = Text.assemble(
                f"{SIGNS.get(status, '?')} {status:<11}  ", (name, "bold"), (f"  {grade}", "dim")
            )
            node = self.root.add(label, data=("claim", name))
            self._say(node, text)
            self._say(node, reason, "dim")
            if name == chosen:
                self.call_after_refresh(self._choose, node)
        if not claims:
            self.root.add_leaf(Text("no claims"))
        elif not chosen:
            self.call_after_refresh(self.move_cursor, self.root.children[0])

    def _choose(self, node: TreeNode[Any]) -> None:
        self.move_cursor(node)
        node.expand()

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Any]) -> None:
        """Request the evidence of a claim that is opened for the first time."""
        data = event.node.data
        if data and data[0] == "claim":
            event.node.data = ("walked", data[1])
            self.post_message(self.Wanted(event.node, data[1]))

    def grow(self, under: TreeNode[Any], walked: Node) -> None:
        """Add the evidence of a claim below it."""
        from merginguriel.text.evidence import node_lines

        under.remove_children()
        self._say(under, walked.says)
        for line in node_lines(walked):
            self._say(under, line, "dim")
        for child in walked.children:
            self._add_branch(under, child)

    def _say(self, under: TreeNode[Any], label: str, style: str = "") -> None:
        """Add text below a node, wrapped to the width of the tree."""
        depth, node = 1, under
        while node.parent is not None:
            depth, node = depth + 1, node.parent
        text = " ".join(true_minus(plain(label)).split())
        indent = " " * (len(label) - len(label.lstrip()))
        width = max(self.size.width - self.guide_depth * depth - 2, 20)
        for line in textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent):
            under.add_leaf(Text(line, style))

    def _add_branch(self, under: TreeNode[Any], walked: Node) -> None:
        from merginguriel.text.evidence import node_lines

        name = walked.name[walked.name.index("#") :] if walked.kind == "row" else walked.name
        text = " ".join(true_minus(plain(walked.says)).split())
        label = Text.assemble((plain(name), "bold"), f"  {text}")
        lines = list(node_lines(walked))
        data = (walked.kind, walked.name)
        if not (lines or walked.children):
            under.add_leaf(label, data=data)
            return
        node = under.add(label, data=data)
        for line in lines:
            self._say(node, line, "dim")
        for child in walked.children:
            self._add_branch(node, child)

    @property
    def claim(self) -> str:
        """Id of the claim under or above the cursor."""
        node = self.cursor_node
        while node is not None:
            if node.data and node.data[0] in ("claim", "walked"):
                return str(node.data[1])
            node = node.parent
        return ""

    def action_go(self) -> None:
        """Open the entry or row, or toggle the node."""
        node = self.cursor_node
        if node is not None and node.data and node.data[0] in ("entry", "row"):
            self.post_message(self.Chosen(node.data[1]))
        elif node is not None and node.allow_expand:
            node.toggle()

    def action_unfold(self) -> None:
        """Open the node."""
        if self.cursor_node is not None:
            self.cursor_node.expand()

    def action_fold(self) -> None:
        """Close the node, or go to its parent."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded:
            node.collapse()
        elif node.parent is not None and node.parent is not self.root:
            self.move_cursor(node.parent)


def claim_rows(skill: Skill, knowledge: Knowledge) -> list[tuple[str, str, str, str, str]]:
    """Return (id, status, reason, grade of the evidence, text) of every claim of a skill."""
    from merginguriel.knowledge.claims.grading import grade

    return [
        (
            c.id,
            knowledge.standings[c.id].status,
            knowledge.standings[c.id].reason,
            grade(c, knowledge).level,
            c.text,
        )
        for c in skill.claims
    ]
