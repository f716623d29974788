"""The language of the project: phrases that read as a translation, and what to write instead.

Docstrings, comments, messages, pages and notebooks are all read. Ordinary English that merely
resembles a phrase ("is no longer", "there is no file") is not flagged.
"""

from __future__ import annotations

import re
from bisect import bisect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("dcgan_probe", "probes", "fixtures", "docs", "examples", "benchmarks")
KINDS = {".md", ".py", ".html", ".js", ".ipynb"}
COMPARED = (
    "bigger|better|closer|coarser|deeper|different|earlier|faster|fewer|finer|further|greater|higher|"
    "larger|later|less|lesser|longer|lower|more|narrower|nearer|older|other|shorter|slower|smaller|"
    "wider|worse"
)

# A phrase, as a regular expression over text whose white space is single spaces, and what to write.
PHRASES: dict[str, str] = {
    rf"(?<!there )(?<!There )\b(is|are|was|were) no (?!({COMPARED})\b)\w": "is not a ...",
    r"(?<!there )\b(is|are) none\b(?! %)": "is not one, has none",
    r"\b(are|is|was|were) not there\b": "missing, unknown",
    r"\bof (ours|yours|theirs|one's own)\b": "our own, your own, a dcgan-probe file",
    r"\bin force\b": "active, current, applied",
    r"\bg(o|oes|one) by (?!(hand|name|one)\b)": "uses, depends on, is based on",
    r"\bhang(s|ing)? on (?!to\b)": "depends on",
    r"\b(stand|stands|standing|lie|lies|lying) (beside|behind|before|in front)\b": "is next to",
    r"\bby itself\b": "alone, on its own, automatically",
    r"\bstranger('s|s)?\b": "another package, a third party, a user",
    r"\b(gone|go|goes|going) on with\b": "resumed, continues",
    r"\b[Ww]hoever\b": "anyone who, users who",
    r"\bto the bit\b": "bit for bit, bit-identical",
    r"\bso many of so many\b": "a proportion",
    r"\btak(e|es|en|ing) (\w+ )?up again\b": "applies again, reuses",
    r"\b(if|where|when) nothing is said\b": "by default",
    r"\b(is|are|be) (told|said)\b": "is reported, is recognised, say what it is",
    r"\b(and|or) said\b(?!\.get)": "and reported",
    r"\bas [\w.'’ ]{1,24} ha(s|ve|d) it\b": "in the form that ... uses",
    r"\bits kin\b": "similar, related",
    r"\bthe whole of\b": "all of, the whole",
    r"\b(is|are|was|were) (to|at) hand\b": "is available",
    r"\b(for|of|to|with) what (is|are) no\b": "for anything that is not",
    r"\bby eye\b": "by looking, by inspection",
    r"\bto the letter\b": "exactly as in the paper",
    r"\bin the mean\b": "on average",
    r"\bhad back\b": "recovered",
    r"\bfor that alone\b": "for this reason alone",
    r"\bis as if there were none\b": "is treated as missing",
    r"\b(other people's|of other people)\b": "third-party",
    r"\bnothing further said\b": "by default",
    r"\bputs? out\b": "outputs, returns",
    r"\bnobody (said|need|looked into)\b": "unknown, by default",
    r"\bspeaks? (of|against)\b": "mentions, is a reason to doubt",
    r"\b(that|what) one sees\b": "you see, is visible",
    r"\b(this|the) very\b": "this",
    r"\bfor ever\b|\bever after\b": "endlessly, always",
    r"\beach on its own\b": "independently, separately",
    r"\bwho (says|judges|decides)\b": "the detector, the classifier, the judge",
    r"\banew\b": "again",
    r"\btak(e|es|en|ing) the place of\b": "replaces",
    r"\bhand(s|ed|ing) (on|over|in|out)\b": "passes, returns",
    r"\b(one|a \w+) a (class|command|draw|face|file|filter|fold|group|kind|label|layer|line|map|"
    r"module|network|neuron|number|pair|path|probe|sample|step|target)\b": "one for each ...",
    r"\bnothing of (?!the sort)\w": "none of, not ... any",
    r"\bh[eo]ld against\b": "compared with",
    r"(?<!as )\bso many (?!that\b)\w": "N, this many, a maximum of N",
    r"\bwithout end\b": "infinite, unlimited",
    r"\b(not|than|neither|nor) ours\b": "third-party, of another program",
    r"\b(kept|put) aside\b": "renamed, moved",
    r"\bspeaks? for\b": "supports, is evidence for",
    r"\btells? of\b": "describes, records",
    r"\bcame by\b": "found, reached",
    r"\b(was|were) said\b": "given, reported",
    r"\b(goes|went|going) on (?!to\b)(?!as\b)": "continues, resumes",
    r"\b(given|gives?|giving) back\b": "restores, returns",
    r"\bin vain\b": "before, without use",
    r"\bbeyond (all|any) (measure|bounds?)\b": "without limit",
    r"\bbut for\b": "except, up to",
    r"\bno \w+ but\b": "only",
    r"\b[Ss]ay otherwise\b": "override",
    r"\bstays? as (it|they) (is|are)\b": "is unchanged, is left unchanged",
    r"\b(can|could|to) be had\b": "can be reproduced, is possible",
    r"\bbelongs? into\b": "belongs in",
    r"\bmend(ed|s|ing)?\b": "fixes",
    r"\bwholly\b": "completely, entirely",
}


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return sorted(path for path in found if path.suffix in KINDS and "out" not in path.parts)


def normalised(text: str) -> tuple[str, list[int]]:
    """Join wrapped lines without their markers; also return where each line begins."""
    kept, starts, at = [], [], 0
    for line in text.splitlines():
        line = re.sub(r"^[\s#*/]*(f?r?\")?|(\\n)?[\"',]*\s*$", "", line).strip()
        starts.append(at)
        kept.append(line)
        at += len(line) + 1
    return " ".join(kept), starts


@pytest.fixture(scope="module")
def places() -> dict[str, list[str]]:
    """Find each phrase: file, line and the words around it."""
    found: dict[str, list[str]] = {phrase: [] for phrase in PHRASES}
    compiled = {phrase: re.compile(phrase) for phrase in PHRASES}
    for path in files():
        text, starts = normalised(path.read_text())
        for phrase, pattern in compiled.items():
            for match in pattern.finditer(text):
                name = f"{path.relative_to(ROOT)}:{bisect(starts, match.start())}"
                around = text[max(0, match.start() - 30) : match.end() + 30]
                found[phrase].append(f"{name}: ...{around}...")
    return found


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_page_docstring_or_message_says(phrase, places):
    found = "\n".join(places[phrase])
    assert not found, f"write instead: {PHRASES[phrase]}\n{found}"


def test_a_phrase_across_lines_is_found_and_ordinary_english_is_not():
    text, starts = normalised("    # an edit that is in\n    # force\n")
    assert text == "an edit that is in force"
    assert starts == [0, len("an edit that is in ")]
    phrase = next(iter(PHRASES))
    for ordinary in ("it is no longer", "there is no file", "are no wider than", "was no other"):
        assert not re.search(phrase, ordinary)
    assert re.search(phrase, "a name that is no word")
