"""What people are asked, in one place: the page, the form, Mechanical Turk and Label Studio all say the same.

The two questions and their order are the paper's (section 3.3), the words are ours.
"""

from dataclasses import dataclass

WORDING_VERSION = "questions_v1"
"""Stands beside the votes; change it with the words."""


@dataclass(frozen=True, slots=True)
class Question:
    """One yes/no question; `{object}` is where the category's name goes."""

    text: str
    hint: str


RECOGNISE = Question(
    "Does the picture show this object: {object}?",
    "Yes also where its place, pattern, material or style is one you would not expect.",
)
USE = Question(
    "Could the thing in the picture be used as this object: {object}?",
    "Think of what it would be good for, not of how it looks.",
)
TITLE = "Is the object in the picture?"
INSTRUCTIONS = (
    "You see one picture at a time and the name of an object. Two questions, yes or no, and both need an answer.",
    "The pictures are made by a computer: odd surroundings, patterns and materials are meant to be there.",
    "The first question: does the picture show the object? Yes also where its place, pattern, material or style is one "
    "you would not expect.",
    "The second question: could the thing be used as the object? Think of what it would be good for, not of how it "
    "looks.",
    "Go by what you see. If you cannot make the object out, the answer is no.",
    "Some pictures have a known answer, and some come twice: they show that the answers can be relied on.",
)
KEYS = (
    ("1 / 2", "first question: yes / no"),
    ("3 / 4", "second question: yes / no"),
    ("Y / N", "yes / no to the question that is still open"),
    ("Enter", "go on"),
    ("Backspace", "go back and change an answer"),
    ("Z", "picture as large as the window, and back"),
    ("?", "show this help"),
)
