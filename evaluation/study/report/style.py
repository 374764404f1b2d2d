"""How the report looks: one style sheet, for light and dark."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #16202e; --soft: #5a6778; --paper: #f6f7f9;
  --card: #ffffff; --line: #dfe3e9; --bar: #cfe3f6; --accent: #1f6fb5; --good: #168c48;
  --bad: #ce322c }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa7b8; --paper: #10151d;
  --card: #1a212c; --line: #303a48; --bar: #23425f; --accent: #6db3f2; --good: #4cc07c;
  --bad: #f07a74 } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  background: var(--paper); margin: 0 auto; max-width: 1240px; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: .5rem;
  border-top: 2px solid var(--line) }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem }
p, li { max-width: 75ch } a { color: var(--accent) }
.note, figcaption, caption { color: var(--soft); font-size: .92rem }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1rem 0 0 }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; padding: 0;
  list-style: none }
.tiles li { flex: 1 1 200px; max-width: none; background: var(--card); padding: .8rem 1rem;
  border: 1px solid var(--line); border-radius: 10px }
.tiles b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.tiles span { color: var(--soft); font-size: .88rem }
.wide { overflow-x: auto; margin: .6rem 0 1rem }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
  font-variant-numeric: tabular-nums; font-size: .95rem }
caption { text-align: left; padding: .2rem 0 .5rem }
th, td { padding: .38rem .75rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th { font-weight: 600 } thead th { border-bottom: 2px solid var(--line); vertical-align: bottom }
.text { text-align: left } tbody tr:last-child > * { border-bottom: 0 }
tr.first > * { border-top: 2px solid var(--line) } td.best { font-weight: 700 }
td.share { background: linear-gradient(90deg, var(--bar) var(--v), transparent var(--v)) }
figure { margin: 1rem 0 }
figure img { max-width: min(100%, 1000px); height: auto; border-radius: 10px;
  border: 1px solid var(--line); display: block; background: var(--card) }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr));
  gap: 0 1.2rem }
details { margin: .8rem 0 } summary { cursor: pointer; color: var(--accent) }
code { font: .9em ui-monospace, Consolas, monospace; background: var(--card);
  border: 1px solid var(--line); border-radius: 4px; padding: 0 .3em; overflow-wrap: anywhere }
.right { color: var(--good); font-weight: 600 } .wrong { color: var(--bad); font-weight: 600 }
footer { margin-top: 3rem; color: var(--soft); font-size: .88rem }
"""
