"""What a command printed, without the log lines of servers in the same process."""

from __future__ import annotations


def without_logs(text: str) -> str:
    lines = [line for line in text.splitlines() if "component=" not in line]
    return "".join(f"{line}\n" for line in lines)
