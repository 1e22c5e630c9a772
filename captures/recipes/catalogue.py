"""What each capture is called, what it shows, and the function that records it.

Importing this module needs nothing but Python's standard library, so that the manifest can be checked anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

CAPTURES: dict[str, "Capture"] = {}


@dataclass
class Judged:
    """What rules say of a capture when the tester declares more than usual. The lab's roots are trusted all the same."""

    # In place of policies/lab.toml.
    policy: str = "policies/lab.toml"
    # Whether the lab's roots are the tester's own authority, too.
    test_ca: bool = False
    # A capture of an earlier run, whose keys are known.
    baseline: str = ""
    fires: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


@dataclass
class Capture:
    """One capture file, as its recipe declares it."""

    file: str
    shows: str
    record: Callable
    tools: list[str]
    how: str = "recorded"
    fires: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    # tshark display filters: each of `expect` selects a frame of the file, none of `forbid` does.
    expect: list[str] = field(default_factory=list)
    forbid: list[str] = field(default_factory=list)
    # Whether segments may be repeated in it; elsewhere a repeated segment is an accident of the recording.
    lossy: bool = False
    # Whether the recipe reads other captures of this folder: those are recorded first.
    derived: bool = False
    judged: list[Judged] = field(default_factory=list)

    @property
    def recipe(self) -> str:
        return f"{self.record.__module__.rsplit('.', 1)[-1]}.{self.record.__name__}"


def capture(
    file,
    shows,
    *,
    tools=(),
    how="recorded",
    fires=(),
    silent=(),
    expect=(),
    forbid=(),
    lossy=False,
    derived=False,
    judged=(),
):
    """Declares that the decorated function records `file`.

    `how` is "recorded" (real clients and servers, as the wire had it), "converted" (a recording rewritten into another
    file format by the recipe) or "made" (the frames themselves were built by the recipe: only where nothing on
    the recorder's machine sends them). `fires` and `silent` hold under policies/lab.toml; `judged` is for rules that speak
    only of what a tester declares, or of earlier runs.
    """

    def declare(record):
        if file in CAPTURES:
            raise ValueError(f"{file} is declared twice")
        CAPTURES[file] = Capture(
            file,
            shows,
            record,
            list(tools),
            how,
            sorted(fires),
            sorted(silent),
            list(expect),
            list(forbid),
            lossy,
            derived,
            list(judged),
        )
        return record

    return declare
